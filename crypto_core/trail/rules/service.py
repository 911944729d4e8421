"""The rules' service: asks every rule about a window of the store, and leaves out what is suppressed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event

from crypto_core.cancelling import stop_if
from crypto_core.errors import RefusedError
from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.registry import Facts, rule_by_id, rules_about
from crypto_core.findings.severity import Severity
from crypto_core.lists.coverage import Coverage
from crypto_core.text.counting import counted
from crypto_core.trail.query import Aliases
from crypto_core.trail.rules.configured import Configured, resolve
from crypto_core.trail.rules.rule_context import BASELINE_DAYS, MOST_FINDINGS, RuleContext
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.history import History, Span
from crypto_core.trail.store.suppressions import Suppressed, Suppression, Suppressions, sift

WINDOW = timedelta(hours=24)
"""How much is examined unless somebody says otherwise."""


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
        return Coverage(tuple(dict.fromkeys(gap.reason for gap in self.gaps)))


@dataclass(eq=False)
class TrailRules:
    """Examines the events of a store. Blocks: call it from a worker.

    `aliases` are those of keys; `describe` returns a key's ARN by another name, it raises KmsError.
    """

    store: EventStore
    configured: Configured = field(default_factory=Configured)
    aliases: Aliases = dict
    describe: Callable[[str], str] = lambda name: name
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

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
        keys, gaps = resolve(self.configured, self.aliases(), self.describe)
        context = RuleContext(history, since, until, keys)
        said: list[Finding | Gap] = [*gaps, *_baseline(context)]
        for rule in rules_about(Facts.EVENTS):
            stop_if(cancelled)
            said += _bounded(rule.id, rule(context))
        findings = {(f.rule, f.subject, f.title): f for f in said if isinstance(f, Finding)}
        ordered = sorted(findings.values(), key=lambda f: (f.severity.rank, f.rule, f.subject, f.title))
        told, hidden = sift(ordered, active)
        return Examined(
            since,
            until,
            told,
            tuple(dict.fromkeys(g for g in said if isinstance(g, Gap))),
            hidden,
            active,
        )

    def suppress(self, rule: str, subject: str, reason: str, days: int, by: str) -> Suppression:
        """Don't tell a rule's findings about a subject, or a pattern of subjects, for so many days.

        Raises RefusedError for an unknown rule, without a reason or for too long a time, EventStoreError.
        """
        if rule_by_id(rule) is None:
            raise RefusedError(f"No rule is called {rule}.", remedy="keydeck findings rules lists them.")
        return self._suppressions.add(rule, subject, reason, days, by)

    def unsuppress(self, number: int) -> None:
        """Take a suppression back. Raises RefusedError if there is none of this number, EventStoreError."""
        self._suppressions.remove(number)

    def suppressions(self, *, expired: bool = False) -> tuple[Suppression, ...]:
        """Return those that hold now, or, `expired`, all. Raises EventStoreError."""
        return self._suppressions.list(expired=expired)


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
            f"{context.since:%Y-%m-%d %H:%M} UTC, {BASELINE_DAYS} days are needed to tell what is new",
            Severity.LOW,
        )


def _bounded(rule: str, said: Iterable[Finding | Gap]) -> list[Finding | Gap]:
    """The worst findings of one rule, and a gap for those that are too many."""
    every = tuple(said)
    gaps: list[Finding | Gap] = [one for one in every if isinstance(one, Gap)]
    findings = sorted((one for one in every if isinstance(one, Finding)), key=lambda f: f.severity.rank)
    more = len(findings) - MOST_FINDINGS
    if more > 0:
        worst = findings[MOST_FINDINGS].severity
        gaps.append(Gap(f"CloudTrail events: {more:,} more findings of {rule} are not told", worst))
    return [*gaps, *findings[:MOST_FINDINGS]]
