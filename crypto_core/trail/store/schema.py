"""The tables of the event store.

A text stands once, in `term`; events refer to it by number, 0 being none. `rollup` counts the events of each
hour by all that is worth grouping by, so that counts, histograms and pivots don't read the events.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, Table, Text, text

from crypto_core.trail.event_fields import DETAILS, EVENT_FIELDS, ROLLED

VERSION = 3 + len(EVENT_FIELDS) - 14
"""Written to the file as `user_version`; a file with a higher one is not opened.

With version 3 there are 14 fields of events; each one more is a version, see upgrade.py.
"""

metadata = MetaData()


def _numbers(*names: str, key: bool = False) -> list[Column[Any]]:
    return [Column(name, Integer, nullable=False, primary_key=key) for name in names]


event = Table(
    "event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("event_id", LargeBinary, nullable=False, unique=True),
    *_numbers("at", *ROLLED, "marks", *DETAILS),
)
"""`at` is in seconds since 1970, UTC."""

raw = Table(
    "raw",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""The records of the events from `id` on, as they came, in a block; see blocks.py and packing.py."""

rollup = Table(
    "rollup",
    metadata,
    *_numbers("hour", *ROLLED, "marks", key=True),
    *_numbers("events"),
    sqlite_with_rowid=False,
)
"""`hour` is in hours since 1970."""

term = Table(
    "term",
    metadata,
    Column("id", Integer, primary_key=True),
    *_numbers("kind"),
    Column("folded", Text, nullable=False),
    Column("text", Text, nullable=False),
)
"""`folded` is the text in lower case, as filters compare it."""

note = Table(
    "note",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("reviewed_at", Integer, nullable=False, server_default="0"),
    Column("text", Text, nullable=False, server_default=""),
    Column("by", Text, nullable=False, server_default=""),
    Column("at", Integer, nullable=False, server_default="0"),
)
"""What an operator wrote on an event, by the event's number; `reviewed_at` is 0 where it isn't reviewed."""

keeping = Table(
    "keeping",
    metadata,
    Column("id", Integer, primary_key=True),
    *_numbers("changes", "forgotten"),
)
"""One row: how often something was written, and how often texts were forgotten, by any process."""

Index("ix_event_at", event.c.at)
Index("ix_event_principal", event.c.principal, event.c.at)
Index("ix_event_ip", event.c.ip, event.c.at)
Index("ix_event_error", event.c.error, event.c.at, sqlite_where=text("error <> 0"))
Index("ix_event_session", event.c.session, event.c.at, sqlite_where=text("session <> 0"))
Index("ix_event_access_key", event.c.access_key, event.c.at, sqlite_where=text("access_key <> 0"))
Index(
    "ix_event_token",
    event.c.token,
    event.c.at,
    *(event.c[name] for name in (*ROLLED, "marks")),
    sqlite_where=text("token <> 0"),
)
Index("ix_term", term.c.kind, term.c.folded)

PARTIAL = ("token", "access_key", "session", "error")
"""Columns whose indexes leave out the events that have nothing there."""

INDEXED = ("token", "access_key", "session", "error", "ip", "principal")
"""The columns by which single events are found, the most telling first."""
