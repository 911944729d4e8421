"""The rules' service: asks every rule about a window of the store, and leaves out what is suppressed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event

from crypto_core.database.tokens.decoys import ReadDecoys, no_decoys
from crypto_core.findings.finding import Finding, Gap, Severity, once_each
from crypto_core.findings.registry import rule_by_id
from crypto_core.guard.guard import Guard
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.operations import BY_NAME
from crypto_core.trail.query import Aliases
from crypto_core.trail.rules.examination import WINDOW, Examined, examine, window
from crypto_core.trail.rules.rule_context import (
    MOST_EVENTS,
    JudgedReceipts,
    ReceiptPolicy,
    RuleContext,
    judged_receipts,
)
from crypto_core.trail.rules.watched_keys import Configured, Keys, resolve
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.arrivals import BEGINNING, ArrivalMark, ExaminedArrivals
from crypto_core.trail.store.history import History, Span
from crypto_core.trail.store.pulls import PullBook
from crypto_core.trail.store.receipt_questions import ReceiptHistory
from crypto_core.trail.store.suppressions import Suppressed, Suppression, Suppressions, sift
from crypto_core.values.counts import counted
from crypto_core.values.errors import ReadOnlyError, RefusedError

SUPPRESS, UNSUPPRESS = BY_NAME["findings suppress"].name, BY_NAME["findings unsuppress"].name

MOST_DAYS = 62
"""So many days that events have come of are examined at once; of more, the newest."""
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)
_OVERLAP = timedelta(hours=1)
"""A day is examined with so much of the one before: what is many within an hour may be so across midnight."""


@dataclass(frozen=True, slots=True)
class NewFindings:
    """Findings of what came to the store, and how far that goes; calls without a receipt up to `judged`."""

    examined: Examined
    reached: ArrivalMark
    first: bool
    judged: datetime | None = None


Further = Callable[[datetime, datetime, Event | None], Iterable[Finding | Gap]]


@dataclass(eq=False)
class TrailRules:
    """Examines the events of a store. Blocks: call it from a worker.

    `guard` stands before what changes suppressions; without one none can be changed. `aliases` are those of
    keys; `describe` returns a key's ARN by another name, it raises KmsError. `decoys` reads the decoys.
    """

    store: EventStore
    configured: Configured = field(default_factory=Configured)
    aliases: Aliases = dict
    describe: Callable[[str], str] = lambda name: name
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    guard: Guard | None = None
    further: Further = lambda since, until, cancelled: ()
    receipts: ReceiptPolicy | None = None
    """From when on every call must have a receipt; None where not all need have one."""
    decoys: ReadDecoys = no_decoys

    def __post_init__(self) -> None:
        self._suppressions = Suppressions(self.store.file, self.clock)

    def examine_events(
        self, since: datetime | None = None, until: datetime | None = None, cancelled: Event | None = None
    ) -> Examined:
        """Return findings since `since`, by default for a day. Raises RefusedError, EventStoreError."""
        since, until = window(since, until, self.clock())
        active = self._suppressions.list()
        history = History(self.store.file, self.aliases, cancelled)
        further = tuple(self.further(since, until, cancelled))
        if not history.any(Span(since, until)):
            findings, missing = once_each((_empty(since, history.first()), *further))
            told, hidden = sift(findings, active)
            return Examined(since, until, told, missing, hidden, active, empty=True)
        keys, gaps = self.configured_keys()
        decoys = self.decoys()
        context = RuleContext(
            *(history, since, until, keys),
            receipts=self._judged(cancelled),
            followed=PullBook(self.store.file).followed(),
            decoys=decoys,
        )
        unread = (Gap(f"Tripwires: {decoys.unreadable}", Severity.HIGH),) if decoys.unreadable else ()
        told_of_keys, missing = examine(context, (*gaps, *unread), self.clock(), cancelled)
        findings, missing = once_each((*told_of_keys, *missing, *further))
        told, hidden = sift(findings, active)
        return Examined(since, until, told, missing, hidden, active)

    def _judged(self, cancelled: Event | None = None) -> JudgedReceipts | None:
        if self.receipts is None:
            return None
        history = ReceiptHistory(self.store.file, self.aliases, cancelled)
        return judged_receipts(self.receipts, history, self.clock())

    def configured_keys(self) -> tuple[Keys, tuple[Gap, ...]]:
        """Return the keys that rules are about, and a gap for each name that nobody can resolve."""
        return resolve(self.configured, self.aliases(), self.describe)

    def examine_arrivals(self, cancelled: Event | None = None) -> NewFindings:
        """Return what the rules say, and did not say before, of the days that events have come of.

        Counted is what came since `note_told`, and the days whose calls can now be judged for want of a
        receipt; before the first time it is the last day. Each day is examined as if on its evening: what is
        delivered late is not missed, and normal is what came before that day.
        Raises EventStoreError, InterruptedRunError.
        """
        now, record = self.clock(), ExaminedArrivals(self.store.file)
        before = record.reached()
        arrived, judged = record.arrived(before), self._judged(cancelled)
        gaps: list[Gap] = []
        if before == BEGINNING:
            spans = [(now - WINDOW, now)]
        else:
            due = judged.due(record.judged()) if judged is not None else ()
            days = tuple(sorted({*arrived.days, *due}))[-MOST_DAYS:]
            # A day that is not over yet ends now; one that is still to come was made up, or a clock is wrong.
            spans = [(day, day + _DAY if day + _DAY <= now or day > now else now + _SECOND) for day in days]
            if len(days) < len(left := {*arrived.days, *due}):
                gaps.append(_not_examined(sorted(left - {*days})))
        if arrived.reached == before:
            gaps.append(Gap("CloudTrail events: none has come since the last examination", Severity.HIGH))
        if arrived.undated:
            number = counted(arrived.undated, "event")
            reason = f"CloudTrail events: {number} without a date: no rule examines them"
            gaps.append(Gap(reason, Severity.HIGH))
        every: list[Finding] = []
        hidden: list[Suppressed] = []
        suppressions: tuple[Suppression, ...] = self._suppressions.list()
        for since, until in spans:
            found = self.examine_events(since - _OVERLAP, until, cancelled)
            every += (one for one in found.findings if not _before(one, since))
            hidden += found.suppressed
            gaps += found.gaps
        untold = record.untold(tuple(dict.fromkeys(every)))
        ordered = sorted(untold, key=lambda f: (f.severity.rank, f.rule, f.subject, f.title))
        begin, end = (spans[0][0], spans[-1][1]) if spans else (now, now)
        return NewFindings(
            Examined(begin, end, tuple(ordered), tuple(dict.fromkeys(gaps)), tuple(hidden), suppressions),
            arrived.reached,
            first=before == BEGINNING,
            judged=judged.until if judged is not None else None,
        )

    def note_told(self, new: NewFindings) -> None:
        """Note that these were told: the next examination begins after them. Raises EventStoreError."""
        ExaminedArrivals(self.store.file).note(
            new.reached, new.examined.findings, self.clock(), judged=new.judged
        )

    def suppress(self, rule: str, subject: str, reason: str, days: int, by: str) -> Suppression:
        """Don't tell a rule's findings about a subject, or a pattern of subjects, for so many days.

        Raises ReadOnlyError, MissingSchemaError, DatabaseError; journaled too: RefusedError for an unknown
        rule, without a reason or for too long a time, EventStoreError. What is not journaled is not done.
        """
        guard = self._may_change("suppress findings")
        with guard.recording(SUPPRESS, f"{rule} about {subject}", {"reason": reason, "days": days}):
            if rule_by_id(rule) is None:
                raise RefusedError(f"No rule is called {rule}.", remedy="keydeck findings rules lists them.")
            return self._suppressions.add(rule, subject, reason, days, by, _recorder(guard, SUPPRESS))

    def unsuppress(self, number: int) -> None:
        """Take a suppression back. Raises as `suppress`, RefusedError if there is none of this number."""
        guard = self._may_change("take a suppression back")
        with guard.recording(UNSUPPRESS, f"suppression {number}"):
            self._suppressions.remove(number, _recorder(guard, UNSUPPRESS))

    def _may_change(self, what: str) -> Guard:
        if self.guard is None:
            raise ReadOnlyError(f"Cannot {what} here.")
        self.guard.may_change(what)
        return self.guard

    def suppressions(self, *, expired: bool = False) -> tuple[Suppression, ...]:
        """Return those that hold now, or, `expired`, all. Raises EventStoreError."""
        return self._suppressions.list(expired=expired)


def _recorder(guard: Guard, action: str) -> Callable[[Suppression], None]:
    def record(one: Suppression) -> None:
        guard.journal.record(action, f"{one.rule} about {one.subject}", Outcome.DONE, one.as_json())

    return record


def _empty(since: datetime, first: datetime | None) -> Gap:
    nothing = "none at all" if first is None else f"none since {since:%Y-%m-%d %H:%M} UTC"
    return Gap(
        f"CloudTrail events: the store has {nothing}; fill it with keydeck events pull or keydeck events "
        "import PATH",
        Severity.LOW,
    )


def _before(finding: Finding, day: datetime) -> bool:
    """True for what happened before a day as a whole: it belongs to the day before. Some events tell that."""
    return len(finding.events) < MOST_EVENTS and finding.last_at is not None and finding.last_at < day


def _not_examined(days: Sequence[datetime]) -> Gap:
    return Gap(
        f"CloudTrail events: {counted(len(days), 'day')} from {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d} that "
        f"events have come of were not examined: keydeck findings --since {days[0]:%Y-%m-%d} does it",
        Severity.HIGH,
    )
