"""Times of an incident: what is measured, against which budget, and what can't be told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_core.incidents.model import IncidentState, IncidentView, StepState, StepView
from crypto_core.incidents.runbooks.catalogue import PhaseKind
from crypto_core.incidents.times import Time, Times, times_of
from tests.crypto_core.incidents.sample import BEGAN, RUNBOOK, at, sample
from tests.lanes import examples

LATER = at(500)


def changed(view: IncidentView, step_id: str, **changes: object) -> IncidentView:
    steps = tuple(
        replace(step, **changes) if step.step.id == step_id else step  # type: ignore[arg-type]
        for step in view.steps
    )
    return replace(view, steps=steps)


def test_each_time_runs_from_the_declaration_to_the_last_step_of_its_phases() -> None:
    times = times_of(sample().view, LATER)
    assert times.detect == Time(190 * 60)
    assert times.contain == Time(37 * 60, 45 * 60, True)
    assert times.eradicate == Time(59 * 60, 110 * 60, True)
    assert times.recover == Time(97 * 60, 170 * 60, True)
    assert times.total == Time(105 * 60, 170 * 60, True)
    assert times.elapsed_seconds == 105 * 60, "a closed incident's time stands still"


def test_what_is_not_reached_has_no_time_and_is_over_once_its_budget_has_passed() -> None:
    view = sample(open_=True).view
    early, late = times_of(view, at(15)), times_of(view, at(60))
    assert early.contain == Time(None, 45 * 60, None, "2 steps remaining")
    assert late.contain == replace(early.contain, within=False)
    assert late.eradicate.within is None, "its budget has not passed yet"
    assert late.total == Time(None, 170 * 60, None, "the incident is open")
    assert late.elapsed_seconds == 60 * 60


def test_steps_that_are_not_needed_cost_no_budget_and_hold_nothing_up() -> None:
    view = sample().view
    without = changed(view, "revoke", state=StepState.NOT_NEEDED, begun_at=None, ended_at=None)
    times = times_of(without, LATER)
    assert times.eradicate.budget_seconds == 90 * 60
    assert times.total.budget_seconds == 150 * 60
    assert times.step("revoke").budget_seconds == 0
    nothing = changed(view, "quiet", state=StepState.NOT_NEEDED, begun_at=None, ended_at=None)
    assert times_of(nothing, LATER).recover == Time(None, missing="there was nothing to recover")


def test_a_step_taken_up_again_takes_back_the_time_of_its_phase() -> None:
    again = changed(sample().view, "lock", state=StepState.TODO, ended_at=None)
    assert times_of(again, LATER).contain.missing == "1 step remaining"


def test_a_running_step_that_is_over_its_budget_is_told_as_such() -> None:
    times = times_of(sample(open_=True).view, at(30))
    assert times.step("switch").running
    assert times.step("switch").within is False
    assert times.step("lock").seconds is None


def test_what_nobody_knows_is_told_as_such() -> None:
    view = sample().view
    incident = replace(view.incident, scope=replace(view.incident.scope, since=None))
    times = times_of(replace(view, incident=incident), LATER)
    assert times.detect == Time(None, missing="since when is not known")
    with pytest.raises(KeyError):
        times.step("no such step")


VIEW = sample().view
moments = st.integers(-60, 600).map(at)
states = st.sampled_from(StepState)


@st.composite
def views(draw: st.DrawFn) -> IncidentView:
    steps = []
    for number, step in enumerate(RUNBOOK.steps, start=1):
        state = draw(states)
        ended = draw(st.none() | moments) if state.ended else None
        steps.append(StepView(step, number, state, draw(st.none() | moments), ended))
    view = VIEW
    closed = draw(st.none() | moments)
    state = IncidentState.CLOSED if closed else IncidentState.OPEN
    scope = replace(view.incident.scope, since=draw(st.none() | moments))
    incident = replace(view.incident, state=state, closed_at=closed, scope=scope)
    return replace(view, incident=incident, steps=tuple(steps))


def of_kinds(times: Times) -> dict[PhaseKind, Time]:
    return {
        PhaseKind.CONTAIN: times.contain,
        PhaseKind.ERADICATE: times.eradicate,
        PhaseKind.RECOVER: times.recover,
    }


@settings(max_examples=examples(80))
@given(views(), st.integers(-60, 2000))
def test_times_are_never_negative_and_their_verdict_follows_from_time_and_budget(
    view: IncidentView, minutes: int
) -> None:
    times = times_of(view, BEGAN + timedelta(minutes=minutes))
    for time in (times.detect, *of_kinds(times).values(), times.total):
        assert (time.seconds is None) == bool(time.missing)
        assert time.seconds is None or time.seconds >= 0
        assert 0 <= time.budget_seconds <= times.total.budget_seconds
        if not time.budget_seconds:
            assert time.within is None
        elif time.seconds is not None:
            assert time.within == (time.seconds <= time.budget_seconds)
        else:
            assert time.within is not True, "what is not reached is never within its budget"
    for kind, time in of_kinds(times).items():
        theirs = [s for s in view.steps if RUNBOOK.phase_of(s.step.id).kind is kind]
        if any(not s.state.ended for s in theirs):
            assert time.seconds is None, "no time while steps are open"
    needed = [s for s in view.steps if s.state is not StepState.NOT_NEEDED]
    assert times.total.budget_seconds == sum(s.step.budget_seconds for s in needed)
    assert [t.step_id for t in times.steps] == [s.step.id for s in view.steps]
