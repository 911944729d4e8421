"""Findings about keys and events, as a test says them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.guard.guard import Guard
from crypto_core.keys.posture.examination import Posture
from crypto_core.keys.status import Status
from crypto_core.trail.rules.examination import WINDOW, Examined
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.store.suppressions import Suppression, sift
from tests.crypto_core.paper_journal import Paper
from tests.screens.samples import NOW

if TYPE_CHECKING:
    from tests.screens.stage import Stage


@dataclass
class StagePosture:
    """What the stage's findings are."""

    stage: Stage

    def examine_keys(self, *, status: Status | None = None, cancelled: Event | None = None) -> Posture:
        """The findings."""
        self.stage.enter("posture", cancelled)
        return Posture(NOW, self.stage.findings, self.stage.gaps)


@dataclass
class StageRules:
    """The stage's findings about events; what is suppressed is in its own store."""

    stage: Stage

    @property
    def _rules(self) -> TrailRules:
        guard = Guard(Paper(), read_only=False, ready=lambda: None)
        return TrailRules(self.stage.events.store, clock=lambda: NOW, guard=guard)

    def examine_events(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        cancelled: Event | None = None,
    ) -> Examined:
        """The findings of the stage."""
        self.stage.enter("rules", cancelled)
        active = self._rules.suppressions()
        told, hidden = sift(self.stage.trail_findings, active)
        return Examined(NOW - WINDOW, NOW, told, self.stage.trail_gaps, hidden, active)

    def suppress(self, rule: str, subject: str, reason: str, days: int, by: str) -> Suppression:
        """Suppress."""
        self.stage.enter("suppress")
        return self._rules.suppress(rule, subject, reason, days, by)

    def unsuppress(self, number: int) -> None:
        """Take one back."""
        self.stage.enter("unsuppress")
        self._rules.unsuppress(number)

    def suppressions(self, *, expired: bool = False) -> tuple[Suppression, ...]:
        """Those that hold."""
        self.stage.enter("suppressions")
        return self._rules.suppressions(expired=expired)
