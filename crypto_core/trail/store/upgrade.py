"""Makes the tables of a store, and brings those of an older Keydeck up to date.

The events of an older store are laid out in one wide table, filled in, and put into today's tables: fields
of events that are younger than the store get what the stored records hold of them, so that a filter that asks
for such a field finds events of before, too. A record of pulls that doesn't say of which account they were is
dropped: it would vouch for events that nobody fetched; such a store's marks of what is services' noise are
made anew, too. A store that told no twins has them marked; one that knew no receipts gets the request ids
of its calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    and_,
    bindparam,
    func,
    insert,
    inspect,
    select,
    update,
)

from crypto_core.key_uses import OPENS
from crypto_core.trail.columns import DAY, HELD, EventProperty, marks
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import DETAILS, EVENT_FIELDS, ROLLED
from crypto_core.trail.packing import unpack
from crypto_core.trail.record_reader import load, read_record
from crypto_core.trail.store.blocks import blocks_of
from crypto_core.trail.store.conditions import whole
from crypto_core.trail.store.hourly_counts import count_all
from crypto_core.trail.store.older_calls import note_older_calls
from crypto_core.trail.store.older_twins import mark_older_twins
from crypto_core.trail.store.receipt_tables import call
from crypto_core.trail.store.schema import (
    VERSION,
    daily,
    event,
    identity,
    metadata,
    profile,
    raw,
    rollup,
    term,
)
from crypto_core.trail.store.twins import twin
from crypto_core.trail.store.vocabulary import Vocabulary, changed

_AT_ONCE = 1_000

_wide = Table(
    "wide",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("event_id", LargeBinary),
    *(Column(name, Integer) for name in ("at", *ROLLED, "marks", *DETAILS)),
)
"""Events with all that is told of them, while a store is upgraded."""


def upgrade(connection: Connection) -> None:
    """Make the tables and columns that a store lacks, within the caller's transaction."""
    older = _drop_pulls_of_no_account(connection)
    found = inspect(connection)
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
            mark_older_twins(connection, _wide)
        _put_in_place(connection)
    if not knows_calls:
        note_older_calls(connection)
    connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


def _laid_out(connection: Connection) -> bool:
    found = inspect(connection)
    if not found.has_table(profile.name) or not found.has_table(identity.name):
        return False
    there = {c["name"] for table in (event, profile) for c in found.get_columns(table.name)}
    return there >= {*ROLLED, *DETAILS, "marks"}


def _lay_out(connection: Connection) -> set[str]:
    found = inspect(connection)
    if not found.has_table(event.name):
        return set()
    there = {column["name"] for column in found.get_columns(event.name)}
    if found.has_table(profile.name):
        shared = [c["name"] for c in found.get_columns(profile.name) if c["name"] != "id"]
        own = [name for name in there if name not in ("profile", "event_id")]
        columns = ", ".join([f"event.{name}" for name in own] + [f"profile.{name}" for name in shared])
        # Names are the schema's own.
        joined = f"SELECT event_id, {columns} FROM event JOIN profile ON profile.id = event.profile"  # noqa: S608
        if "event_id" not in there:
            joined += " JOIN identity ON identity.event = event.id"
        connection.exec_driver_sql(f"CREATE TABLE wide AS {joined}")
        for table in (event, profile, identity, daily):
            table.drop(connection, checkfirst=True)
        connection.exec_driver_sql("CREATE UNIQUE INDEX ix_wide ON wide (id)")
        there = {"event_id", *own, *shared}
    else:
        for index in found.get_indexes(event.name):
            connection.exec_driver_sql(f"DROP INDEX {index['name']}")
        connection.exec_driver_sql("ALTER TABLE event RENAME TO wide")
    rollup.drop(connection)
    return there


def _put_in_place(connection: Connection) -> None:
    held: ColumnElement[int] = _wide.c.marks
    for name, mark in HELD.items():
        held = held.bitwise_or(func.iif(_wide.c[name] != 0, int(mark), 0))
    connection.execute(update(_wide).values(marks=held))
    shared = [_wide.c[name] for name in (*ROLLED, "marks")]
    names = [column.name for column in shared]
    connection.execute(insert(profile).from_select(names, select(*shared).distinct()))
    same = and_(*(profile.c[name] == _wide.c[name] for name in names))
    own = [_wide.c.id, _wide.c.at, profile.c.id, *(_wide.c[name] for name in DETAILS)]
    moved = select(*own).select_from(_wide.join(profile, same)).order_by(_wide.c.id)
    connection.execute(insert(event).from_select([c.name for c in event.c], moved))
    day = whole(_wide.c.at, DAY)
    ids = select(day, _wide.c.event_id, _wide.c.at, _wide.c.id).order_by(day, _wide.c.event_id, _wide.c.at)
    connection.execute(insert(identity).from_select([c.name for c in identity.c], ids))
    _wide.drop(connection)
    count_all(connection)
    changed(connection, forgotten=True)


def _drop_pulls_of_no_account(connection: Connection) -> bool:
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
    suspected = _wide.c.marks.bitwise_and(int(EventProperty.SERVICE | EventProperty.FAILED))
    where = (_wide.c.name.in_(opened), suspected == int(EventProperty.SERVICE))
    blocks = blocks_of(connection, _wide.c.id, *where)
    for start in range(0, len(blocks), _AT_ONCE):
        some = select(raw.c.id, raw.c.body).where(raw.c.id.in_(blocks[start : start + _AT_ONCE]))
        found = [one for first, block in connection.execute(some) for one in _events(first, block)]
        values = [{"number": number, "marked": marks(one)} for number, one in found if one.may_open_token]
        if values:
            one = update(_wide).where(_wide.c.id == bindparam("number"))
            connection.execute(one.values(marks=bindparam("marked")), values)


def _fill_in(connection: Connection, younger: Sequence[str]) -> None:
    for name in younger:
        connection.exec_driver_sql(f"ALTER TABLE wide ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0")
    vocabulary = Vocabulary()
    vocabulary.begin(connection)
    for blocks in connection.execute(select(raw.c.id, raw.c.body)).partitions(_AT_ONCE):
        events = dict(found for first, block in blocks for found in _events(first, block))
        for name in younger:
            field = EVENT_FIELDS[name]
            numbers = vocabulary.numbers(connection, field.kind, list(map(field.text, events.values())))
            values = [{"number": n, "text": t} for n, t in zip(events, numbers, strict=True) if t]
            if values:
                one = update(_wide).where(_wide.c.id == bindparam("number"))
                connection.execute(one.values({name: bindparam("text")}), values)


def _events(first: int, block: bytes) -> Iterator[tuple[int, TrailEvent]]:
    """The events of a block by number; what is damaged is told when it is read."""
    with suppress(ValueError):
        for number, record in enumerate(unpack(block), first):
            found = read_record(load(record), record) if record else None
            if found is not None:
                yield number, found
