"""The twins among events that were stored before twins were told: found once, when a store is upgraded.

All records are read, one after the other; what may be recorded twice is noted in a table on disk, so that
time grows with the store and memory doesn't. It is part of the upgrade's transaction: what is interrupted is
done again from its beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Subquery,
    Table,
    func,
    insert,
    select,
    update,
)

from crypto_core.trail.packing import unpack
from crypto_core.trail.record_reader import load, read_record
from crypto_core.trail.recorded_twice import NETWORK, detail, twin_keys
from crypto_core.trail.store.schema import raw
from crypto_core.trail.store.twins import APART, TWIN, twin

_BLOCKS, _AT_ONCE = 1_000, 10_000
"""Blocks that are read, and rows that are noted, together."""
_SHARED, _THROUGH = b'"sharedEventID"', b'"vpcEndpointId"'
"""What the record of a call that may be recorded twice has: others need not be parsed."""

_noted = Table(
    "older_twin",
    MetaData(),
    Column("key", LargeBinary),
    Column("number", Integer),
    Column("detail", Integer),
    prefixes=["TEMPORARY"],
)


def mark_older_twins(connection: Connection, events: Table) -> None:
    """Mark twins among all stored events, which a table has by `id`, `at`, `name` and `marks`."""
    _noted.create(connection)
    # Calls through an endpoint are many; where no trail records network activity, none has a twin.
    network = NETWORK.encode()
    ways = any(network in record for _, record in _records(connection))
    telling = (_SHARED, _THROUGH) if ways else (_SHARED,)
    rows = _rows(_records(connection), telling)
    while some := list(islice(rows, _AT_ONCE)):
        connection.execute(insert(_noted), some)
    calls = _calls(events)
    near = func.abs(calls.c.at - calls.c.counted_at) <= APART
    fewer = select(calls.c.number).where(calls.c.number != calls.c.counted, near)
    marked = events.c.marks.bitwise_or(TWIN)
    connection.execute(update(events).where(events.c.id.in_(fewer)).values(marks=marked))
    order = (_noted.c.detail.desc(), _noted.c.number)
    ranked = select(
        _noted, func.row_number().over(partition_by=_noted.c.key, order_by=order).label("rank")
    ).subquery()
    first = select(ranked.c.key, ranked.c.number, ranked.c.detail).where(ranked.c.rank == 1)
    connection.execute(insert(twin).from_select(["key", "id", "detail"], first))
    _noted.drop(connection)


def _calls(events: Table) -> Subquery:
    """Each record that was noted, with the one that counts: of those that follow one another closely."""
    same, time = (_noted.c.key, events.c.name), (events.c.at, _noted.c.number)
    before = func.lag(events.c.at).over(partition_by=same, order_by=time)
    found = (
        select(*_noted.c, events.c.at, events.c.name, (events.c.at - before > APART).label("apart"))
        .join(events, events.c.id == _noted.c.number)
        .subquery()
    )
    number = func.sum(found.c.apart).over(
        partition_by=(found.c.key, found.c.name), order_by=(found.c.at, found.c.number)
    )
    told = select(found, func.coalesce(number, 0).label("call")).subquery()
    call, order = (told.c.key, told.c.name, told.c.call), (told.c.detail.desc(), told.c.number)
    return select(
        told.c.number,
        told.c.at,
        func.first_value(told.c.number).over(partition_by=call, order_by=order).label("counted"),
        func.first_value(told.c.at).over(partition_by=call, order_by=order).label("counted_at"),
    ).subquery()


def _records(connection: Connection) -> Iterator[tuple[int, bytes]]:
    """The records by number; what is damaged is told when it is read."""
    for first, block in connection.execute(select(raw.c.id, raw.c.body)).yield_per(_BLOCKS):
        with suppress(ValueError):
            yield from enumerate(unpack(block), first)


def _rows(records: Iterable[tuple[int, bytes]], telling: Iterable[bytes]) -> Iterator[dict[str, object]]:
    for number, record in records:
        if any(one in record for one in telling):
            with suppress(ValueError):
                found = read_record(load(record), record)
                for key in twin_keys(found) if found is not None else ():
                    yield {"key": key, "number": number, "detail": detail(found)}  # type: ignore[arg-type]
