"""The scripted operator at a runbook, against incidents kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from console.practice.game_day.player import Player
from console.practice.game_day.runbook_work import RunbookWork
from console.practice.game_day.scenario import SCENARIOS
from console.practice.story import ClosedIncident
from crypto_core.findings.finding import Finding, Severity
from crypto_core.guard.consent import Danger
from crypto_core.incidents.model import (
    Incident,
    IncidentScope,
    IncidentState,
    IncidentView,
    StepState,
    StepView,
)
from crypto_core.incidents.runbooks.catalogue import ActionKind, PhaseKind, SubjectKind
from crypto_core.incidents.runbooks.runbook import Phase, Runbook, RunbookStep
from crypto_core.incidents.steps.step_contracts import ActionPlan, ActionResult, InputField
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import (
    InterruptedRunError,
    KeydeckError,
    KmsAccessDeniedError,
    RefusedError,
    RunbookError,
)

HOSTILE = "[/red]\x1b]0;owned\x07\u202e"
STEPS = (
    RunbookStep("denied", clean("Denied"), clean(""), action=ActionKind.DISABLE_KEY),
    RunbookStep("job", clean("Re-encrypt"), clean(""), action=ActionKind.REENCRYPT),
    RunbookStep("look", clean("Look"), clean("")),
)
BOOK = Runbook(
    "key-compromise",
    1,
    clean("Compromise"),
    SubjectKind.KEY,
    clean(""),
    (Phase(PhaseKind.CONTAIN, clean("All"), STEPS),),
    "00",
)


class MemoryIncidents:
    """One incident, whose first step is denied. `faults` are raised by the calls they are named after."""

    def __init__(self, **faults: KeydeckError) -> None:
        incident = Incident(
            1, clean("C"), IncidentState.OPEN, IncidentScope(), datetime.now(UTC), clean("omar")
        )
        self.view = IncidentView(incident, BOOK, tuple(StepView(s, n) for n, s in enumerate(STEPS, 1)))
        self.faults = faults
        self.calls: list[str] = []

    def runbooks(self) -> tuple[Runbook, ...]:
        return (BOOK,)

    def declare(self, runbook: str, scope: IncidentScope, title: str = "") -> int:
        if runbook != BOOK.id:
            raise RunbookError(f"There is no runbook {runbook}.")
        return 1

    def show(self, _incident: int) -> IncidentView:
        return self.view

    def fields(self, *_: Any, **given: Any) -> tuple[InputField, ...]:
        self._enter("fields")
        assert "cancelled" in given
        return ()

    def plan_action(self, _incident: int, step: str, *_: Any, **__: Any) -> ActionPlan:
        if step == "denied":
            raise KmsAccessDeniedError(f"Access denied: {HOSTILE}", operation="DisableKey")
        return ActionPlan(step, step, Danger.CONFIRM)

    def run_action(self, *_: Any, **__: Any) -> ActionResult:
        return ActionResult(True, (HOSTILE,), {"job": "12"})

    def finish(self, _incident: int, step: str, **given: Any) -> StepView:
        assert "cancelled" in given
        self._enter("finish")
        return self._end(step, StepState.DONE)

    def skip(self, _incident: int, step: str, reason: str) -> StepView:
        return self._end(step, StepState.SKIPPED, reason)

    def close(self, *_: Any) -> None:
        self._enter("close")

    def _enter(self, name: str) -> None:
        self.calls.append(name)
        if name in self.faults:
            raise self.faults[name]

    def _end(self, step: str, state: StepState, reason: str = "") -> StepView:
        steps = tuple(
            replace(s, state=state, reason=clean(reason)) if s.step.id == step else s for s in self.view.steps
        )
        self.view = replace(self.view, steps=steps)
        return self.view.step(step)


def at_work(
    incidents: MemoryIncidents,
    work: type[RunbookWork] = RunbookWork,
    cancelled: Event | None = None,
    join: Callable[..., None] = lambda job, cancelled: None,
) -> tuple[RunbookWork, list[str]]:
    told: list[str] = []
    services = SimpleNamespace(incidents=incidents, jobs=SimpleNamespace(join_job=join))
    container: Any = SimpleNamespace(services=services)
    nothing: Any = None
    return work(container, nothing, nothing, told.append, cancelled), told


def states(incidents: MemoryIncidents) -> list[StepState]:
    return [step.state for step in incidents.view.steps]


def test_a_failing_step_is_skipped_with_its_reason_and_hostile_text_does_no_harm() -> None:
    incidents = MemoryIncidents()
    work, told = at_work(incidents)
    work.work(1, "over")
    assert states(incidents) == [StepState.SKIPPED, StepState.DONE, StepState.DONE]
    assert "Access denied" in incidents.view.step("denied").reason
    assert incidents.calls[-1] == "close"
    assert not {"\x1b", "\x07", "\u202e"} & set("".join(told))


def test_an_input_is_what_the_form_proposes(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = InputField("key", "Which?", choices=(("a", "A"), ("b", "B")))
    incidents, given = MemoryIncidents(), []
    monkeypatch.setattr(incidents, "fields", lambda *_, **__: (asks, replace(asks, name="x", required=False)))

    def plan_action(_incident: int, step: str, inputs: dict[str, Any], **_: Any) -> ActionPlan:
        given.append(inputs)
        return ActionPlan(step, step, Danger.CONFIRM)

    monkeypatch.setattr(incidents, "plan_action", plan_action)
    at_work(incidents)[0].work(1, "over")
    assert given[0] == {"key": "a", "x": ""}


def test_a_refused_close_and_a_step_that_the_demos_incident_needs_end_the_work() -> None:
    with pytest.raises(RefusedError):
        at_work(MemoryIncidents(close=RefusedError("Read only.")))[0].work(1, "over")
    incidents = MemoryIncidents()
    with pytest.raises(KmsAccessDeniedError):
        at_work(incidents, ClosedIncident)[0].work(1, "over")
    assert (states(incidents)[0], incidents.calls) == (StepState.TODO, ["fields"])


def test_what_is_cancelled_stops_at_once_and_ends_no_step() -> None:
    incidents = MemoryIncidents(finish=InterruptedRunError("Cancelled."))
    with pytest.raises(InterruptedRunError):
        at_work(incidents)[0].work(1, "over")
    assert incidents.calls.count("finish") == 1
    stopped, incidents = Event(), MemoryIncidents()
    with pytest.raises(InterruptedRunError):
        at_work(incidents, cancelled=stopped, join=lambda job, cancelled: cancelled.set())[0].work(1, "over")
    assert states(incidents) == [StepState.SKIPPED, StepState.TODO, StepState.TODO]


@pytest.mark.parametrize("runbook", [BOOK.id, "gone"])
def test_trouble_with_events_or_a_runbook_is_told_and_ends_no_game(
    runbook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Finding("other-rule", Severity.HIGH, "user/ann", "Ann did it", "", "")]
    told: list[str] = []

    def examine(_since: datetime) -> Any:
        if not found:
            raise KmsAccessDeniedError("No events.", operation="LookupEvents")
        return SimpleNamespace(findings=found)

    services = SimpleNamespace(
        incidents=MemoryIncidents(),
        event_puller=SimpleNamespace(pull_events=lambda *_, **__: SimpleNamespace(new=0)),
        trail_rules=SimpleNamespace(examine_events=examine),
        jobs=SimpleNamespace(join_job=lambda *_, **__: None),
    )
    sandbox = SimpleNamespace(
        control=SimpleNamespace(deliver=lambda: 0),
        world=SimpleNamespace(current_key=SimpleNamespace(arn="arn:old")),
    )
    game: Any = SimpleNamespace(
        scenario=replace(SCENARIOS["key-compromise"], runbook=runbook),
        sandbox=sandbox,
        platform=None,
        begin=lambda _start: None,
        finish=lambda _incidents: "score",
        intruder=SimpleNamespace(played=Event()),
    )
    game.intruder.played.set()
    monkeypatch.setattr(RunbookWork, "close", lambda self: None)
    monkeypatch.setattr("console.practice.game_day.player.load", lambda: SimpleNamespace(settings=None))
    monkeypatch.setattr(
        "console.practice.game_day.player.Container", lambda _: SimpleNamespace(services=services)
    )

    def play() -> str:
        assert str(Player(game, told.append).play()) == "score"
        return "\n".join(told)

    story = play()
    assert "Ann did it" in story
    assert ("There is no runbook gone." in story) is (runbook == "gone")
    found.clear()
    assert "No events." in play()
