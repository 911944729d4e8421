"""The tables of providers' events, made with the first of them in the event store's file, and versioned."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Index, Integer, LargeBinary, MetaData, Table, Text, inspect, text

from crypto_core.errors import EventStoreError
from crypto_core.trail.store.schema import numbers, texts

VERSION = 1
"""Kept in provider_layout; tables of a higher one are not touched."""

metadata = MetaData()

TEXTS = ("action", "actor", "address", "agent", "target", "place", "access")


layout = Table("provider_layout", metadata, Column("version", Integer, primary_key=True))

event = Table(
    "provider_event",
    metadata,
    Column("id", Integer, primary_key=True),
    *texts("provider"),
    Column("identity", LargeBinary, nullable=False),
    *texts("event_id"),
    *numbers("at"),
    *texts(*TEXTS),
    Column("token_hash", LargeBinary),
    Column("body", LargeBinary, nullable=False),
)
"""`at` is in milliseconds since 1970, UTC; `identity` 16 bytes of the event's id; `body` is packed."""

cover = Table(
    "provider_cover",
    metadata,
    Column("id", Integer, primary_key=True),
    *texts("provider", "place", "origin"),
    *numbers("since", "until"),
)
"""Periods of which all events are there, in milliseconds; `origin` says by what that is known."""

pull = Table(
    "provider_pull",
    metadata,
    *texts("provider", "place", key=True),
    *numbers("since", "until"),
    *texts("position"),
)
"""Pulls that did not come to their end: where they go on."""

token_hash = Table(
    "provider_token_hash",
    metadata,
    Column("reference", Text, primary_key=True),
    Column("token_hash", LargeBinary, primary_key=True),
    *texts("origin"),
    *numbers("noted_at"),
    Column("replaced_at", Integer),
)
"""The SHA-256 of tokens that an operator opened to compare them: a later one of a reference replaces it."""

Index("ix_provider_event", event.c.provider, event.c.identity, unique=True)
Index("ix_provider_event_at", event.c.at, event.c.id)
Index("ix_provider_event_hash", event.c.token_hash, event.c.at, sqlite_where=text("token_hash IS NOT NULL"))
Index("ix_provider_event_place", event.c.provider, event.c.place, event.c.at)
Index("ix_provider_event_from", event.c.provider, event.c.address, event.c.at)


def is_there(connection: Connection) -> bool:
    """Whether the file holds these tables. Raises EventStoreError for those of a newer Keydeck."""
    if not inspect(connection).has_table(layout.name):
        return False
    version = connection.exec_driver_sql("SELECT max(version) FROM provider_layout").scalar() or 0
    if version > VERSION:
        raise EventStoreError(
            "The providers' events in the store were written by a newer Keydeck.",
            remedy="Upgrade Keydeck, or name another file with KEYDECK_EVENTS_FILE.",
        )
    return bool(version == VERSION)


def bring_up_to_date(connection: Connection) -> None:
    """Make the tables that are missing, in the caller's transaction. Raises EventStoreError as above."""
    if is_there(connection):
        return
    metadata.create_all(connection)
    connection.exec_driver_sql("INSERT OR REPLACE INTO provider_layout (version) VALUES (?)", (VERSION,))
