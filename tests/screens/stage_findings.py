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
from crypto_core.trail.store.suppressions import sift
from tests.crypto_core.paper_journal import Paper
from tests.screens.samples import NOW
from tests.screens.stage_gate import Gated

if TYPE_CHECKING:
    from tests.screens.stage import Stage


@dataclass
class StagePosture:
    stage: Stage

    def examine_keys(self, *, status: Status | None = None, cancelled: Event | None = None) -> Posture:
        self.stage.enter("posture", cancelled)
        return Posture(NOW, self.stage.findings, self.stage.gaps)


class StageRules(Gated):
    """The stage's findings about events; what is suppressed is in its own store."""

    def __init__(self, stage: Stage) -> None:
        guard = Guard(Paper(), read_only=False, ready=lambda: None)
        self.stage = stage
        rules = TrailRules(stage.events.store, clock=lambda: NOW, guard=guard)
        calls = ("suppress", "unsuppress", "suppressions")
        super().__init__(rules, stage.enter, {call: call for call in calls})

    def examine_events(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        cancelled: Event | None = None,
    ) -> Examined:
        self.stage.enter("rules", cancelled)
        active = self._service.suppressions()
        told, hidden = sift(self.stage.trail_findings, active)
        return Examined(NOW - WINDOW, NOW, told, self.stage.trail_gaps, hidden, active)
