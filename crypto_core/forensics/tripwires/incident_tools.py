"""Tripwires in an incident: whether their decoys stand, and who opened or used one.

Evidence lies in the database, so it names tripwires by their numbers and no decoy's row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crypto_core.findings.finding import Finding
from crypto_core.forensics.tripwires.plan import TripwireState
from crypto_core.incidents.event_fetch import begin_of
from crypto_core.incidents.keys.evidence_json import kept
from crypto_core.incidents.model import CheckResult, CheckState
from crypto_core.incidents.runbooks.catalogue import CaptureKind, CheckKind
from crypto_core.incidents.steps.step_contracts import Captured, Situation, Toolbox
from crypto_core.lists.coverage import Coverage
from crypto_core.trail.rules.service import TrailRules
from crypto_core.values.counts import counted
from crypto_core.values.errors import KeydeckError, TrailError

TRIPPED = ("event-tripwire-opened", "event-provider-tripwire")
"""The rules that tell of a decoy."""
NONE_SET = "No tripwire is set: whoever reads a copy of the tables would not be told."


@dataclass(frozen=True, slots=True)
class TripwireWatch:
    """Looks at tripwires. Blocks on SQL, KMS and the events' store; `states` may raise KeydeckError."""

    states: Callable[[], Sequence[TripwireState]]
    trail_rules: TrailRules
    clock: Callable[[], datetime]

    def tools(self) -> Toolbox:
        return Toolbox(
            checks={CheckKind.TRIPWIRES_KNOWN: self.known}, captures={CaptureKind.TRIPWIRES: self.captured}
        )

    def known(self, situation: Situation) -> CheckResult:
        """Pass if every decoy stands and it is known whether one was opened; also where none is set."""
        try:
            states = tuple(self.states())
            trips, gaps = self._trips(situation) if states else ((), ())
        except KeydeckError as error:
            return CheckResult(CheckState.UNKNOWN, (str(error),))
        lines = [*map(_words, states)] or [NONE_SET]
        lines += [f"{trip.title}: {trip.evidence}" for trip in trips]
        lines += [f"Not known: {gap}" for gap in gaps]
        if any(not state.stands for state in states):
            return CheckResult(CheckState.FAILED, tuple(lines))
        state = CheckState.UNKNOWN if states and gaps else CheckState.PASSED
        return CheckResult(state, tuple(lines))

    def captured(self, situation: Situation) -> tuple[Captured, ...]:
        """Return how the tripwires stand and what the events say of decoys. Raises KeydeckError."""
        states = tuple(self.states())
        content: dict[str, Any] = {
            "incident": situation.incident.name,
            "taken_at": self.clock().isoformat(),
            "tripwires": [_counts(state) for state in states],
        }
        try:
            trips, gaps = self._trips(situation)
        except TrailError as error:
            trips, gaps = (), (f"The events could not be examined: {error}",)
        content |= {
            "since": begin_of(situation.incident),
            "trips": [trip.as_json() for trip in trips],
            "coverage": Coverage(gaps).as_json(),
        }
        tripped = f", {counted(len(trips), 'finding')} about decoys" if states else ""
        return (
            Captured(CaptureKind.TRIPWIRES, f"{counted(len(states), 'tripwire')}{tripped}", kept(content)),
        )

    def _trips(self, situation: Situation) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
        examined = self.trail_rules.examine_events(begin_of(situation.incident), None, situation.cancelled)
        told = (*examined.findings, *(one.finding for one in examined.suppressed))
        return tuple(one for one in told if one.rule in TRIPPED), examined.coverage.reasons


def _words(state: TripwireState) -> str:
    decoys = counted(len(state.refs), "decoy token")
    gone = f"; {len(state.gone):,} gone or changed" if state.gone else ", as they were made"
    return f"Tripwire {state.number}: {decoys}{gone}"


def _counts(state: TripwireState) -> dict[str, Any]:
    return {"tripwire": state.number, "decoy_tokens": len(state.refs), "gone": len(state.gone)}
