"""What the rule about receipts asks of the store: who wrote them, up to when, and what excuses a call.

An attempt whose answer never arrived may have been served and recorded under an id that nobody knows, and a
process may have lost receipts. Both are told by the process itself, and excuse so many calls of its own
principal at that time: never more, and never unsaid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Event

from sqlalchemy import Connection, and_, func, or_, select

from crypto_core.lists.filter_language import Clause
from crypto_core.text.clean_text import CleanText, clean
from crypto_core.trail.columns import moment
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.query import Aliases
from crypto_core.trail.receipt_match import APART
from crypto_core.trail.store.blocks import event_of, with_records
from crypto_core.trail.store.conditions import Conditions, resolve
from crypto_core.trail.store.counts import texts_of
from crypto_core.trail.store.database import StoreFile
from crypto_core.trail.store.event_questions import Span
from crypto_core.trail.store.parts import parts
from crypto_core.trail.store.receipt_questions import (
    NAMES,
    Contradiction,
    contradictions,
    lost_spans,
    receipts_within,
)
from crypto_core.trail.store.receipt_tables import (
    UNKNOWN,
    UNKNOWN_BYTES,
    call,
    explains,
    receipt,
    receipt_process,
    receipt_reached,
)
from crypto_core.trail.store.schema import COLUMNS, event, profile

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
