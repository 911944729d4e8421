"""The rules over an engine's events instead of the store's: the same questions, counted where events are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event

from crypto_core.database.tokens.decoys import ReadDecoys, no_decoys
from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.severity import Severity
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.query import Aliases
from crypto_core.trail.rules.configured import Configured, resolve
from crypto_core.trail.rules.examination import Examined, examine, window
from crypto_core.trail.rules.rule_context import RuleContext
from crypto_core.trail.store.event_questions import EventQuestions, Span, has


@dataclass(frozen=True, slots=True)
class EngineRules:
    """Examines the events that `history` answers of. Blocks on it, and raises what it raises.

    `lacking` is what is known to be missing there. Nothing is suppressed, and which buckets trails deliver to
    is told by the events alone: all that is a store's. `aliases` and `describe` are as in TrailRules.
    """

    history: EventQuestions
    configured: Configured = field(default_factory=Configured)
    aliases: Aliases = dict
    describe: Callable[[str], str] = lambda name: name
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    lacking: tuple[Gap, ...] = ()
    decoys: ReadDecoys = no_decoys

    def examine_events(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        cancelled: Event | None = None,
    ) -> Examined:
        """Return findings since `since`, by default for a day. Raises RefusedError, InterruptedRunError."""
        now = self.clock()
        since, until = window(since, until, now)
        if not self.history.any(Span(since, until)):
            return Examined(since, until, gaps=(*self.lacking, _empty(since, until)))
        keys, gaps = resolve(self.configured, self.aliases(), self.describe)
        context = RuleContext(self.history, since, until, keys, decoys=self.decoys())
        findings, missing = examine(context, (*self.lacking, *gaps), now, cancelled)
        return Examined(since, until, findings, missing)

    def events_of(self, finding: Finding) -> list[TrailEvent]:
        if not finding.events:
            return []
        after = None if finding.last_at is None else finding.last_at + timedelta(seconds=1)
        span, wanted = Span(finding.first_at, after), has("id", *finding.events)
        found = self.history.events((wanted,), span, limit=len(finding.events))
        return sorted(found, key=lambda event: finding.events.index(event.event_id))


def _empty(since: datetime, until: datetime) -> Gap:
    return Gap(
        f"CloudTrail events: there are none from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC",
        Severity.LOW,
    )
