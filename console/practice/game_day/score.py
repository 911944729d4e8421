"""The score: how soon the intruder was noticed and shut out, what it got, and what is reached. Pure.

100 points, by a rule that anybody can reckon after:

- 40 for the ends: in proportion to those that are reached. That the platform works, and that nothing was
  deleted, earns nothing: whoever does nothing has that. It only counts if it is not so.
- 40 for the times, in equal parts: noticed, contained, eradicated, recovered. All of a part within its
  budget, none from three times the budget on, in proportion between; none for what never happened. What the
  runbook has no phase for, or was not needed, is left out. Nothing is contained, eradicated or recovered
  before the intruder is refused for good, whatever the runbook's steps say.
- 10 for what the intruder got after the incident was declared: one less for every ten calls that succeeded.
- 10 for the runbook: two less for every step that was skipped.

Without an incident there are only the points for the ends: nobody knows when it was noticed, or by which
steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from console.practice.game_day.deeds import CallOutcome, Deed, opened, shut_out_at
from console.practice.game_day.referee import EndSeen
from console.practice.game_day.scenario import Act, End, Scenario
from crypto_core.incidents.model import IncidentView, StepState
from crypto_core.incidents.runbooks.catalogue import PhaseKind
from crypto_core.incidents.times import times_of
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.moments import duration

ENDS, TIMES, AFTER, STEPS = 40, 40, 10, 10
TOO_LATE = 3
"""From so many times its budget on, a time is worth nothing."""

_ORDER = (PhaseKind.DETECT, PhaseKind.CONTAIN, PhaseKind.ERADICATE, PhaseKind.RECOVER)
_GAINS = frozenset(Act) - {Act.LOOK, Act.READ}
"""What the intruder gains something by. The copy of the database was in its hands before."""
_AS_BEFORE = frozenset({End.PLATFORM_WORKS, End.NOTHING_DELETED})
"""Ends that are so before anybody responds."""
_WORDS = {
    PhaseKind.DETECT: "noticed",
    PhaseKind.CONTAIN: "contained",
    PhaseKind.ERADICATE: "eradicated",
    PhaseKind.RECOVER: "recovered",
}


@dataclass(frozen=True, slots=True)
class PhaseTime(JsonRecord):
    """How long a phase took, in seconds; None if it never ended. `budget_seconds` 0 is no budget.

    Noticing is counted from the intruder's first move to the declaration; all else from the declaration to
    the end of the last step of its phase, with the budgets of all steps up to there.
    """

    kind: PhaseKind
    seconds: float | None
    budget_seconds: int

    json_shape = shape("phase=kind ...")

    @property
    def share(self) -> float:
        if self.seconds is None:
            return 0.0
        if not self.budget_seconds or self.seconds <= self.budget_seconds:
            return 1.0
        over = (self.seconds - self.budget_seconds) / (self.budget_seconds * (TOO_LATE - 1))
        return max(0.0, 1.0 - over)

    def __str__(self) -> str:
        word = _WORDS[self.kind]
        budget = f", budget {duration(self.budget_seconds)}" if self.budget_seconds else ", no budget"
        if self.seconds is None:
            return f"not {word}{budget}"
        late = self.budget_seconds and self.seconds > self.budget_seconds
        return f"{word} after {duration(self.seconds)}{budget}{': too late' if late else ''}"


@dataclass(frozen=True, slots=True)
class Score(JsonRecord):
    scenario: str
    began_at: datetime | None
    """The intruder's first move; None if it made none."""
    incident: str
    """Such as INC-7; "" if none was declared."""
    times: tuple[PhaseTime, ...]
    opened: int
    """Tokens that the intruder opened."""
    gained: int
    """Calls by which it gained something."""
    gained_after: int | None
    """Those of them after the declaration; None without one."""
    shut_out_seconds: float | None
    """From its first move until it was refused for good; None if it never was."""
    skipped: tuple[str, ...]
    """Steps of the runbook that were skipped, each with its reason."""
    ends: tuple[EndSeen, ...]
    points_ends: int
    points_times: int
    points_after: int
    points_steps: int
    trouble: str = ""
    """Why the incidents could not be read."""

    json_shape = shape(
        "scenario points reached incident? began_at ends times intruder skipped_steps=skipped "
        "points_by verdicts",
        ends=lambda score: [
            {"end": one.end, "reached": one.reached, "seen": clean(one.words)} for one in score.ends
        ],
        intruder=lambda score: {
            "tokens_opened": score.opened,
            "calls": score.gained,
            "calls_after_declaration": score.gained_after,
            "shut_out_seconds": score.shut_out_seconds,
        },
        points_by=lambda score: {
            "ends": score.points_ends,
            "times": score.points_times,
            "after_declaration": score.points_after,
            "steps": score.points_steps,
        },
    )

    @property
    def points(self) -> int:
        """0 to 100."""
        return self.points_ends + self.points_times + self.points_after + self.points_steps

    @property
    def reached(self) -> bool:
        """True if every end is reached that anybody in the sandbox can tell of."""
        told = [end for end in self.ends if end.reached is not None]
        return any(end.end not in _AS_BEFORE for end in told) and all(end.reached for end in told)

    @property
    def verdicts(self) -> tuple[str, ...]:
        said = [
            f"{counted(self.opened, 'token')} opened by the intruder, {counted(self.gained, 'call')} in all"
        ]
        if self.shut_out_seconds is not None:
            said.append(
                f"the intruder was refused for good {duration(self.shut_out_seconds)} after its first move"
            )
        else:
            said.append("the intruder was never refused for good")
        if self.trouble:
            said.append(f"the incidents could not be read: {self.trouble}")
        elif self.gained_after is None:
            said.append("no incident was declared: noticing, steps and what came after can't be scored")
        else:
            said += [str(time) for time in self.times]
            said.append(f"{counted(self.gained_after, 'call')} succeeded after {self.incident} was declared")
            said += [f"skipped: {step}" for step in self.skipped]
        return tuple(said)


def score(
    scenario: Scenario,
    deeds: Sequence[Deed],
    incidents: Iterable[IncidentView],
    ends: Sequence[EndSeen],
    trouble: str = "",
) -> Score:
    """Return the score of a game. `incidents` are those declared during it; `trouble` why there may be more.

    It was noticed when the first of them was declared; steps and times are those of the first one by the
    scenario's runbook, else of the first one.
    """
    began = deeds[0].at if deeds else None
    declared = sorted(incidents, key=lambda view: view.incident.declared_at)
    shut_out = shut_out_at(deeds)
    gains = [deed for deed in deeds if deed.act in _GAINS and deed.came is CallOutcome.DONE]
    counted_ends = [
        end for end in ends if end.reached is not None and not (end.reached and end.end in _AS_BEFORE)
    ]
    points_ends = _part(ENDS, [1.0 if end.reached else 0.0 for end in counted_ends])
    times: tuple[PhaseTime, ...] = ()
    skipped: tuple[str, ...] = ()
    after: int | None = None
    points_times = points_after = points_steps = 0
    incident = ""
    if declared:
        noticed_at = declared[0].incident.declared_at
        view = next((v for v in declared if v.runbook.id == scenario.runbook), declared[0])
        incident = view.incident.name
        noticed = max(0.0, (noticed_at - began).total_seconds()) if began else 0.0
        detected = PhaseTime(PhaseKind.DETECT, noticed, scenario.detect_seconds)
        times = (detected, *(_judged(time, view, shut_out) for time in phase_times(view)))
        skipped = tuple(
            clean(f"{step.number}. {step.step.title}: {step.reason}", 200)
            for step in view.steps
            if step.state is StepState.SKIPPED
        )
        after = sum(deed.at > noticed_at for deed in gains)
        points_times = _part(TIMES, [time.share for time in times])
        points_after = max(0, AFTER - math.ceil(after / 10))
        points_steps = max(0, STEPS - 2 * len(skipped))
    return Score(
        scenario=scenario.id,
        began_at=began,
        incident=incident,
        times=times,
        opened=len(opened(deeds)),
        gained=len(gains),
        gained_after=after,
        shut_out_seconds=(shut_out - began).total_seconds() if shut_out and began else None,
        skipped=skipped,
        ends=tuple(ends),
        points_ends=points_ends,
        points_times=points_times,
        points_after=points_after,
        points_steps=points_steps,
        trouble=clean(trouble, 300),
    )


def phase_times(view: IncidentView) -> tuple[PhaseTime, ...]:
    """Return, for each phase after the detection that was needed, when it ended; see PhaseTime."""
    times = times_of(view, view.incident.declared_at)
    needed = {step.step.id for step in view.steps if step.state is not StepState.NOT_NEEDED}
    there = {phase.kind for phase in view.runbook.phases if any(step.id in needed for step in phase.steps)}
    reached = zip(_ORDER[1:], (times.contain, times.eradicate, times.recover), strict=True)
    return tuple(
        PhaseTime(kind, time.seconds, time.budget_seconds) for kind, time in reached if kind in there
    )


def _judged(time: PhaseTime, view: IncidentView, shut_out: datetime | None) -> PhaseTime:
    """A phase's time as it really was: nothing is contained, or over, while the intruder gets in."""
    if time.seconds is None or shut_out is None:
        return replace(time, seconds=None)
    held = (shut_out - view.incident.declared_at).total_seconds()
    return replace(time, seconds=max(time.seconds, held))


def _part(points: int, shares: Sequence[float]) -> int:
    """So many points, by the mean of shares from 0 to 1, rounded down; none where there is nothing."""
    return math.floor(points * sum(shares) / len(shares) + 1e-9) if shares else 0
