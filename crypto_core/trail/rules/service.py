"""The rules' service: asks every rule about a window of the store, and leaves out what is suppressed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event

from crypto_core.cancelling import stop_if
from crypto_core.errors import ReadOnlyError, RefusedError
from crypto_core.findings.finding import Finding, Gap, coverage_of, once_each
from crypto_core.findings.registry import Facts, rule_by_id, rules_about
from crypto_core.findings.severity import Severity
from crypto_core.guard.guard import Guard
from crypto_core.guard.operations import BY_NAME
from crypto_core.guard.outcome import Outcome
from crypto_core.lists.coverage import Coverage
from crypto_core.text.counting import counted
from crypto_core.trail.query import Aliases
from crypto_core.trail.rules.configured import Configured, Keys, resolve
from crypto_core.trail.rules.rule_context import BASELINE_DAYS, MOST_FINDINGS, RuleContext
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.history import History, Span
from crypto_core.trail.store.suppressions import Suppressed, Suppression, Suppressions, sift

SUPPRESS, UNSUPPRESS = BY_NAME["findings suppress"].name, BY_NAME["findings unsuppress"].name

WINDOW = timedelta(hours=24)
"""How far back events are examined by default."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What the rules say of a window, the worst first, and what they could not look at.

    `suppressions` are those that held then, also those about findings of other rules.
    """

    since: datetime
    until: datetime
    findings: tuple[Finding, ...] = ()
    gaps: tuple[Gap, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    suppressions: tuple[Suppression, ...] = ()

    @property
    def coverage(self) -> Coverage:
        """What was not examined."""
        return coverage_of(self.gaps)


@dataclass(eq=False)
class TrailRules:
    """Examines the events of a store. Blocks: call it from a worker.

    `guard` stands before what changes suppressions; without one none can be changed. `aliases` are those of
    keys; `describe` returns a key's ARN by another name, it raises KmsError.
    """

    store: EventStore
    configured: Configured = field(default_factory=Configured)
    aliases: Aliases = dict
    describe: Callable[[str], str] = lambda name: name
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    guard: Guard | None = None

    def __post_init__(self) -> None:
        self._suppressions = Suppressions(self.store.file, self.clock)

    def examine_events(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        cancelled: Event | None = None,
    ) -> Examined:
        """Return what the rules say of the events from `since` on, up to `until`: by default the last day.

        Raises RefusedError for a window that ends before it begins, EventStoreError, InterruptedRunError.
        """
        until = until or self.clock()
        since = since or until - WINDOW
        if since >= until:
            raise RefusedError("The window ends before it begins.", remedy="Give an earlier --since.")
        active = self._suppressions.list()
        history = History(self.store.file, self.aliases, cancelled)
        if not history.any(Span(since, until)):
            return Examined(since, until, gaps=(_empty(since, history.first()),), suppressions=active)
        keys, gaps = self.configured_keys()
        context = RuleContext(history, since, until, keys)
        said: list[Finding | Gap] = [*gaps, *_baseline(context)]
        for rule in rules_about(Facts.EVENTS):
            stop_if(cancelled)
            said += _bounded(rule.id, rule(context))
        findings, missing = once_each(said)
        told, hidden = sift(findings, active)
        return Examined(since, until, told, missing, hidden, active)

    def configured_keys(self) -> tuple[Keys, tuple[Gap, ...]]:
        """Return the keys that rules are about, and a gap for each name that nobody can resolve."""
        return resolve(self.configured, self.aliases(), self.describe)

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
    """No event in the window: nothing is known of who used the keys."""
    nothing = "none at all" if first is None else f"none since {since:%Y-%m-%d %H:%M} UTC"
    return Gap(
        f"CloudTrail events: the store has {nothing}; fill it with keydeck events pull or keydeck events "
        "import PATH",
        Severity.LOW,
    )


def _baseline(context: RuleContext) -> Iterable[Gap]:
    if not context.has_baseline:
        yield Gap(
            f"CloudTrail events: no baseline yet: events on {counted(context.days_before, 'day')} before "
            f"{context.since:%Y-%m-%d %H:%M} UTC, {BASELINE_DAYS} days are needed to recognise what is new",
            Severity.LOW,
        )


def _bounded(rule: str, said: Iterable[Finding | Gap]) -> list[Finding | Gap]:
    """The worst findings of one rule, and a gap for those that are too many."""
    findings, missing = once_each(said)
    gaps = [*missing]
    more = len(findings) - MOST_FINDINGS
    if more > 0:
        worst = findings[MOST_FINDINGS].severity
        gaps.append(Gap(f"CloudTrail events: {more:,} more findings of {rule} are not listed", worst))
    return [*gaps, *findings[:MOST_FINDINGS]]
