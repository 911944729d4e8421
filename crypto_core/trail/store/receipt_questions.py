"""What is asked of receipts: how far they cover, what they say was opened, and where they contradict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, ScalarSelect, func, select

from crypto_core.text.clean_text import CleanText, clean
from crypto_core.text.json_records import JsonRecord, shape
from crypto_core.trail.columns import DAY, moment
from crypto_core.trail.receipt_match import APART, OPERATIONS, VALUE, is_token, subject_text
from crypto_core.trail.store.conditions import Conditions
from crypto_core.trail.store.parts import parts
from crypto_core.trail.store.receipt_tables import (
    call,
    contradicts,
    explains,
    receipt,
    receipt_process,
    receipts_lost,
    same_call,
)
from crypto_core.trail.store.schema import event
from crypto_core.trail.term_sql import Bounds, whole

NAMES = {number: name for name, number in OPERATIONS.items()}
_MOST_OF_EVENT = 20
"""Receipts of one event: more than one are made up, or of copies of a value."""


@dataclass(frozen=True, slots=True)
class ReceiptExtent(JsonRecord):
    """Of how many receipts the store has, of which time. `lost` are those that processes say they lost."""

    receipts: int
    processes: int
    first: datetime
    last: datetime
    lost: int

    json_shape = shape("first? last? number=receipts lost")


@dataclass(frozen=True, slots=True)
class OpenedSubject:
    """A token or a stored value that receipts say was opened, sealed or rewrapped.

    `token` is the reference as text; where it is "", `sha256` is the stored value's. Both are "" for calls
    that were for no stored token.
    """

    token: CleanText
    sha256: str
    calls: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class OpenedSubjects:
    """Some of them, the most frequent first. `others` are as many more, of `rest` calls."""

    rows: tuple[OpenedSubject, ...] = ()
    others: int = 0
    rest: int = 0


@dataclass(frozen=True, slots=True)
class ReceiptOfEvent(JsonRecord):
    """A receipt with an event's request id, by `writer` ("": a file); it `explains` or contradicts."""

    token: CleanText
    sha256: str
    operation: str
    at: datetime
    host: CleanText
    pid: int
    service: CleanText
    writer: CleanText
    explains: bool

    json_shape = shape("token_ref=token? stored_sha256=sha256? ... written_by=writer? explains")

    @property
    def words(self) -> str:
        what = self.token or (f"a stored value of SHA-256 {self.sha256[:16]}…" if self.sha256 else "no token")
        by = f"{self.service or 'a process'} on {self.host or 'a host'}, process {self.pid}"
        if self.explains:
            return f"{what}, by {by}"
        when = f"{self.at:%Y-%m-%d %H:%M:%S} UTC"
        return f"contradicts the record: {self.operation} at {when} of {what}, by {by}"


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A receipt with a call's request id that doesn't explain the call: of another operation or time."""

    event: int
    called_at: datetime
    called: str
    told_at: datetime
    told: str
    host: CleanText
    pid: int
    service: CleanText


@dataclass(frozen=True, slots=True)
class LostSpan:
    """So many receipts that a process did not write between two moments. `process` is its number."""

    process: int
    host: CleanText
    pid: int
    service: CleanText
    since: datetime
    until: datetime
    lost: int


def extent(connection: Connection) -> ReceiptExtent | None:
    """Return how far the receipts of the store reach; None where there are none."""
    counted = select(func.count(), func.min(receipt.c.at), func.max(receipt.c.at)).select_from(receipt)
    number, first, last = connection.execute(counted).one()
    if not number:
        return None
    processes = int(connection.scalar(select(func.count()).select_from(receipt_process)) or 0)
    lost = int(connection.scalar(select(func.sum(receipts_lost.c.lost))) or 0)
    return ReceiptExtent(number, processes, moment(first), moment(last), lost)


def subjects(connection: Connection, found: Conditions, limit: int, *, values_only: bool) -> OpenedSubjects:
    """Return what receipts say a filter's events are about; `values_only`, those without a reference."""
    totals: dict[bytes, list[int]] = {}
    for part in parts(found, exact=True):
        counted = part.counted(
            receipt.c.subject, func.count(event.c.id.distinct()), func.min(event.c.at), func.max(event.c.at)
        )
        joined = (
            counted.join(call, call.c.event == event.c.id)
            .join(receipt, explains)
            .where(*receipts_within(found.within))
        )
        if values_only:
            joined = joined.where(func.substr(receipt.c.subject, 1, 1) == VALUE)
        for subject, number, first, last in connection.execute(joined.group_by(receipt.c.subject)):
            known = totals.setdefault(subject, [0, first, last])
            known[0] += number
            known[1], known[2] = min(known[1], first), max(known[2], last)
    ordered = sorted(totals.items(), key=lambda item: (-item[1][0], item[0]))
    rest = ordered[limit:]
    rows = tuple(_subject(*one) for one in ordered[:limit])
    return OpenedSubjects(rows, len(rest), sum(numbers[0] for _, numbers in rest))


def receipts_of(connection: Connection, number: int) -> tuple[ReceiptOfEvent, ...]:
    """Return the receipts with the request id of one event, by its number; some where they are many."""
    r, p = receipt.c, receipt_process.c
    asked = (
        select(r.subject, r.operation, r.at, p.host, p.pid, p.service, p.writer, explains.label("explains"))
        .select_from(call)
        .join(receipt, same_call)
        .join(receipt_process, p.id == r.process)
        .where(call.c.event == number, call.c.day == _day_of(number))
        .order_by(r.at, r.subject)
        .limit(_MOST_OF_EVENT)
    )
    return tuple(
        ReceiptOfEvent(
            *_names(row.subject),
            NAMES.get(row.operation, "another operation"),
            moment(row.at),
            clean(row.host, 255),
            row.pid,
            clean(row.service, 255),
            clean(row.writer, 63),
            bool(row.explains),
        )
        for row in connection.execute(asked)
    )


def receipts_within(bounds: Bounds) -> Iterator[ColumnElement[bool]]:
    """Conditions for receipts of those days on which one can explain a call of these seconds."""
    if bounds.first is not None:
        yield receipt.c.day >= (bounds.first - APART) // DAY
    if bounds.last is not None:
        yield receipt.c.day <= (bounds.last + APART) // DAY


def _day_of(number: int) -> ScalarSelect[int]:
    """The day of an event's call; both tables are read by day."""
    return select(whole(event.c.at, DAY)).where(event.c.id == number).scalar_subquery()


def contradictions(connection: Connection, bounds: Bounds, limit: int) -> tuple[Contradiction, ...]:
    """Return the receipts of some seconds that contradict their call's record, explained or not."""
    asked = (
        select(
            *(call.c.event, call.c.at, call.c.operation, receipt.c.at, receipt.c.operation),
            *(receipt_process.c[name] for name in ("host", "pid", "service")),
        )
        .select_from(receipt)
        .join(call, contradicts)
        .join(receipt_process, receipt_process.c.id == receipt.c.process)
        .where(*bounds.on(call.c.at))
        .order_by(call.c.at, call.c.event)
        .limit(limit)
    )
    return tuple(
        Contradiction(
            number,
            moment(called_at),
            NAMES.get(called, "another operation"),
            moment(told_at),
            NAMES.get(told, "another operation"),
            clean(host, 255),
            pid,
            clean(service, 255),
        )
        for number, called_at, called, told_at, told, host, pid, service in connection.execute(asked)
    )


def lost_spans(connection: Connection, bounds: Bounds) -> tuple[LostSpan, ...]:
    """Return where processes lost receipts within some seconds."""
    asked = select(
        *(receipt_process.c[name] for name in ("id", "host", "pid", "service")),
        *(receipts_lost.c[name] for name in ("since", "at", "lost")),
    ).join(receipt_process, receipt_process.c.id == receipts_lost.c.process)
    within = []
    if bounds.first is not None:
        within.append(receipts_lost.c.at >= bounds.first)
    if bounds.last is not None:
        within.append(receipts_lost.c.since <= bounds.last)
    rows = connection.execute(asked.where(*within).order_by(receipts_lost.c.since, receipts_lost.c.process))
    return tuple(
        LostSpan(number, clean(host, 255), pid, clean(service, 255), moment(since), moment(at), lost)
        for number, host, pid, service, since, at, lost in rows
    )


def _subject(subject: bytes, numbers: Sequence[int]) -> OpenedSubject:
    number, first, last = numbers
    return OpenedSubject(*_names(subject), number, moment(first), moment(last))


def _names(subject: bytes) -> tuple[CleanText, str]:
    text = subject_text(subject) if subject else ""
    token = clean(text, 1_024) if subject and is_token(subject) else clean("")
    return token, "" if token else text
