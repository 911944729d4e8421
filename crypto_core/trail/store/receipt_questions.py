"""What is asked of receipts: who wrote them, how far they cover, what they say was opened or contradict.

An attempt whose answer never arrived may have been served and recorded under an id that nobody knows, and a
process may have lost receipts. Both are told by the process itself, and excuse so many calls of its own
principal at that time: never more, and never unsaid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Event

from sqlalchemy import ColumnElement, Connection, ScalarSelect, and_, func, or_, select

from crypto_core.lists.filter_language import Clause
from crypto_core.trail.columns import DAY, moment
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.query import Aliases
from crypto_core.trail.receipt_match import APART, OPERATIONS, VALUE, is_token, subject_text
from crypto_core.trail.store.conditions import Conditions, resolve
from crypto_core.trail.store.counts import texts_of
from crypto_core.trail.store.database import StoreFile
from crypto_core.trail.store.event_places import event_of, with_records
from crypto_core.trail.store.history import Span
from crypto_core.trail.store.parts import parts
from crypto_core.trail.store.receipt_tables import (
    UNKNOWN,
    UNKNOWN_BYTES,
    call,
    contradicts,
    explains,
    receipt,
    receipt_process,
    receipt_reached,
    receipts_lost,
    same_call,
)
from crypto_core.trail.store.schema import COLUMNS, event, profile
from crypto_core.trail.term_sql import Bounds, whole
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.json_records import JsonRecord, shape

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


MOST = 200


@dataclass(frozen=True, slots=True)
class Writer:
    """Whose calls a database role wrote receipts of; `role` is "" for receipts of files."""

    principal: CleanText
    role: CleanText


@dataclass(frozen=True, slots=True)
class Allowance:
    """Calls that may lack receipts, as a process says: answers didn't arrive, or receipts were `lost`."""

    principal: CleanText
    operation: str
    since: datetime
    until: datetime
    calls: int
    lost: bool

    def excuses(self, one: TrailEvent) -> bool:
        return (
            one.principal.arn == self.principal
            and self.operation in ("", one.name)
            and self.since <= one.time <= self.until
        )


class ReceiptHistory:
    """Answers of one store. Every call may block; raises EventStoreError, InterruptedRunError."""

    def __init__(self, file: StoreFile, aliases: Aliases = dict, cancelled: Event | None = None) -> None:
        self._file = file
        self._aliases = aliases
        self._cancelled = cancelled

    def reached(self, since: datetime) -> datetime | None:
        """Return up to when receipts were taken in from every source that had any since a moment."""
        with self._file.reading(self._cancelled) as connection:
            ends = [moment(end) for end in connection.scalars(select(receipt_reached.c.until))]
        return min((end for end in ends if end >= since), default=None)

    def writers(self, terms: Iterable[Clause], span: Span) -> dict[Writer, int]:
        """Return by whom the receipts were written that explain a span's calls, each with how many calls."""
        totals: dict[tuple[int, str], int] = {}
        with self._asking(terms, span) as (connection, found):
            for part in parts(found, exact=True):
                who, role = COLUMNS["principal"], receipt_process.c.writer
                counted = part.counted(who, role, func.count(event.c.id.distinct()), by=("principal",))
                joined = counted.join(call, call.c.event == event.c.id).join(receipt, explains)
                joined = joined.join(receipt_process, receipt_process.c.id == receipt.c.process)
                joined = joined.where(*receipts_within(found.within))
                for principal, writer, number in connection.execute(joined.group_by(who, role)):
                    totals[principal, writer] = totals.get((principal, writer), 0) + int(number)
            named = texts_of(connection, sorted({principal for principal, _ in totals if principal}))
        return {
            Writer(named.get(principal, clean("")), clean(role, 63)): number
            for (principal, role), number in totals.items()
        }

    def allowances(self, span: Span) -> tuple[Allowance, ...]:
        with self._file.reading(self._cancelled) as connection:
            told = [
                *_unanswered(connection, span),
                *(
                    (lost.process, "", lost.since, lost.until, lost.lost, True)
                    for lost in lost_spans(connection, span.bounds)
                ),
            ]
            principals = _principals(connection, {one[0] for one in told})
        apart = timedelta(seconds=APART)
        return tuple(
            Allowance(principal, operation, since - apart, until + apart, calls, lost)
            for process, operation, since, until, calls, lost in told
            for principal in principals.get(process, ())
        )

    def contradictions(self, span: Span) -> tuple[tuple[Contradiction, TrailEvent], ...]:
        with self._file.reading(self._cancelled) as connection:
            found = contradictions(connection, span.bounds, MOST)
            numbers = [one.event for one in found]
            named = select(event.c.id, event.c.at).where(event.c.id.in_(numbers)).subquery()
            calls = {row[0]: event_of(tuple(row)) for row in connection.execute(with_records(named))}
        return tuple((one, calls[one.event]) for one in found if one.event in calls)

    @contextmanager
    def _asking(self, terms: Iterable[Clause], span: Span) -> Iterator[tuple[Connection, Conditions]]:
        with self._file.reading(self._cancelled) as connection:
            found = resolve(connection, tuple(terms), self._aliases)
            yield connection, replace(found, bounds=found.bounds.narrowed(span.bounds))


_Told = tuple[int, str, datetime, datetime, int, bool]


def _unanswered(connection: Connection, span: Span) -> Iterator[_Told]:
    r = receipt.c
    # A UUID, too, may begin with this byte, but has 16 of them.
    no_id = and_(func.substr(r.request, 1, 1) == UNKNOWN, func.length(r.request) == UNKNOWN_BYTES)
    asked = select(r.process, r.operation, r.at, r.unanswered, no_id)
    asked = asked.where(or_(r.unanswered > 0, no_id), *span.bounds.on(r.at))
    for process, operation, at, unanswered, without in connection.execute(asked):
        when = moment(at)
        yield process, NAMES.get(operation, ""), when, when, unanswered + bool(without), False


def _principals(connection: Connection, processes: Iterable[int]) -> dict[int, list[CleanText]]:
    """As whom each process calls KMS, by the calls that its other receipts explain."""
    found: dict[int, list[int]] = {}
    for process in processes:
        asked = (
            select(profile.c.principal)
            .distinct()
            .select_from(receipt)
            .join(call, explains)
            .join(event, event.c.id == call.c.event)
            .join(profile, profile.c.id == event.c.profile)
            .where(receipt.c.process == process)
        )
        found[process] = list(connection.scalars(asked))
    named = texts_of(connection, sorted({n for numbers in found.values() for n in numbers if n}))
    return {process: [named[n] for n in numbers if n in named] for process, numbers in found.items()}
