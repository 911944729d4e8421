"""Makes the tables of a store, and brings those of an older Keydeck up to date.

Fields of events that are younger than a store get their columns, and in them what the stored records hold: a
filter that asks for such a field finds events of before, too. A record of pulls that doesn't say of which
account they were is dropped: it would vouch for events that nobody fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from sqlalchemy import Connection, bindparam, inspect, select, update

from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import DETAILS, EVENT_FIELDS, ROLLED
from crypto_core.trail.packing import unpack
from crypto_core.trail.record_reader import load, read_record
from crypto_core.trail.store.event_writer import count_hours
from crypto_core.trail.store.schema import VERSION, event, metadata, raw, rollup
from crypto_core.trail.store.vocabulary import Vocabulary, changed

_AT_ONCE = 1_000
"""Blocks whose events are filled in together."""


def upgrade(connection: Connection) -> None:
    """Make the tables and columns that a store lacks, within the caller's transaction."""
    _drop_pulls_of_no_account(connection)
    metadata.create_all(connection)
    connection.exec_driver_sql("INSERT OR IGNORE INTO keeping (id, changes, forgotten) VALUES (1, 0, 0)")
    there = {column["name"] for column in inspect(connection).get_columns(event.name)}
    younger = [name for name in (*ROLLED, *DETAILS) if name not in there]
    if younger:
        _add_columns(connection, younger)
    connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


def _drop_pulls_of_no_account(connection: Connection) -> None:
    found = inspect(connection)
    for name in ("pulled", "unfinished_pull"):
        columns = {c["name"] for c in found.get_columns(name)} if found.has_table(name) else {"account"}
        if "account" not in columns:
            metadata.tables[name].drop(connection)


def _add_columns(connection: Connection, younger: Sequence[str]) -> None:
    for name in younger:
        connection.exec_driver_sql(f"ALTER TABLE event ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0")
    vocabulary = Vocabulary()
    vocabulary.begin(connection)
    for blocks in connection.execute(select(raw.c.id, raw.c.body)).partitions(_AT_ONCE):
        events = dict(found for first, block in blocks for found in _events(first, block))
        for name in younger:
            field = EVENT_FIELDS[name]
            numbers = vocabulary.numbers(connection, field.kind, list(map(field.text, events.values())))
            values = [{"number": n, "text": t} for n, t in zip(events, numbers, strict=True) if t]
            if values:
                one = update(event).where(event.c.id == bindparam("number"))
                connection.execute(one.values({name: bindparam("text")}), values)
    for index in event.indexes:
        index.drop(connection, checkfirst=True)
        index.create(connection)
    rollup.drop(connection)
    rollup.create(connection)
    count_hours(connection)
    changed(connection)


def _events(first: int, block: bytes) -> Iterator[tuple[int, TrailEvent]]:
    """The events of a block by number; what is damaged is told when it is read."""
    with suppress(ValueError):
        for number, record in enumerate(unpack(block), first):
            found = read_record(load(record), record) if record else None
            if found is not None:
                yield number, found
