"""The tables of the event store.

A text stands once, in `term`; events refer to it by number, 0 being none. `rollup` counts the events of each
hour by all that is worth grouping by, so that counts, histograms and pivots don't read the events.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntEnum, IntFlag
from operator import attrgetter
from typing import Any

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, Table, Text, text

from crypto_core.trail.event import TrailEvent

VERSION = 2
"""Written to the file as `user_version`; a file with a higher one is not opened."""

metadata = MetaData()


class Kind(IntEnum):
    """What a text is."""

    NAME = 1
    SOURCE = 2
    PRINCIPAL = 3
    IP = 4
    AGENT = 5
    ERROR = 6
    KEYS = 7
    MATERIALS = 8
    REGION = 9
    ACCOUNT = 10
    SESSION = 11
    ACCESS_KEY = 12
    TOKEN = 13
    MESSAGE = 14


class Mark(IntFlag):
    """Properties of an event."""

    SERVICE = 1
    FAILED = 2
    DENIED = 4
    HUMAN = 8
    ROOT = 16
    CONSOLE = 32
    READ = 64


ROLLED = {
    "name": Kind.NAME,
    "source": Kind.SOURCE,
    "principal": Kind.PRINCIPAL,
    "ip": Kind.IP,
    "agent": Kind.AGENT,
    "error": Kind.ERROR,
    "key": Kind.KEYS,
    "material": Kind.MATERIALS,
    "region": Kind.REGION,
    "account": Kind.ACCOUNT,
}
"""The columns of texts that both tables have, each with what its texts are."""

DETAILS = {
    "session": Kind.SESSION,
    "access_key": Kind.ACCESS_KEY,
    "token": Kind.TOKEN,
    "message": Kind.MESSAGE,
}
"""Those that are an event's alone: they differ too much to be counted by the hour."""

HOUR = 3_600


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


TEXTS: dict[str, Callable[[TrailEvent], str]] = {
    "name": attrgetter("name"),
    "source": attrgetter("source"),
    "principal": attrgetter("principal.arn"),
    "ip": attrgetter("source_ip"),
    "agent": attrgetter("user_agent"),
    "error": attrgetter("error_code"),
    "key": lambda found: " ".join(found.key_arns) or found.alias,
    "material": lambda found: " ".join(found.material_ids),
    "region": attrgetter("region"),
    "account": attrgetter("account"),
    "session": attrgetter("principal.session"),
    "access_key": attrgetter("principal.access_key_id"),
    "token": lambda found: str(found.token_ref) if found.token_ref else "",
    "message": attrgetter("error_message"),
}
"""What an event has in each column of texts."""


def marks(found: TrailEvent) -> int:
    """Return the properties of an event, as Mark has them."""
    # Mark's own operators take ten times as long.
    principal = found.principal
    return (
        found.by_service
        | found.failed << 1
        | found.denied << 2
        | principal.is_human << 3
        | principal.is_root << 4
        | principal.from_console << 5
        | (found.read_only is True) << 6
    )


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def stored_id(event_id: str) -> bytes:
    """Return an event's id as it is stored: 16 bytes for a UUID in CloudTrail's spelling."""
    if _UUID.fullmatch(event_id):
        return bytes.fromhex(event_id.replace("-", ""))
    return b"=" + event_id.encode()
