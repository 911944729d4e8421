"""Puts receipts into the store, each once, marks the calls that they explain, and forgets both together.

New events are marked by stored receipts, stored events by new receipts: whichever comes first, the mark is
the same. What is marked is counted as such by the hour, so that to leave out explained calls costs a question
nothing.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, exists, select

from crypto_core.aws.receipts.receipt import LostReceipts, Receipt, ReceiptProcess
from crypto_core.trail.columns import DAY, EventProperty, seconds, stored_id
from crypto_core.trail.event_columns import Prepared
from crypto_core.trail.receipt_match import APART, OPERATIONS, OTHER, days_near, subject_of
from crypto_core.trail.store.hourly_counts import recount
from crypto_core.trail.store.receipt_tables import (
    UNKNOWN,
    UNKNOWN_BYTES,
    call,
    receipt,
    receipt_process,
    receipts_lost,
    same_call,
)
from crypto_core.trail.store.schema import chunks, event, insert
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


_RECEIPT = ("day", "request", "subject", "at", "operation", "process", "unanswered")
Identity = tuple[int, bytes, bytes, int, int]
_LOST = ("process", "since", "at", "lost")


@dataclass(frozen=True, slots=True)
class AddedReceipts:
    """What became of receipts: stored calls `explained` by new ones, and receipts `lost` by processes."""

    new: int = 0
    duplicates: int = 0
    explained: int = 0
    lost: int = 0

    def __add__(self, other: AddedReceipts) -> AddedReceipts:
        return AddedReceipts(
            self.new + other.new,
            self.duplicates + other.duplicates,
            self.explained + other.explained,
            self.lost + other.lost,
        )


def write_receipts(
    connection: Connection, receipts: Sequence[Receipt], writer: str, profiles: Profiles
) -> AddedReceipts:
    """Store receipts, each once; `writer` is the role that inserted them, "" for those of a file."""
    numbers = _processes(connection, [one.process for one in receipts], writer)
    once: dict[Identity, Row] = {}
    for one in receipts:
        row = _row(one, numbers[one.process])
        once.setdefault(row[:5], row)
    there = _stored(connection, list(once))
    new = [row for identity, row in sorted(once.items()) if identity not in there]
    insert(connection, "receipt", _RECEIPT, new)
    explained = mark_stored(connection, new, profiles)
    return AddedReceipts(len(new), len(receipts) - len(new), explained)


def write_lost(connection: Connection, lost: Sequence[LostReceipts], writer: str) -> AddedReceipts:
    numbers = _processes(connection, [one.process for one in lost], writer)
    rows = {(numbers[one.process], seconds(one.since), seconds(one.at), one.lost) for one in lost}
    known = {tuple(row) for row in connection.execute(select(receipts_lost))} if rows else set()
    new = sorted(rows - known)
    insert(connection, "receipts_lost", _LOST, new, "ON CONFLICT DO NOTHING")
    return AddedReceipts(lost=sum(row[-1] for row in new))


def forget_receipts_before(connection: Connection, at: int) -> None:
    """Forget the calls of events that are gone, and the receipts before a second that explain none."""
    connection.execute(delete(call).where(call.c.day <= at // DAY, call.c.event.not_in(select(event.c.id))))
    old = (receipt.c.at < at, ~exists().where(same_call).correlate(receipt))
    connection.execute(delete(receipt).where(*old))
    connection.execute(delete(receipts_lost).where(receipts_lost.c.at < at))
    used = select(receipt.c.process).union(select(receipts_lost.c.process))
    connection.execute(delete(receipt_process).where(receipt_process.c.id.not_in(used)))


def _row(one: Receipt, process: int) -> Row:
    at = seconds(one.at)
    request = stored_id(one.request_id) if one.request_id else _unknown(one)
    subject = subject_of(one.token or one.stored_sha256 or "")
    operation = OPERATIONS.get(one.operation, OTHER)
    return at // DAY, request, subject, at, operation, process, one.unanswered


def _unknown(one: Receipt) -> bytes:
    told = f"{one.at.isoformat()} {one.process.host} {one.process.pid} {one.process.service}"
    return UNKNOWN + hashlib.sha256(told.encode()).digest()[: UNKNOWN_BYTES - 1]


def _stored(connection: Connection, identities: Sequence[Identity]) -> set[Identity]:
    by_day: dict[int, list[bytes]] = {}
    for day, request, *_ in identities:
        by_day.setdefault(day, []).append(request)
    found: set[Identity] = set()
    for day, requests in by_day.items():
        for some in chunks(requests):
            asked = select(*(receipt.c[name] for name in _RECEIPT[:5]))
            asked = asked.where(receipt.c.day == day, receipt.c.request.in_(some))
            found.update(map(tuple, connection.execute(asked)))
    return found


def _processes(
    connection: Connection, processes: Sequence[ReceiptProcess], writer: str
) -> dict[ReceiptProcess, int]:
    found: dict[ReceiptProcess, int] = {}
    p = receipt_process.c
    columns = ("host", "pid", "service", "writer")
    for one in dict.fromkeys(processes):
        told = (str(one.host), one.pid, str(one.service), writer)
        insert(connection, "receipt_process", columns, [told], "ON CONFLICT DO NOTHING")
        same = [p[name] == value for name, value in zip(columns, told, strict=True)]
        found[one] = int(connection.execute(select(p.id).where(*same)).scalar_one())
    return found
