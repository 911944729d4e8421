"""Makes the tables of a store, and brings those of an older Keydeck up to date.

Fields of events that are younger than a store get their columns, and in them what the stored records hold: a
filter that asks for such a field finds events of before, too. A record of pulls that doesn't say of which
account they were is dropped: it would vouch for events that nobody fetched; such a store's marks of what is
services' noise are made anew, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from sqlalchemy import Connection, bindparam, inspect, select, update

from crypto_core.key_uses import OPENS
from crypto_core.trail.columns import EventProperty, marks
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import DETAILS, EVENT_FIELDS, ROLLED
from crypto_core.trail.packing import unpack
from crypto_core.trail.record_reader import load, read_record
from crypto_core.trail.store.blocks import blocks_of
from crypto_core.trail.store.event_writer import count_hours
from crypto_core.trail.store.schema import VERSION, event, metadata, raw, rollup, term
from crypto_core.trail.store.vocabulary import Vocabulary, changed

_AT_ONCE = 1_000
"""Blocks whose events are filled in together."""


def upgrade(connection: Connection) -> None:
    """Make the tables and columns that a store lacks, within the caller's transaction."""
    older = _drop_pulls_of_no_account(connection)
    metadata.create_all(connection)
    connection.exec_driver_sql("INSERT OR IGNORE INTO keeping (id, changes, forgotten) VALUES (1, 0, 0)")
    there = {column["name"] for column in inspect(connection).get_columns(event.name)}
    younger = [name for name in (*ROLLED, *DETAILS) if name not in there]
    if younger:
        _add_columns(connection, younger)
    if older:
        _mark_services_anew(connection)
    connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


def _drop_pulls_of_no_account(connection: Connection) -> bool:
    """Return whether there were any."""
    found = inspect(connection)
    older = [
        name
        for name in ("pulled", "unfinished_pull")
        if found.has_table(name) and "account" not in {c["name"] for c in found.get_columns(name)}
    ]
    for name in older:
        metadata.tables[name].drop(connection)
    return bool(older)


def _mark_services_anew(connection: Connection) -> None:
    """What somebody opened through a service is none of its noise where it can have been a token."""
    opened = select(term.c.id).where(term.c.kind == ROLLED["name"], term.c.text.in_(sorted(OPENS)))
    suspected = event.c.marks.bitwise_and(int(EventProperty.SERVICE | EventProperty.FAILED))
    where = (event.c.name.in_(opened), suspected == int(EventProperty.SERVICE))
    blocks = blocks_of(connection, *where)
    for start in range(0, len(blocks), _AT_ONCE):
        some = select(raw.c.id, raw.c.body).where(raw.c.id.in_(blocks[start : start + _AT_ONCE]))
        found = [one for first, block in connection.execute(some) for one in _events(first, block)]
        values = [{"number": number, "marked": marks(one)} for number, one in found if one.may_open_token]
        if values:
            one = update(event).where(event.c.id == bindparam("number"))
            connection.execute(one.values(marks=bindparam("marked")), values)
    _count_hours_anew(connection)


def _count_hours_anew(connection: Connection) -> None:
    rollup.drop(connection)
    rollup.create(connection)
    count_hours(connection)
    changed(connection)


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
    _count_hours_anew(connection)


def _events(first: int, block: bytes) -> Iterator[tuple[int, TrailEvent]]:
    """The events of a block by number; what is damaged is told when it is read."""
    with suppress(ValueError):
        for number, record in enumerate(unpack(block), first):
            found = read_record(load(record), record) if record else None
            if found is not None:
                yield number, found
