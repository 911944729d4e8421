"""Steps worked through on an incident's page: run, finished, decided, stopped, up to the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from crypto_core.incidents.model import CheckResult, CheckState, IncidentState, StepState
from crypto_core.incidents.steps.step_contracts import ActionResult
from crypto_core.values.errors import RefusedError
from screens.incidents.incident_screen import IncidentScreen
from screens.incidents.step_dialog import StepDialog
from screens.incidents.step_runs import runs_of
from screens.widgets.question import Leaving
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.incident_scene import at_step, pane, selected, staged
from tests.screens.sample_runbooks import KEY_COMPROMISE
from tests.screens.samples import CURRENT
from tests.screens.stage_incidents import incident_view, key_compromise, with_steps


async def test_enter_finishes_a_step_and_goes_on_to_the_next() -> None:
    stage = staged(incident_view())
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter")
        assert selected(d) == "declare"
        await d.press("enter")
        assert stage.incidents.done()[:2] == [("finish", "declare"), ("capture", "declare")]
        assert selected(d) == "preserve"
        assert "✔" in d.line_with("Declare and count")


async def test_what_the_check_said_when_an_action_ended_gives_way_to_what_it_says_now() -> None:
    stage = staged(at_step("reencrypt"))
    then = "Step reencrypt of INC-7 is not done: not yet. Job 31 is running: 0 done, 3 to do"
    stage.incidents.result = ActionResult(False, ("Job 31 was handed over: 3 tokens.", then))
    stage.incidents.checks["reencrypt"] = CheckResult(CheckState.PASSED, ("Job 31 is done: 3 done",))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter", "right", "enter")
        await d.press("v")
        assert "Job 31 was handed over: 3 tokens." in pane(d)
        assert "· Job 31 is done: 3 done" in pane(d)
        assert "is running" not in pane(d)


async def test_capturing_evidence_shows_which_of_how_many() -> None:
    stage = staged(at_step("preserve"))
    gate = stage.hold("incident.capture")
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "C")
        await d.tick(5)
        assert "▶ Capturing evidence: policy… X stops" in pane(d)
        assert "1 of 4" in pane(d)
        gate.set()
        await d.until(lambda: not runs_of(d.facts).running)


@pytest.mark.deep
async def test_a_check_that_does_not_pass_is_the_refusal_that_is_shown() -> None:
    stage = staged(incident_view())
    stage.incidents.checks["declare"] = CheckResult(CheckState.FAILED, ("2 tokens are not counted",))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter")
        assert selected(d) == "declare"
        assert "✖ The check does not pass: failed: 2 tokens are not counted" in pane(d)


@pytest.mark.deep
async def test_enter_plans_an_action_and_one_deliberate_press_runs_it() -> None:
    stage = staged(at_step("new-key"))
    stage.incidents.result = ActionResult(True, ("alias/tokens-2 was made",), {"new_key": CURRENT})
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter")
        assert isinstance(d.app.screen, StepDialog)
        assert "It moves no token." in d.says()
        assert "role/backup can't decrypt under it" in d.says()
        assert d.app.focused is d.app.screen.query_one("#cancel")
        await d.press("enter")
        assert isinstance(d.app.screen, IncidentScreen)
        assert stage.incidents.done() == []
        await d.press("enter", "right", "enter")
        assert stage.incidents.done() == [("run", "new-key")]
        assert selected(d) == "switch"
        await d.press("up")
        assert "alias/tokens-2 was made" in pane(d)


async def test_a_decision_is_one_of_the_answers() -> None:
    stage = staged(at_step("leaked"))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter")
        assert "Were backups or dumps exposed" in d.says()
        assert "yes: the database or a backup leaked  if undecided" in d.text()
        await d.press("escape", "enter", "up", "enter")
        assert stage.incidents.done("answer") == [
            ("answer", ("leaked", "no: only the key was exposed")),
        ]
        assert selected(d) == "quiet"
        assert "not needed" in d.line_with("Revoke the tokens")


async def test_a_step_whose_decision_was_skipped_waits_for_it_and_the_decision_can_be_made_yet() -> None:
    stage = staged(at_step("leaked", leaked=StepState.SKIPPED))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter")
        assert selected(d) == "quiet"
        await d.press("up")
        assert selected(d) == "revoke"
        assert "waits for the decision of step 7" in pane(d)
        assert "undecided" in d.cursor_line()
        await d.press("a", "f")
        assert isinstance(d.app.screen, IncidentScreen)
        assert "Enter: to step 7, the decision that this step waits for." in d.text()
        await d.press("enter")
        assert selected(d) == "leaked"
        assert "Enter: decide it now." in d.text()
        await d.press("enter", "enter")
        assert stage.incidents.done() == [
            ("answer", ("leaked", "yes: the database or a backup leaked")),
        ]
        await d.press("enter")
        assert selected(d) == "revoke"
        assert "undecided" not in d.cursor_line()


async def test_enter_alone_decides_for_the_safe_answer_and_for_none_where_none_is_known() -> None:
    stage = staged(at_step("leaked"))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter", "enter")
        assert stage.incidents.done("answer") == [
            ("answer", ("leaked", "yes: the database or a backup leaked"))
        ]
        view = at_step("leaked")
        steps = (replace(s, step=replace(s.step, undecided="")) if s.step.choices else s for s in view.steps)
        stage.incidents.add(replace(view, steps=tuple(steps)))
        await d.tick(5)
        await d.press("home", *["down"] * 6)
        assert selected(d) == "leaked"
        await d.press("enter", "enter")
        assert isinstance(d.app.screen, IncidentScreen)
        assert len(stage.incidents.done("answer")) == 1


@pytest.mark.deep
async def test_enter_where_all_is_done_closes_and_then_reports(tmp_path: Path) -> None:
    done = {step.id: StepState.DONE for step in KEY_COMPROMISE.steps}
    stage = staged(with_steps(key_compromise(), **done))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter")
        assert "all 11 steps ended" in d.lines()[1]
        assert d.app.screen.query_one("#text", Input).value == "Worked through: 11 steps done."
        assert stage.incidents.done() == []
        await d.press("ctrl+u")
        await d.type("Nothing is left under the old key.")
        await d.press("enter")
        assert stage.incidents.views[7].incident.state is IncidentState.CLOSED
        await d.tick(5)
        assert "closed: Nothing is left under the old key." in pane(d)
        await d.press("enter")
        path = tmp_path / "report.html"
        d.app.screen.query_one("#path", Input).value = str(path)
        await d.press("enter")
        assert path.read_text() == "html: KMS key compromise\n"
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.deep
async def test_an_action_goes_on_while_the_page_is_left_and_its_end_is_told() -> None:
    stage = staged(at_step("reencrypt"))
    stage.incidents.progress = (6_121, 9_804)
    gate = stage.hold("incident.run")
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter", "right", "enter")
        await d.tick(5)
        assert "▶ Re-encrypt every token… X stops" in pane(d)
        assert "6,121 of 9,804" in pane(d)
        await d.press("enter")
        assert "That is running. X stops it." in d.toasts()
        await d.press("escape", "1", "5", "enter")
        assert "6,121 of 9,804" in pane(d)
        await d.press("escape")
        gate.set()
        await d.until(lambda: stage.incidents.views[7].step("reencrypt").state is StepState.DONE)
        await d.until(lambda: any("INC-7, step 6: 1 key made" in said for said in d.toasts()))


@pytest.mark.deep
async def test_a_console_that_works_on_a_step_is_left_only_if_that_is_meant() -> None:
    stage = staged(at_step("reencrypt"))
    gate = stage.hold("incident.run")
    async with deck(stage, start="incidents", size=SMALL) as d:
        await d.press("enter", "enter", "right", "enter")
        await d.press("q")
        assert isinstance(d.app.screen, Leaving)
        assert "Leave Keydeck while it works on INC-7?" in d.text()
        assert "INC-7: Re-encrypt every token" in d.says()
        assert "keydeck incident next 7" in d.says()
        await d.press("enter")
        assert d.app.is_running
        assert not d.facts.leaving
        await d.press("q")
        await d.pilot.press("q")
        assert d.facts.leaving
        gate.set()


async def test_x_stops_what_is_under_way_and_it_can_be_done_again() -> None:
    stage = staged(at_step("reencrypt"))
    stage.hold("incident.run")
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter", "right", "enter", "X")
        await d.until(lambda: not runs_of(d.facts).running)
        assert "Cancelled." in pane(d)
        assert stage.incidents.views[7].step("reencrypt").state is StepState.BEGUN
        stage.gates.clear()
        await d.press("enter")
        assert isinstance(d.app.screen, StepDialog)


@pytest.mark.quick(3)
@pytest.mark.parametrize(
    "call", ["fields", "plan", "run", "capture", "finish", "answer", "skip", "note", "close"]
)
async def test_errors_of_the_service_are_told_and_the_page_goes_on(call: str) -> None:
    steps = {"finish": "switch", "answer": "leaked"}
    view = at_step(steps.get(call, "new-key"))
    if call == "close":
        view = with_steps(view, **{step.id: StepState.DONE for step in KEY_COMPROMISE.steps})
    stage = staged(view)
    stage.faults[f"incident.{call}"] = RefusedError("The service does not want to.", remedy="Ask it nicely.")
    keys = {
        "fields": ("enter",),
        "plan": ("enter",),
        "run": ("enter", "right", "enter"),
        "capture": ("C",),
        "finish": ("enter",),
        "answer": ("enter", "enter"),
        "skip": ("s", "w", "enter"),
        "note": ("n", "w", "enter"),
        "close": ("x", "w", "enter"),
    }
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", *keys[call])
        told = " ".join([d.says(), *d.toasts()])
        assert "The service does not want to." in told
        assert "Ask it nicely." in told
        stage.faults.clear()
        await d.press("escape")
        await d.tick(5)
        assert stage.incidents.done() == []
