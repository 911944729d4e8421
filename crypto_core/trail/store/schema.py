"""The tables of the event store, and how rows get into them: many to a statement.

A text stands once, in `term`; what refers to it has its number, 0 being none. What many events have in
common stands once too, as a `profile`. `rollup` and `daily` count the events of each hour and of each day by
profile, so that counts, histograms and pivots don't read the events; `presence` has the hours of the texts
that are no profile's. `event` has what is left, in narrow rows: all of a million are read in 50 ms.

The driver gives the interpreter's lock away for every step of a statement. A statement a row would wait for
it as often, while another thread reads the next file or paints a screen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Index, Integer, Join, LargeBinary, MetaData, Table, Text

from crypto_core.trail.event_fields import DETAILS, EVENT_FIELDS, ROLLED
from crypto_core.trail.store.dialect import BY_KEY, PARAMETERS, where

VERSION = 10 + len(EVENT_FIELDS) - 18
"""Written to the file; a file with a higher one is not opened.

With version 8 there are profiles and 18 fields of events, with 9 receipts, with 10 counts by the day; each
field more is a version, see upgrade.py.
"""

metadata = MetaData()


def numbers(*names: str, key: bool = False) -> list[Column[Any]]:
    """Return columns of whole numbers, none of which may be missing."""
    return [Column(name, Integer, nullable=False, primary_key=key) for name in names]


def texts(*names: str, key: bool = False) -> list[Column[Any]]:
    """Return columns of texts, none of which may be missing."""
    return [Column(name, Text, nullable=False, primary_key=key) for name in names]


def table_by_key(name: str, *columns: Column[Any]) -> Table:
    """Return a table whose rows lie in the order of its key."""
    return Table(name, metadata, *columns, **BY_KEY)


event = Table("event", metadata, Column("id", Integer, primary_key=True), *numbers("at", "profile", *DETAILS))
"""`at` is in seconds since 1970, UTC."""

identity = table_by_key(
    "identity",
    *numbers("day", key=True),
    Column("event_id", LargeBinary, primary_key=True),
    *numbers("at", key=True),
    *numbers("event"),
)
"""The ids of events, with the number of each; see event_places.py. `day` is in whole days since 1970."""

profile = Table("profile", metadata, Column("id", Integer, primary_key=True), *numbers(*ROLLED, "marks"))
"""What events have in common, each combination once; `marks` are the properties."""

PRESENT = tuple(name for name in DETAILS if name != "token")
"""The details whose hours are kept: few in an hour. Tokens have an index instead."""

presence = table_by_key("presence", *numbers("text", "hour", key=True))
"""In which hours since 1970 the texts of PRESENT are some event's."""

raw = Table(
    "raw", metadata, Column("id", Integer, primary_key=True), Column("body", LargeBinary, nullable=False)
)
"""The records of the events from `id` on, as they came, in a block; see event_places.py."""

COUNTED = ("events", "begins", "ends")
"""How many events, and the first and the last second of them, from the beginning of the hour or day on."""

rollup = table_by_key("rollup", *numbers("hour", "profile", key=True), *numbers(*COUNTED))
"""`hour` is in hours since 1970."""

daily = table_by_key("daily", *numbers("day", "profile", key=True), *numbers(*COUNTED))
"""What `rollup` holds of a whole day; `day` is in days since 1970."""

term = Table(
    "term", metadata, Column("id", Integer, primary_key=True), *numbers("kind"), *texts("folded", "text")
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
    "keeping", metadata, Column("id", Integer, primary_key=True), *numbers("changes", "forgotten")
)
"""One row: how often something was written, and how often texts were forgotten, by any process."""

Index("ix_event_at", event.c.at)
Index("ix_event_token", event.c.token, event.c.at, event.c.profile, **where("token <> 0"))
Index("ix_profile", *(profile.c[name] for name in (*ROLLED, "marks")), unique=True)
Index("ix_term", term.c.kind, term.c.folded)

COLUMNS: Mapping[str, Column[Any]] = {**profile.c, **event.c}


def with_profiles(table: Table) -> Join:
    return table.join(profile, profile.c.id == table.c.profile)


_T = TypeVar("_T")


def chunks(values: Sequence[_T], size: int = PARAMETERS) -> Iterator[Sequence[_T]]:
    """Yield values so many at a time, by default as many as a statement takes."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def insert(
    connection: Connection,
    table: str,
    columns: tuple[str, ...],
    rows: Sequence[Sequence[object]],
    end: str = "",
) -> None:
    """Insert rows of one of the store's own tables. `end` is what the statement ends with."""
    for some in chunks(rows, PARAMETERS // len(columns)):
        connection.exec_driver_sql(
            _statement(table, columns, len(some), end), tuple(chain.from_iterable(some))
        )


@lru_cache(maxsize=64)
def _statement(table: str, columns: tuple[str, ...], rows: int, end: str) -> str:
    row = f"({', '.join('?' * len(columns))})"
    # Names are the schema's own; every value is a parameter.
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)} {end}"  # noqa: S608
