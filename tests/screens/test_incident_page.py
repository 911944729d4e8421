"""One incident: what do I do now? Its steps, its evidence, and what is done from its page."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from textual.widgets import Input

from crypto_core.consent import Danger
from crypto_core.errors import DatabaseUnreachableError, EvidenceError, KmsError, RefusedError
from crypto_core.incidents.catalogue import ActionKind
from crypto_core.incidents.doing import ActionResult, InputField
from crypto_core.incidents.model import (
    CheckResult,
    CheckState,
    IncidentState,
    IncidentView,
    Present,
    Scope,
    StepState,
)
from crypto_core.secret import Secret
from screens.incidents.approval_dialogs import ApprovalNeeded
from screens.incidents.approvals_screen import ApprovalsScreen
from screens.incidents.evidence_screen import EvidenceListScreen, EvidenceScreen
from screens.incidents.incident_screen import LOOK_SECONDS, IncidentScreen
from screens.incidents.running import runs_of
from screens.incidents.step_dialog import StepDialog
from screens.incidents.step_pane import StepPane
from screens.incidents.timeline_screen import IncidentTimelineScreen
from screens.incidents.words import person
from screens.jobs.leaving import Leaving
from screens.memory import Memory
from screens.widgets.secret_input import SecretInput
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.hostile import EACH_TEXT
from tests.screens.samples import CURRENT, NOW
from tests.screens.stage import Stage
from tests.screens.stage_incidents import (
    ANA,
    BEN,
    KEY_COMPROMISE,
    TOKEN_COMPROMISE,
    approval,
    incident_view,
    key_compromise,
    with_steps,
)
from tests.screens.test_hostile_text import assert_harmless

BOTH = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
TOKEN = "ghp_" + "q7" * 18


def staged(view: IncidentView | None = None) -> Stage:
    stage = Stage()
    stage.incidents.add(view or key_compromise())
    return stage


def at_step(step: str, **states: StepState) -> IncidentView:
    """The key compromise with everything before a step done."""
    view = key_compromise()
    ids = [one.step.id for one in view.steps]
    todo = dict.fromkeys(ids[ids.index(step) :], StepState.TODO)
    done = dict.fromkeys(ids[: ids.index(step)], StepState.DONE)
    return with_steps(view, **(done | todo | states))


def pane(d: Deck) -> str:
    """What the step says, in one line."""
    return " ".join(str(d.app.screen.query_one(StepPane).query_one("#step").content).split())  # type: ignore[attr-defined]


def selected(d: Deck) -> str:
    """The step under the cursor."""
    step = d.app.screen.step_in_hand  # type: ignore[attr-defined]
    return step.step.id if step is not None else ""


@BOTH
async def test_the_page_says_what_is_done_by_whom_what_is_now_what_proves_it_and_what_is_next(
    size: tuple[int, int],
) -> None:
    async with deck(staged(), start="incidents", size=size) as d:
        await d.press("enter")
        assert isinstance(d.app.screen, IncidentScreen)
        assert "open 00:14:31   ana + ben   step 6 of 11" in d.lines()[1]
        assert d.cursor_line().split()[:3] == ["›▶", "6", "Re-encrypt"]
        told = pane(d)
        assert "New data keys for every token under the old key." in told
        assert "2 min of 30 min" in told
        assert "▲ not yet nothing under key" in told
        assert "6,121 of 9,804 62.4 %" in told
        assert "now 3,683 under alias/tokens-old" in told
        assert "Census of" in told
        assert "sha256 " in told
        assert "to capture: job" in told
        assert "next: 7 Did the database leak too?" in told
        if size == LARGE:
            assert "11:55 ben" in d.line_with("Switch the platform")
        assert "✔" in d.line_with("Declare and count")


async def test_every_step_can_be_looked_at_and_what_is_longer_than_the_page_scrolled() -> None:
    view = key_compromise()
    long = replace(KEY_COMPROMISE.steps[5], do=tuple(f"Line {n}." for n in range(40)))
    steps = tuple(replace(s, step=long) if s.step.id == "reencrypt" else s for s in view.steps)
    async with deck(staged(replace(view, steps=steps)), start="incidents") as d:
        await d.press("enter")
        assert "Line 0." in d.text()
        assert "Line 39." not in d.text()
        await d.press("pagedown", "pagedown", "pagedown")
        assert "Line 39." in d.text()
        assert selected(d) == "reencrypt"
        await d.press("home", "down", "down", "down")
        assert selected(d) == "switch"
        assert "✔ done · the platform's team · ben" in pane(d)
        assert "Switch the platform" in d.text()
        await d.press("end")
        assert "then: step 6, Re-encrypt every token" in pane(d)


async def test_a_line_to_do_by_hand_names_the_keys() -> None:
    async with deck(staged(at_step("switch")), start="incidents", size=LARGE) as d:
        await d.press("enter")
        assert "Set TOKEN_ENCRYPTION_KEY_ID=alias/tokens …9f2c where the platform reads it." in pane(d)


async def test_time_over_its_budget_is_told_by_a_word_and_a_sign() -> None:
    async with deck(staged(), start="incidents", size=LARGE) as d:
        await d.press("enter")
        await d.tick(23 * 60)
        assert "▲ 25 min of 30 min, nearly over" in pane(d)
        await d.tick(10 * 60)
        assert "✖ 35 min of 30 min, over by 5 min" in pane(d)
        assert "If it fails: Look at the job's errors on Jobs" in pane(d)
        assert "✖ open 00:47:31" in d.lines()[1]


async def test_what_a_second_operator_does_shows_and_the_cursor_goes_on_with_the_work() -> None:
    stage = staged()
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter")
        stage.incidents.views[7] = replace(
            with_steps(stage.incidents.views[7], reencrypt=StepState.DONE),
            present=(Present(BEN, "ops-2", NOW),),
        )
        await d.tick(5)
        assert selected(d) == "leaked"
        assert "ben   step 7 of 11" in d.lines()[1]
        await d.press("up", "up")
        assert selected(d) == "lock-down"
        stage.incidents.views[7] = with_steps(stage.incidents.views[7], leaked=StepState.DONE)
        await d.tick(5)
        assert selected(d) == "lock-down"


async def test_the_check_is_looked_at_calmly_and_at_once_after_something_was_done() -> None:
    stage = staged()
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter")
        assert stage.incidents.done("look") == [("look", "reencrypt")]
        await d.tick(5)
        assert len(stage.incidents.done("look")) == 1
        stage.incidents.checks["reencrypt"] = CheckResult(
            CheckState.NOT_YET, ("now 12",), done=9_792, total=9_804, at=NOW
        )
        await d.tick(LOOK_SECONDS)
        assert len(stage.incidents.done("look")) == 2
        assert "9,792 of 9,804" in pane(d)
        await d.press("v")
        assert len(stage.incidents.done("look")) == 3
        await d.press("C")
        assert len(stage.incidents.done("look")) == 4
        await d.press("p")
        await d.tick(60)
        assert len(stage.incidents.done("look")) == 4


async def test_a_check_that_could_not_look_is_unknown_never_passed_and_keeps_what_was_seen() -> None:
    stage = staged()
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter")
        stage.incidents.checks["reencrypt"] = CheckResult(CheckState.UNKNOWN, ("KMS did not answer",), at=NOW)
        await d.press("v")
        assert "? not known nothing under key" in pane(d)
        assert "KMS did not answer" in pane(d)
        stage.faults["incident.look"] = KmsError("KMS denies kms:DescribeKey.")
        await d.press("v")
        assert "? not known" in pane(d)
        assert "KMS denies kms:DescribeKey." in pane(d)
        assert isinstance(d.app.screen, IncidentScreen)


async def test_without_an_answer_the_last_one_stays_and_the_trouble_is_told() -> None:
    stage = staged()
    async with deck(stage, start="incidents") as d:
        await d.press("enter")
        stage.faults["incident.show"] = DatabaseUnreachableError("No connection to pg-1:5432.")
        await d.tick(5)
        assert "No connection to pg-1:5432." in d.text()
        assert "Re-encrypt every" in d.text()
        stage.faults.clear()
        await d.tick(5)
        assert "No connection" not in d.text()


async def test_an_incident_that_is_not_there_says_so() -> None:
    stage = staged()
    async with deck(stage, start="incidents") as d:
        stage.incidents.views.clear()
        await d.press("enter")
        assert "There is no incident 7." in d.text()


# Enter


async def test_enter_finishes_a_step_and_goes_on_to_the_next() -> None:
    stage = staged(incident_view())
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter")
        assert selected(d) == "declare"
        await d.press("enter")
        assert stage.incidents.done()[:2] == [("finish", "declare"), ("capture", "declare")]
        assert selected(d) == "preserve"
        assert "✔" in d.line_with("Declare and count")


async def test_a_check_that_does_not_pass_is_the_refusal_that_is_shown() -> None:
    stage = staged(incident_view())
    stage.incidents.checks["declare"] = CheckResult(CheckState.FAILED, ("2 tokens are not counted",))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter")
        assert selected(d) == "declare"
        assert "✖ The check does not pass: failed: 2 tokens are not counted" in pane(d)


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


async def test_what_cannot_be_undone_takes_the_text_and_nothing_else() -> None:
    stage = staged(at_step("disable"))
    stage.incidents.plan_more = {"danger": Danger.TYPED, "confirmation": "alias/tokens-old"}
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter")
        assert "This takes more than a press: type alias/tokens-old below." in d.says()
        await d.type("alias/tokens")
        await d.press("enter")
        assert isinstance(d.app.screen, StepDialog)
        assert d.app.screen.query_one("#confirm").disabled
        await d.type("-old")
        await d.press("enter")
        assert stage.incidents.done() == [("run", "disable")]


async def test_what_an_action_has_to_be_told_is_asked_and_what_has_a_default_only_by_a() -> None:
    stage = staged(at_step("new-key"))
    way = InputField("way", "Which key?", default="new", choices=(("new", "a new one"), (CURRENT, "tokens")))
    alias = InputField("alias", "Its alias", default="alias/tokens-2")
    stage.incidents.needs["new-key"] = (way, alias)
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter", "right", "enter")
        assert stage.incidents.inputs == {"way": "new", "alias": "alias/tokens-2"}
        stage.incidents.add(at_step("new-key"))
        await d.tick(5)
        await d.press("home", "down", "down")
        assert selected(d) == "new-key"
        await d.press("a", "down", "enter")
        await d.type("-b")
        await d.press("enter", "right", "enter")
        assert stage.incidents.inputs == {"way": CURRENT, "alias": "alias/tokens-2-b"}
        stage.incidents.needs["new-key"] = (InputField("alias", "Its alias"),)
        stage.incidents.add(at_step("new-key"))
        await d.tick(5)
        await d.press("home", "down", "down")
        assert selected(d) == "new-key"
        await d.press("enter", "enter")
        assert "Missing: Its alias" in d.says()
        await d.type("alias/x")
        await d.press("enter", "right", "enter")
        assert stage.incidents.inputs == {"alias": "alias/x"}


async def test_what_has_one_choice_alone_is_chosen_and_the_next_field_has_the_focus() -> None:
    stage = staged(at_step("new-key"))
    row = InputField("row", "Row", required=True, choices=(("gh-2", "acme: gh-2"),))
    stage.incidents.needs["new-key"] = (row, InputField("token", "New token", secret=True))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter")
        assert d.app.focused is d.app.screen.query_one(SecretInput)
        d.app.screen.query_one(SecretInput).insert_text_at_cursor(TOKEN)
        await d.press("enter", "right", "enter")
        assert stage.incidents.inputs["row"] == "gh-2"


async def test_a_plan_longer_than_the_dialog_leaves_no_hole_below_its_buttons() -> None:
    stage = staged(at_step("disable"))
    stage.incidents.plan_more = {"warnings": tuple(f"warning {n}" for n in range(60))}
    async with deck(stage, start="incidents", size=SMALL) as d:
        await d.press("enter", "enter")
        frame = d.app.screen.query_one(".frame").region
        buttons = d.app.screen.query_one(".buttons").region
        assert frame.bottom - buttons.bottom == 2


async def test_a_text_that_could_not_be_kept_is_there_when_the_dialog_is_opened_again() -> None:
    stage = staged()
    stage.faults["incident.note"] = DatabaseUnreachableError("No connection to pg-1:5432.")
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "n")
        await d.type("A colleague called")
        await d.press("enter")
        stage.faults.clear()
        await d.press("n")
        assert d.app.screen.query_one("#text", Input).value == "A colleague called"
        await d.press("enter", "n")
        assert d.app.screen.query_one("#text", Input).value == ""
    assert len(stage.incidents.done("note")) == 1


def test_a_person_is_named_without_the_role_of_the_database() -> None:
    assert person("arn:aws:sts::1:assumed-role/oncall/ana, database role operator") == "ana"
    assert person("AWS identity not known, database role operator") == "operator"
    assert person("ana") == "ana"


async def test_a_secret_is_masked_handed_on_hidden_and_gone_afterwards() -> None:
    book_view = incident_view(9, TOKEN_COMPROMISE, Scope(references=("gh_connection.access_token:gh-2",)))
    stage = staged(book_view)
    stage.incidents.needs["enter"] = (InputField("token", "The new token", secret=True),)
    memory = Memory()
    async with deck(stage, start="incidents", size=LARGE, memory=memory) as d:
        await d.press("enter", "enter")
        field = d.app.screen.query_one(SecretInput)
        said: list[object] = []
        field.watch(field, "value", lambda: said.append(len(field.value)), init=False)
        field.post_message(Input.Changed(field, TOKEN))
        d.app.screen.query_one(SecretInput).insert_text_at_cursor(f" {TOKEN} ")
        await d.settle()
        assert TOKEN not in d.text()
        assert TOKEN not in d.app.export_screenshot()
        await d.press("enter")
        assert isinstance(d.app.screen, StepDialog)
        assert not d.app.screen.query(SecretInput)
        dialog = d.app.screen
        assert TOKEN not in repr(dialog._inputs)
        await d.press("right", "enter")
        assert stage.incidents.revealed == [TOKEN]
        secret = stage.incidents.inputs["token"]
        assert isinstance(secret, Secret)
        with pytest.raises(ValueError, match="wiped"):
            secret.reveal()
        assert TOKEN not in json.dumps(memory._content)
        assert TOKEN not in repr(runs_of(d.facts))
        # Left half typed, it is gone too.
        stage.incidents.add(book_view)
        await d.tick(5)
        await d.press("a")
        d.app.screen.query_one(SecretInput).insert_text_at_cursor(TOKEN)
        await d.press("escape", "a")
        assert d.app.screen.query_one(SecretInput).value == ""
        assert stage.incidents.revealed == [TOKEN]


async def test_messages_about_a_secret_field_do_not_hold_it() -> None:
    stage = staged(incident_view(9, TOKEN_COMPROMISE, Scope(references=("gh_connection.access_token:gh-2",))))
    stage.incidents.needs["enter"] = (InputField("token", "The new token", secret=True),)
    async with deck(stage, start="incidents") as d:
        await d.press("enter", "enter")
        heard: list[str] = []
        field = d.app.screen.query_one(SecretInput)
        original = type(field).__mro__[1].post_message

        def listen(self: object, message: object) -> bool:
            heard.append(repr(message))
            return bool(original(self, message))  # type: ignore[arg-type]

        type(field).__mro__[1].post_message = listen  # type: ignore[method-assign,assignment]
        try:
            field.insert_text_at_cursor(TOKEN)
            await d.settle()
        finally:
            del type(field).__mro__[1].post_message  # type: ignore[attr-defined]
        assert any("Changed" in message for message in heard)
        assert TOKEN not in "".join(heard)


async def test_a_decision_is_one_of_the_answers() -> None:
    stage = staged(at_step("leaked"))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter")
        assert "Were backups or dumps exposed" in d.says()
        await d.press("escape", "enter", "enter")
        assert stage.incidents.done("answer") == [
            ("answer", ("leaked", "no: only the key was exposed")),
        ]
        assert selected(d) == "quiet"
        assert "not needed" in d.line_with("Revoke the tokens")


async def test_enter_where_all_is_done_closes_and_then_reports(tmp_path: Path) -> None:
    done = {step.id: StepState.DONE for step in KEY_COMPROMISE.steps}
    stage = staged(with_steps(key_compromise(), **done))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter")
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


# What goes on, and what goes wrong


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
        assert "That is under way. X stops it." in d.toasts()
        await d.press("escape", "1", "5", "enter")
        assert "6,121 of 9,804" in pane(d)
        await d.press("escape")
        gate.set()
        await d.until(lambda: stage.incidents.views[7].step("reencrypt").state is StepState.DONE)
        await d.until(lambda: any("INC-7, step 6: 1 key made" in said for said in d.toasts()))


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


async def test_every_dialog_can_be_left_and_nothing_was_done() -> None:
    stage = staged()
    done = with_steps(stage.incidents.views[7], reencrypt=StepState.DONE)
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter")
        page = d.app.screen
        for key in ("a", "s", "n", "x", "E"):
            await d.press(key)
            assert d.app.screen is not page
            await d.press("escape")
            assert d.app.screen is page
        stage.incidents.views[7] = done
        await d.tick(5)
        for keys in (("enter",), ("up", "o")):
            await d.press(*keys)
            assert d.app.screen is not page
            await d.press("escape")
            assert d.app.screen is page
        assert stage.incidents.done() == []
        assert stage.incidents.views[7] == done


async def test_skip_reopen_and_note_take_a_text_also_behind_the_colon() -> None:
    stage = staged(at_step("quiet"))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "s", "enter")
        assert stage.incidents.done() == []
        await d.type("agreed with the lead")
        await d.press("enter")
        assert "skipped" in d.line_with("Quiet period")
        await d.press("up", "o")
        await d.type("too early")
        await d.press("enter")
        await d.command("note seen by the lead")
        assert stage.incidents.done() == [
            ("skip", ("quiet", "agreed with the lead")),
            ("reopen", ("quiet", "too early")),
            ("note", ("quiet", "seen by the lead")),
        ]


async def test_read_only_nothing_is_done_not_even_that_somebody_is_here() -> None:
    stage = staged()
    stage.read_only = True
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter")
        await d.tick(10)
        await d.press("enter", "a", "s", "n", "x", "C")
        assert isinstance(d.app.screen, IncidentScreen)
        assert stage.incidents.asked == []
        assert "Read-only: nothing is done here." in d.text()
        assert all(said.startswith("Read-only:") for said in d.toasts())
        assert "a act" not in d.lines()[-2]
        await d.press("e")
        assert isinstance(d.app.screen, EvidenceListScreen)


async def test_that_somebody_is_here_is_said_every_few_seconds_while_the_page_is_in_sight() -> None:
    stage = staged()
    async with deck(stage, start="incidents") as d:
        await d.press("enter")
        for _ in range(6):
            await d.tick(1)
        said = len(stage.incidents.done("join"))
        assert 1 <= said <= 3
        await d.press("escape")
        await d.tick(20)
        assert len(stage.incidents.done("join")) == said


# Evidence, timeline, report


async def test_evidence_is_listed_by_step_and_read_with_its_hash() -> None:
    async with deck(staged(), start="incidents", size=LARGE) as d:
        await d.press("enter", "e")
        assert isinstance(d.app.screen, EvidenceListScreen)
        piece = d.stage.incidents.views[7].evidence[0]
        assert piece.title in d.cursor_line()
        assert piece.sha256[:6] in d.cursor_line()
        assert piece.sha256[-6:] in d.cursor_line()
        await d.press("y")
        assert piece.sha256 == d.app.clipboard
        await d.press("enter")
        assert isinstance(d.app.screen, EvidenceScreen)
        assert piece.sha256 in d.text()
        assert '"sid": "Admin",' in d.text()
        while '"sid": "Admin"' not in d.cursor_line():
            await d.press("down")
        assert "y copies: Admin" in d.text()
        await d.press("y")
        assert d.app.clipboard == "Admin"
        d.stage.faults["incident.evidence"] = EvidenceError("Evidence 1 is not what it was captured as.")
        await d.press("r")
        assert "Evidence 1 is not what it was captured as." in d.text()
        await d.press("escape", "escape")
        assert isinstance(d.app.screen, IncidentScreen)


async def test_the_timeline_tells_who_did_what_the_newest_first() -> None:
    async with deck(staged(), start="incidents") as d:
        await d.press("enter", "T")
        assert isinstance(d.app.screen, IncidentTimelineScreen)
        times = [line.split()[0] for line in d.lines() if " ana " in line or " ben " in line]
        assert times == sorted(times, reverse=True)
        assert "ben" in d.line_with("step 4: Switch the platform: done")


@pytest.mark.parametrize(("ending", "form"), [(".md", "markdown"), (".json", "json"), (".html", "html")])
async def test_the_report_has_the_form_that_its_name_says(tmp_path: Path, ending: str, form: str) -> None:
    async with deck(staged(), start="incidents") as d:
        path = tmp_path / f"inc{ending}"
        await d.press("enter")
        await d.command(f"report {path}")
        await d.press("enter")
        assert path.read_text().startswith(form)
        assert "Only you may read it." in d.says()


async def test_a_name_without_an_ending_is_that_of_every_form(tmp_path: Path) -> None:
    async with deck(staged(), start="incidents") as d:
        await d.press("enter")
        await d.command(f"report {tmp_path / 'inc'}")
        await d.press("enter")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["inc.html", "inc.json", "inc.md"]
        assert (tmp_path / "inc.md").read_text().startswith("markdown")
        assert "inc.json" in d.says()


async def test_a_report_overwrites_nothing_and_leaves_nothing_of_one_that_failed(tmp_path: Path) -> None:
    async with deck(staged(), start="incidents") as d:
        there = tmp_path / "there.html"
        there.write_text("mine")
        await d.press("enter")
        await d.command(f"report {there}")
        await d.press("enter")
        assert "is there already" in d.says()
        assert there.read_text() == "mine"
        line = d.app.screen.query_one("#path", Input)
        line.value = str(tmp_path / "report.txt")
        await d.press("enter")
        assert "ends in .html, .md or .json" in d.says()
        d.stage.faults["incident.report"] = DatabaseUnreachableError("No connection to pg-1:5432.")
        line.value = str(tmp_path / "new.md")
        await d.press("enter")
        assert "No connection to pg-1:5432." in d.says()
        assert [path.name for path in tmp_path.iterdir()] == ["there.html"]


async def test_choosing_a_form_changes_how_the_name_ends() -> None:
    async with deck(staged(), start="incidents") as d:
        await d.press("enter", "E", "shift+tab", "down", "enter")
        assert d.app.screen.query_one("#path", Input).value == "keydeck-INC-7-20260701-1200.md"


# Four eyes


async def test_what_needs_a_second_identity_says_who_how_and_until_when_and_goes_on_once_approved() -> None:
    stage = staged(at_step("disable"))
    stage.incidents.approval_for = "disable"
    stage.approvals.add(approval(requested_by=ANA))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter", "right", "enter")
        assert isinstance(d.app.screen, ApprovalNeeded)
        told = d.says()
        assert "Disabling a key needs a second identity." in told
        assert "Approve it: keydeck approvals approve 00000000-" in told
        assert "12:27:00 +0000, in 27 min" in told
        await d.press("enter")
        await d.tick(5)
        assert "▲ Waits for a second identity; the request ends in 26 min." in pane(d)
        [request] = stage.approvals.all.values()
        stage.approvals.decide(request.id, approve=True)
        await d.tick(5)
        assert "● Approved by ana. Enter: plan it again and run it." in pane(d)
        stage.incidents.approval_for = ""
        await d.press("enter", "right", "enter")
        assert stage.incidents.views[7].step("disable").state is StepState.DONE
        assert runs_of(d.facts).waiting == {}


@pytest.mark.parametrize(("presses", "decision"), [(1, "denied"), (2, "approved")])
async def test_a_request_is_decided_after_its_plan_was_shown(presses: int, decision: str) -> None:
    stage = staged()
    stage.approvals.add(approval())
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.command("approvals")
        assert isinstance(d.app.screen, ApprovalsScreen)
        assert "in 27 min" in d.cursor_line()
        await d.press("enter")
        told = d.says()
        assert "Nobody can use the key." in told
        assert "41 tokens are under it." in told
        assert BEN in told
        await d.press("enter")
        assert "approval.decide" not in stage.calls
        await d.press("a", *["right"] * presses, "enter")
        assert [one.decision.value for one in stage.approvals.all.values()] == [decision]
        assert "Nothing waits for approval." in d.text()


async def test_ones_own_request_is_refused_and_that_is_said() -> None:
    stage = staged()
    stage.approvals.add(approval())
    stage.approvals.refused = RefusedError("You asked for this yourself.")
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("H", "enter", "right", "right", "enter")
        assert "You asked for this yourself." in " ".join(d.toasts())


# Hostile text


@EACH_TEXT
async def test_hostile_text_on_the_page_and_in_its_dialogs_is_harmless(text: str) -> None:
    size = SMALL
    view = key_compromise()
    step = replace(
        KEY_COMPROMISE.steps[5],
        title=text,
        purpose=text,
        who=text,
        do=(text,),
        on_failure=text,
        choices=(text, "other"),
        action=ActionKind.REENCRYPT,
    )
    check = CheckResult(CheckState.FAILED, (text,), done=1, total=2, at=NOW)
    steps = tuple(
        replace(one, step=step, trouble=text, reason=text, by=text, check=check, state=StepState.TODO)
        if one.step.id == "reencrypt"
        else one
        for one in view.steps
    )
    evidence = tuple(replace(one, title=text, captured_by=text, sha256=text) for one in view.evidence)
    entries = tuple(replace(one, text=text, actor=text) for one in view.entries)
    runbook = replace(view.runbook, phases=tuple(replace(phase, title=text) for phase in view.runbook.phases))
    hostile = replace(
        view,
        incident=replace(view.incident, title=text, outcome=text, values={"new_key": text}),
        runbook=runbook,
        steps=steps,
        evidence=evidence,
        entries=entries,
        present=(Present(text, text, NOW),),
    )
    stage = staged(hostile)
    stage.incidents.contents[1] = json.dumps({text: text})
    stage.incidents.contents[2] = text
    stage.incidents.checks["reencrypt"] = check
    stage.incidents.needs["reencrypt"] = (
        InputField("a", text, default=text),
        InputField("b", text, choices=((text, text), ("y", text))),
        InputField("c", text, secret=True, required=False),
    )
    stage.incidents.plan_more = {
        "title": text,
        "does": (text,),
        "does_not": (text,),
        "warnings": (text,),
        "danger": Danger.TYPED,
        "confirmation": text,
    }
    stage.incidents.result = ActionResult(False, (text,))
    stage.approvals.add(
        approval(action=text, summary=text, requested_by=text, plan={text: text, "does": [text]})
    )
    async with deck(stage, start="incidents", size=size) as d:
        await d.press("enter")
        assert_harmless(d, size)
        for key in ("pagedown", "a", "tab", "escape", "d", "escape", "s", "escape", "e", "enter", "escape"):
            await d.press(key)
            assert_harmless(d, size)
        await d.press("down", "enter")
        assert_harmless(d, size)
        await d.press("escape", "escape", "T")
        assert_harmless(d, size)
        await d.press("escape", "H")
        assert_harmless(d, size)
        await d.press("enter")
        assert_harmless(d, size)
        await d.press("escape", "escape")
        d.stage.faults["incident.show"] = DatabaseUnreachableError(text, remedy=text)
        d.stage.faults["incident.fields"] = KmsError(text, remedy=text)
        await d.press("a")
        assert_harmless(d, size)
        await d.press("escape")
        await d.tick(5)
        assert_harmless(d, size)


# The whole of it


@pytest.mark.deep
async def test_a_key_compromise_takes_under_40_presses_from_the_console_to_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stage = Stage()
    presses = 0

    async with deck(stage, size=LARGE) as d:

        async def press(*keys: str) -> None:
            nonlocal presses
            presses += len(keys)
            await d.press(*keys)

        await press("5", "n", "enter", "enter", "enter")
        number = max(stage.incidents.views)
        while (step := stage.incidents.views[number].current) is not None:
            assert selected(d) == step.step.id
            if step.step.action is not None:
                await press("enter", "right", "enter")
            elif step.step.choices:
                await press("enter", "enter")
            else:
                await press("enter")
            await d.tick(5)
        await press("enter")
        await d.type("Nothing is left.")
        await press("enter")
        await d.tick(5)
        await press("enter", "enter", "enter")
        assert isinstance(d.app.screen, IncidentScreen)
        [report] = tmp_path.iterdir()
        assert report.suffix == ".html"
    assert presses < 40
    assert stage.incidents.views[number].incident.closed_at is not None


async def test_elapsed_time_goes_on_and_stops_when_it_is_closed() -> None:
    closed = key_compromise()
    closed = replace(
        closed,
        incident=replace(
            closed.incident, state=IncidentState.CLOSED, closed_at=NOW + timedelta(days=2), outcome="over"
        ),
    )
    stage = staged()
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter")
        await d.tick(1)
        assert "open 00:14:32" in d.lines()[1]
        stage.incidents.views[7] = closed
        await d.tick(5)
        assert "closed 2 d 00:14:31" in d.lines()[1]
        assert stage.incidents.done("finish", "run") == []
