"""Makes the tables of a store, and brings those of an older Keydeck up to date.

The events of an older store are laid out in one wide table, filled in, and put into today's tables: fields
of events that are younger than the store get what the stored records hold of them, so that a filter that asks
for such a field finds events of before, too. A record of pulls that doesn't say of which account they were is
dropped: it would vouch for events that nobody fetched; such a store's marks of what is services' noise are
made anew, too. A store that told no twins has them marked; one that knew no receipts gets the request ids
of its calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import sqlalchemy as sa

from crypto_core.keys.key_uses import OPENS
from crypto_core.trail.columns import DAY, HELD, EventProperty, marks, seconds
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_columns import NETWORK, detail, twin_keys
from crypto_core.trail.event_fields import DETAILS, EVENT_FIELDS, ROLLED
from crypto_core.trail.receipt_match import request_of
from crypto_core.trail.record_compression import unpack
from crypto_core.trail.record_reader import load, read_record
from crypto_core.trail.store import schema
from crypto_core.trail.store.dialect import layout
from crypto_core.trail.store.event_places import blocks_of
from crypto_core.trail.store.event_writer import APART, TWIN, twin
from crypto_core.trail.store.hourly_counts import count_all
from crypto_core.trail.store.receipt_tables import call
from crypto_core.trail.store.schema import chunks, identity, insert, metadata
from crypto_core.trail.store.vocabulary import Vocabulary, changed
from crypto_core.trail.term_sql import whole

_BLOCKS, _ROWS = 1_000, 10_000
"""Blocks that are read, and rows that are noted, together."""
_SHARED, _THROUGH = b'"sharedEventID"', b'"vpcEndpointId"'
"""What the record of a call that may be recorded twice has: others need not be parsed."""
_OF_KMS = b"kms.amazonaws.com"
_CALL = ("day", "request", "event", "at", "operation")

_wide = sa.Table(
    "wide",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("event_id", sa.LargeBinary),
    *(sa.Column(name, sa.Integer) for name in ("at", *ROLLED, "marks", *DETAILS)),
)

_noted = sa.Table(
    "older_twin",
    sa.MetaData(),
    sa.Column("key", sa.LargeBinary),
    sa.Column("number", sa.Integer),
    sa.Column("detail", sa.Integer),
    prefixes=["TEMPORARY"],
)


def upgrade(connection: sa.Connection) -> None:
    """Make the tables and columns that a store lacks, within the caller's transaction."""
    older = _drop_pulls_of_no_account(connection)
    found = sa.inspect(connection)
    knows_twins, knows_calls = found.has_table(twin.name), found.has_table(call.name)
    there = set() if _laid_out(connection) and knows_twins and not older else _lay_out(connection)
    metadata.create_all(connection)
    connection.exec_driver_sql("DROP INDEX IF EXISTS ix_call_event")
    connection.exec_driver_sql("INSERT OR IGNORE INTO keeping (id, changes, forgotten) VALUES (1, 0, 0)")
    if there:
        younger = [name for name in (*ROLLED, *DETAILS) if name not in there]
        if younger:
            _fill_in(connection, younger)
        if older:
            _mark_services_anew(connection)
        if not knows_twins:
            _mark_twins(connection, _wide)
        _put_in_place(connection)
    if not knows_calls:
        _note_calls(connection)
    layout(connection, schema.VERSION)


def _laid_out(connection: sa.Connection) -> bool:
    found = sa.inspect(connection)
    if not found.has_table(schema.profile.name) or not found.has_table(identity.name):
        return False
    there = {c["name"] for table in (schema.event, schema.profile) for c in found.get_columns(table.name)}
    return there >= {*ROLLED, *DETAILS, "marks"}


def _lay_out(connection: sa.Connection) -> set[str]:
    found = sa.inspect(connection)
    if not found.has_table(schema.event.name):
        return set()
    there = {column["name"] for column in found.get_columns(schema.event.name)}
    if found.has_table(schema.profile.name):
        shared = [c["name"] for c in found.get_columns(schema.profile.name) if c["name"] != "id"]
        own = [name for name in there if name not in ("profile", "event_id")]
        columns = ", ".join([f"event.{name}" for name in own] + [f"profile.{name}" for name in shared])
        # Names are the schema's own.
        joined = f"SELECT event_id, {columns} FROM event JOIN profile ON profile.id = event.profile"  # noqa: S608
        if "event_id" not in there:
            joined += " JOIN identity ON identity.event = event.id"
        connection.exec_driver_sql(f"CREATE TABLE wide AS {joined}")
        for table in (schema.event, schema.profile, identity, schema.daily):
            table.drop(connection, checkfirst=True)
        connection.exec_driver_sql("CREATE UNIQUE INDEX ix_wide ON wide (id)")
        there = {"event_id", *own, *shared}
    else:
        for index in found.get_indexes(schema.event.name):
            connection.exec_driver_sql(f"DROP INDEX {index['name']}")
        connection.exec_driver_sql("ALTER TABLE event RENAME TO wide")
    schema.rollup.drop(connection)
    return there


def _put_in_place(connection: sa.Connection) -> None:
    held: sa.ColumnElement[int] = _wide.c.marks
    for name, mark in HELD.items():
        held = held.bitwise_or(sa.func.iif(_wide.c[name] != 0, int(mark), 0))
    connection.execute(sa.update(_wide).values(marks=held))
    shared = [_wide.c[name] for name in (*ROLLED, "marks")]
    names = [column.name for column in shared]
    connection.execute(sa.insert(schema.profile).from_select(names, sa.select(*shared).distinct()))
    same = sa.and_(*(schema.profile.c[name] == _wide.c[name] for name in names))
    own = [_wide.c.id, _wide.c.at, schema.profile.c.id, *(_wide.c[name] for name in DETAILS)]
    moved = sa.select(*own).select_from(_wide.join(schema.profile, same)).order_by(_wide.c.id)
    connection.execute(sa.insert(schema.event).from_select([c.name for c in schema.event.c], moved))
    day = whole(_wide.c.at, DAY)
    ids = sa.select(day, _wide.c.event_id, _wide.c.at, _wide.c.id).order_by(day, _wide.c.event_id, _wide.c.at)
    connection.execute(sa.insert(identity).from_select([c.name for c in identity.c], ids))
    _wide.drop(connection)
    count_all(connection)
    changed(connection, forgotten=True)


def _drop_pulls_of_no_account(connection: sa.Connection) -> bool:
    found = sa.inspect(connection)
    older = [
        name
        for name in ("pulled", "unfinished_pull")
        if found.has_table(name) and "account" not in {c["name"] for c in found.get_columns(name)}
    ]
    for name in older:
        metadata.tables[name].drop(connection)
    return bool(older)


def _mark_services_anew(connection: sa.Connection) -> None:
    """What somebody opened through a service is none of its noise where it can have been a token."""
    opened = sa.select(schema.term.c.id).where(
        schema.term.c.kind == ROLLED["name"], schema.term.c.text.in_(sorted(OPENS))
    )
    suspected = _wide.c.marks.bitwise_and(int(EventProperty.SERVICE | EventProperty.FAILED))
    where = (_wide.c.name.in_(opened), suspected == int(EventProperty.SERVICE))
    blocks = blocks_of(connection, _wide.c.id, *where)
    for ids in chunks(blocks, _BLOCKS):
        some = sa.select(schema.raw.c.id, schema.raw.c.body).where(schema.raw.c.id.in_(ids))
        found = _read(_unpacked(connection.execute(some)))
        values = [{"number": number, "marked": marks(one)} for number, one in found if one.may_open_token]
        if values:
            one = sa.update(_wide).where(_wide.c.id == sa.bindparam("number"))
            connection.execute(one.values(marks=sa.bindparam("marked")), values)


def _fill_in(connection: sa.Connection, younger: Sequence[str]) -> None:
    for name in younger:
        connection.exec_driver_sql(f"ALTER TABLE wide ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0")
    vocabulary = Vocabulary()
    vocabulary.begin(connection)
    for blocks in connection.execute(sa.select(schema.raw.c.id, schema.raw.c.body)).partitions(_BLOCKS):
        events = dict(_read(_unpacked(blocks)))
        for name in younger:
            field = EVENT_FIELDS[name]
            numbers = vocabulary.numbers(connection, field.kind, list(map(field.text, events.values())))
            values = [{"number": n, "text": t} for n, t in zip(events, numbers, strict=True) if t]
            if values:
                one = sa.update(_wide).where(_wide.c.id == sa.bindparam("number"))
                connection.execute(one.values({name: sa.bindparam("text")}), values)


def _mark_twins(connection: sa.Connection, events: sa.Table) -> None:
    """Mark twins among all events; what may be one is noted in a table on disk, so memory doesn't grow."""
    _noted.create(connection)
    # Calls through an endpoint are many; where no trail records network activity, none has a twin.
    network = NETWORK.encode()
    ways = any(network in record for _, record in _records(connection))
    telling = (_SHARED, _THROUGH) if ways else (_SHARED,)
    rows = (
        {"key": key, "number": number, "detail": detail(found)}
        for number, found in _read(_records(connection), *telling)
        for key in twin_keys(found)
    )
    while some := list(islice(rows, _ROWS)):
        connection.execute(sa.insert(_noted), some)
    calls = _calls(events)
    near = sa.func.abs(calls.c.at - calls.c.counted_at) <= APART
    fewer = sa.select(calls.c.number).where(calls.c.number != calls.c.counted, near)
    marked = events.c.marks.bitwise_or(TWIN)
    connection.execute(sa.update(events).where(events.c.id.in_(fewer)).values(marks=marked))
    order = (_noted.c.detail.desc(), _noted.c.number)
    ranked = sa.select(
        _noted, sa.func.row_number().over(partition_by=_noted.c.key, order_by=order).label("rank")
    ).subquery()
    first = sa.select(ranked.c.key, ranked.c.number, ranked.c.detail).where(ranked.c.rank == 1)
    connection.execute(sa.insert(twin).from_select(["key", "id", "detail"], first))
    _noted.drop(connection)


def _calls(events: sa.Table) -> sa.Subquery:
    """Each record that was noted, with the one that counts: of those that follow one another closely."""
    same, time = (_noted.c.key, events.c.name), (events.c.at, _noted.c.number)
    before = sa.func.lag(events.c.at).over(partition_by=same, order_by=time)
    found = (
        sa.select(*_noted.c, events.c.at, events.c.name, (events.c.at - before > APART).label("apart"))
        .join(events, events.c.id == _noted.c.number)
        .subquery()
    )
    number = sa.func.sum(found.c.apart).over(
        partition_by=(found.c.key, found.c.name), order_by=(found.c.at, found.c.number)
    )
    told = sa.select(found, sa.func.coalesce(number, 0).label("call")).subquery()
    one_call, order = (told.c.key, told.c.name, told.c.call), (told.c.detail.desc(), told.c.number)
    return sa.select(
        told.c.number,
        told.c.at,
        sa.func.first_value(told.c.number).over(partition_by=one_call, order_by=order).label("counted"),
        sa.func.first_value(told.c.at).over(partition_by=one_call, order_by=order).label("counted_at"),
    ).subquery()


def _records(connection: sa.Connection) -> Iterator[tuple[int, bytes]]:
    return _unpacked(connection.execute(sa.select(schema.raw.c.id, schema.raw.c.body)).yield_per(_BLOCKS))


def _unpacked(blocks: Iterable[Any]) -> Iterator[tuple[int, bytes]]:
    """Yield the records of blocks by number; what is damaged is told when it is read."""
    for first, block in blocks:
        with suppress(ValueError):
            yield from enumerate(unpack(block), first)


def _read(records: Iterable[tuple[int, bytes]], *telling: bytes) -> Iterator[tuple[int, TrailEvent]]:
    """Yield the events of records by number; only those with one of `telling` in them, if any is given."""
    for number, record in records:
        if record and (not telling or any(one in record for one in telling)):
            with suppress(ValueError):
                found = read_record(load(record), record)
                if found is not None:
                    yield number, found


def _note_calls(connection: sa.Connection) -> None:
    rows = (
        (seconds(found.time) // DAY, asked[0], number, seconds(found.time), asked[1])
        for number, found in _read(_records(connection), _OF_KMS)
        if (asked := request_of(found)) is not None
    )
    while some := list(islice(rows, _ROWS)):
        insert(connection, "call", _CALL, some)
