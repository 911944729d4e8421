"""Marks the calls that receipts explain: new events by stored receipts, stored events by new receipts.

Whichever comes first, the mark is the same. What is marked is counted as such by the hour, so that to leave
out explained calls costs a question nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from crypto_core.trail.columns import DAY, EventProperty
from crypto_core.trail.event_columns import Prepared
from crypto_core.trail.receipt_match import APART, days_near
from crypto_core.trail.store.bulk_insert import chunks, insert
from crypto_core.trail.store.hourly_counts import recount
from crypto_core.trail.store.receipt_tables import receipt
from crypto_core.trail.store.vocabulary import Profiles, profile_of

_EXPLAINED = int(EventProperty.EXPLAINED)
_NAMING = _EXPLAINED | int(EventProperty.RECEIPT)
Row = tuple[int, bytes, bytes, int, int, int, int]
"""Of a receipt, as the table has it: day, request, subject, second, operation, process, unanswered."""
_CALL = ("day", "request", "event", "at", "operation")


def write_calls(connection: Connection, first: int, events: Prepared) -> None:
    """Store the request ids of events that are numbered from `first`."""
    rows = [
        (events.at[place] // DAY, request, first + place, events.at[place], operation)
        for place, request, operation in events.requests
    ]
    insert(connection, "call", _CALL, sorted(rows))


def mark_explained(connection: Connection, events: Prepared, marks: list[int]) -> list[int]:
    """Return the marks of events that are about to be stored, with those of explained calls."""
    if not events.requests or connection.scalar(select(receipt.c.day).limit(1)) is None:
        return marks
    asked = ((day, request) for place, request, _ in events.requests for day in days_near(events.at[place]))
    known: defaultdict[bytes, list[tuple[int, int, bytes]]] = defaultdict(list)
    for request, *told in _looked_up(connection, "receipt", "request, at, operation, subject", asked):
        known[request].append(tuple(told))
    for place, request, operation in events.requests:
        for at, of, subject in known.get(request, ()):
            if operation == of and abs(events.at[place] - at) <= APART:
                marks[place] |= _bits(subject)
    return marks


def mark_stored(connection: Connection, receipts: Sequence[Row], profiles: Profiles) -> int:
    """Mark the stored events that some new receipts explain; return how many these are."""
    asked = ((day, request) for _, request, _, at, *_ in receipts for day in days_near(at))
    calls: defaultdict[bytes, list[tuple[int, int, int]]] = defaultdict(list)
    for request, *told in _looked_up(connection, "call", "request, event, at, operation", asked):
        calls[request].append(tuple(told))
    bits: defaultdict[int, int] = defaultdict(int)
    for _, request, subject, at, operation, *_ in receipts:
        for number, called, of in calls.get(request, ()):
            if operation == of and abs(called - at) <= APART:
                bits[number] |= _bits(subject)
    return add_marks(connection, bits, profiles)


def _bits(subject: bytes) -> int:
    return _NAMING if subject else _EXPLAINED


def add_marks(connection: Connection, bits: Mapping[int, int], profiles: Profiles) -> int:
    """Add marks to stored events, by number; return how many didn't have all of theirs."""
    moved: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    seconds: dict[int, int] = {}
    for some in chunks(sorted(bits)):
        places = ", ".join("?" * len(some))
        found = f"SELECT profile, id, at FROM event WHERE id IN ({places})"  # noqa: S608
        for before, number, at in connection.exec_driver_sql(found, tuple(some)):
            moved[before, bits[number]].append(number)
            seconds[number] = at
    marked: list[int] = []
    changed: set[int] = set()
    for (before, more), events in moved.items():
        *texts, marks = profile_of(connection, before)
        if marks | more != marks:
            (after,) = profiles.numbers(connection, [(*texts, marks | more)])
            for some in chunks(events):
                places = ", ".join("?" * len(some))
                statement = f"UPDATE event SET profile = ? WHERE id IN ({places})"  # noqa: S608
                connection.exec_driver_sql(statement, (after, *some))
            marked += events
            changed |= {before, after}
    recount(connection, (seconds[number] for number in marked), changed)
    return len(marked)


def _looked_up(
    connection: Connection, table: str, columns: str, asked: Iterable[tuple[int, bytes]]
) -> Iterator[Sequence[Any]]:
    by_day: defaultdict[int, list[bytes]] = defaultdict(list)
    for day, request in asked:
        by_day[day].append(request)
    for day, requests in by_day.items():
        for some in chunks(requests):
            places = ", ".join("?" * len(some))
            # Names are the schema's own; every value is a parameter.
            found = f"SELECT {columns} FROM {table} WHERE day = ? AND request IN ({places})"  # noqa: S608
            yield from connection.exec_driver_sql(found, (day, *some))
