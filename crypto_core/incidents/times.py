"""How long an incident took, against the budgets of its runbook: to detect, contain, eradicate and recover.

The phases are those of NIST SP 800-61 Rev. 2, section 3. Pure: the present time is handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from crypto_core.incidents.model import IncidentView, StepState, StepView
from crypto_core.incidents.runbooks.catalogue import PhaseKind
from crypto_core.values.counts import counted


@dataclass(frozen=True, slots=True)
class Time:
    """A time in seconds, None while it isn't known; then `missing` says why. Never negative.

    `budget_seconds` 0 is no budget. `within` is None without a budget and while it can't be told yet; what
    isn't reached when its budget has passed is no longer within.
    """

    seconds: float | None
    budget_seconds: int = 0
    within: bool | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class StepTime:
    """How long one step took, in seconds; of a running one, how long until now."""

    step_id: str
    number: int
    seconds: float | None
    budget_seconds: int
    within: bool | None
    running: bool = False


@dataclass(frozen=True, slots=True)
class Times:
    """The times of one incident.

    `detect` runs from when the compromise is suspected to have begun until the declaration. `contain`,
    `eradicate` and `recover` run from the declaration until the last step of such phases ended, their budgets
    are those of all steps up to there. `total` runs from the declaration until the incident was closed.
    Steps that are not needed have no budget.
    """

    detect: Time
    contain: Time
    eradicate: Time
    recover: Time
    total: Time
    elapsed_seconds: float
    """From the declaration until the incident was closed, or now."""
    steps: tuple[StepTime, ...] = ()

    def step(self, step_id: str) -> StepTime:
        """Return the time of one step. Raises KeyError."""
        for time in self.steps:
            if time.step_id == step_id:
                return time
        raise KeyError(step_id)


def times_of(view: IncidentView, now: datetime) -> Times:
    """Return how long everything took until `now`."""
    incident = view.incident
    elapsed = _seconds(incident.declared_at, incident.closed_at or now)
    since = incident.scope.since
    budget = _budget(view.steps)
    closed = incident.closed_at is not None
    return Times(
        detect=Time(_seconds(since, incident.declared_at))
        if since
        else Time(None, missing="since when is not known"),
        contain=_reached(PhaseKind.CONTAIN, view, elapsed),
        eradicate=_reached(PhaseKind.ERADICATE, view, elapsed),
        recover=_reached(PhaseKind.RECOVER, view, elapsed),
        total=Time(elapsed, budget, _within(elapsed, budget))
        if closed
        else Time(None, budget, _not_yet(elapsed, budget), "the incident is open"),
        elapsed_seconds=elapsed,
        steps=tuple(_step_time(step, now) for step in view.steps),
    )


def _reached(kind: PhaseKind, view: IncidentView, elapsed: float) -> Time:
    theirs = {step.id for phase in view.runbook.phases if phase.kind is kind for step in phase.steps}
    places = [
        place
        for place, step in enumerate(view.steps)
        if step.step.id in theirs and step.state is not StepState.NOT_NEEDED
    ]
    if not places:
        return Time(None, missing=f"there was nothing to {kind.value}")
    budget = _budget(view.steps[: places[-1] + 1])
    steps = [view.steps[place] for place in places]
    left = sum(not step.state.ended for step in steps)
    if left:
        return Time(None, budget, _not_yet(elapsed, budget), f"{counted(left, 'step')} remaining")
    ends = [step.ended_at for step in steps if step.ended_at is not None]
    if not ends:
        return Time(None, budget, None, "when its steps ended is not known")
    seconds = _seconds(view.incident.declared_at, max(ends))
    return Time(seconds, budget, _within(seconds, budget))


def _step_time(view: StepView, now: datetime) -> StepTime:
    if view.state is StepState.NOT_NEEDED:
        return StepTime(view.step.id, view.number, None, 0, None)
    budget = view.step.budget_seconds
    running = view.begun_at is not None and not view.state.ended
    if view.begun_at is None or (view.ended_at is None and not running):
        return StepTime(view.step.id, view.number, None, budget, None)
    seconds = _seconds(view.begun_at, now if running or view.ended_at is None else view.ended_at)
    within = _not_yet(seconds, budget) if running else _within(seconds, budget)
    return StepTime(view.step.id, view.number, seconds, budget, within, running)


def _budget(steps: Sequence[StepView]) -> int:
    return sum(step.step.budget_seconds for step in steps if step.state is not StepState.NOT_NEEDED)


def _within(seconds: float, budget: int) -> bool | None:
    return seconds <= budget if budget else None


def _not_yet(seconds: float, budget: int) -> bool | None:
    return False if budget and seconds > budget else None


def _seconds(start: datetime, end: datetime) -> float:
    """Never negative: hosts' clocks disagree by a little."""
    return max((end - start).total_seconds(), 0.0)
