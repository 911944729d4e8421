"""Where an event is: found by its id, and its record in the block with the last number up to its own.

Ids are random: in one order, they would be written all over, a page for each new event. They are kept by day.
What comes together is of few days, and to find one id, each day that has events is looked into.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Subquery, delete, exists, func, select, update

from crypto_core.lists.filter_language import Alternative, Term
from crypto_core.lists.regular_expression import pattern
from crypto_core.trail.columns import DAY
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.query import record_values
from crypto_core.trail.record_compression import Block, unpack, without
from crypto_core.trail.record_reader import load, read_record
from crypto_core.trail.store.dialect import LARGEST
from crypto_core.trail.store.schema import chunks, event, identity, insert, note, raw
from crypto_core.values.errors import EventStoreError

_DAYS = """
WITH RECURSIVE days(day) AS (
    SELECT min(day) FROM identity
    UNION ALL
    SELECT (SELECT min(day) FROM identity WHERE identity.day > days.day) FROM days WHERE days.day IS NOT NULL
)
"""
_COLUMNS = ("day", "event_id", "at", "event")

Identity = tuple[int, bytes]
"""An event's second, and its id as it is stored: another record with its id hides it only at its own time."""


def write_ids(connection: Connection, first: int, events: Sequence[Identity]) -> None:
    rows = [(at // DAY, event_id, at, number) for number, (at, event_id) in enumerate(events, first)]
    insert(connection, "identity", _COLUMNS, sorted(rows))


def stored(connection: Connection, events: Sequence[Identity]) -> set[Identity]:
    """Return those of the events that are stored, and others of their days that have their ids."""
    by_day: dict[int, list[bytes]] = {}
    for at, event_id in events:
        by_day.setdefault(at // DAY, []).append(event_id)
    found: set[Identity] = set()
    for day, ids in by_day.items():
        for some in chunks(ids):
            asked = (
                "SELECT at, event_id FROM identity "  # noqa: S608
                f"WHERE day = ? AND event_id IN ({_marks(some)})"
            )
            found.update(map(tuple, connection.exec_driver_sql(asked, (day, *some))))
    return found


def numbers_of(connection: Connection, ids: Sequence[bytes]) -> list[int]:
    """Return the numbers of the events with these ids, the first that came first."""
    found: list[int] = []
    for some in chunks(ids):
        asked = (
            f"{_DAYS} SELECT event FROM identity "  # noqa: S608
            f"WHERE day IN (SELECT day FROM days) AND event_id IN ({_marks(some)})"
        )
        found += connection.exec_driver_sql(asked, tuple(some)).scalars()
    return sorted(found)


def id_of(connection: Connection, number: int) -> bytes | None:
    """Return the id of an event by its number; None where there is no such event. Its day is read for it."""
    at = connection.scalar(select(event.c.at).where(event.c.id == number))
    if at is None:
        return None
    same = select(identity.c.event_id).where(identity.c.day == at // DAY, identity.c.event == number)
    return connection.scalar(same.limit(1))


def _marks(values: Sequence[object]) -> str:
    """Places for values: every id is a parameter."""
    return ", ".join("?" * len(values))


_BLOCK = raw.alias("block")

Row = tuple[Any, ...]
"""Of an event: number, second, place in its block, block, when it was reviewed, note, by whom, when."""


def write_blocks(connection: Connection, first: int, blocks: Sequence[Block]) -> None:
    insert(connection, "raw", ("id", "body"), [(first + place, block) for place, block in blocks])


def with_records(chosen: Subquery) -> Select[Any]:
    """Return a query of the Rows of events that a query chose by `id` and `at`."""
    return select(
        chosen.c.id,
        chosen.c.at,
        chosen.c.id - raw.c.id,
        raw.c.body,
        note.c.reviewed_at,
        note.c.text,
        note.c.by,
        note.c.at,
    ).select_from(
        chosen.join(raw, raw.c.id == _block_of(chosen.c.id)).outerjoin(note, note.c.id == chosen.c.id)
    )


def of_record(
    number: ColumnElement[int], ask: Callable[[ColumnElement[bytes], ColumnElement[int]], ColumnElement[Any]]
) -> ColumnElement[Any]:
    """Return what is asked of the record of an event: of its block, and of its place in that."""
    block = raw.alias("asked")
    found = select(ask(block.c.body, number - block.c.id)).where(block.c.id <= number)
    return found.order_by(block.c.id.desc()).limit(1).correlate_except(block).scalar_subquery()


@lru_cache(maxsize=16)
def records_of(block: bytes) -> Sequence[bytes]:
    """Return the records of a block, unpacked once for neighbours. Raises ValueError."""
    return unpack(block)


HOLDS = "keydeck_record"
"""What SQL calls `holds`."""


def in_record(term: Term, number: ColumnElement[int]) -> ColumnElement[bool]:
    """The condition that the record of an event, by its number, holds what a term asks of it.

    Python looks at the unpacked record, last of all conditions.
    """
    asked = [(a.text, a.literal, a.pattern.written if a.pattern else None) for a in term.alternatives]
    wanted = json.dumps([term.field, asked])
    return of_record(number, lambda body, place: getattr(func, HOLDS)(wanted, body, place)) == 1


@lru_cache(maxsize=64)
def _wanted(written: str) -> tuple[str, Sequence[Alternative]]:
    field, asked = json.loads(written)
    return field, [
        Alternative(text=text, literal=literal, pattern=pattern(sought) if sought else None)
        for text, literal, sought in asked
    ]


def holds(wanted: str, block: bytes, place: int) -> bool:
    field, alternatives = _wanted(wanted)
    try:
        record = records_of(block)[place]
    except (IndexError, ValueError):
        return False  # it is damaged, and told when it is read
    return any(one.matches(value) for value in record_values(record, field) for one in alternatives)


def event_of(row: Row) -> TrailEvent:
    """Return the event of a Row. Raises EventStoreError for a damaged one."""
    try:
        place, block = row[2:4]
        record = records_of(block)[place]
        found = read_record(load(record), record)
    except (IndexError, ValueError) as error:
        raise EventStoreError(
            f"The event store's record {row[0]} is damaged.",
            remedy="Move the store away, then import or pull the events again.",
        ) from error
    if found is None:
        raise EventStoreError(f"The event store's record {row[0]} is not an event.")
    return found


def blocks_of(connection: Connection, number: ColumnElement[int], *events: ColumnElement[bool]) -> list[int]:
    """Return the numbers of the blocks with the records of events, whose column of numbers is `number`."""
    return list(connection.scalars(select(_block_of(number)).where(*events).distinct()))


def forget_records(connection: Connection, blocks: Sequence[int]) -> None:
    """Forget what these blocks hold of events that are gone, and every block that holds nothing else."""
    within = event.c.id.between(raw.c.id, _last_of(raw.c.id))
    connection.execute(delete(raw).where(~exists().where(within).correlate(raw)))
    stored = select(raw.c.id, raw.c.body, _last_of(raw.c.id))
    for some in chunks(blocks):
        for first, body, last in connection.execute(stored.where(raw.c.id.in_(some))).all():
            left = connection.scalars(select(event.c.id).where(event.c.id.between(first, last)))
            try:
                kept = without(body, {number - first for number in left})
            except ValueError:
                continue  # it is damaged, and told when it is read
            connection.execute(update(raw).where(raw.c.id == first).values(body=kept))


def _block_of(number: ColumnElement[int]) -> ColumnElement[int]:
    begins = select(func.max(_BLOCK.c.id)).where(_BLOCK.c.id <= number)
    return begins.correlate_except(_BLOCK).scalar_subquery()


def _last_of(first: ColumnElement[int]) -> ColumnElement[int]:
    following = select(func.min(_BLOCK.c.id)).where(_BLOCK.c.id > first)
    return func.coalesce(following.correlate_except(_BLOCK).scalar_subquery() - 1, LARGEST)
