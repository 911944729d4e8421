"""The dialogs of an incident's page: plans, fields, secrets and texts, and how they are left."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from textual.widgets import Input, Static

from crypto_core.guard.consent import Danger
from crypto_core.incidents.model import CheckResult, CheckState, IncidentScope, StepState
from crypto_core.incidents.steps.step_contracts import InputField
from crypto_core.values.errors import DatabaseUnreachableError, InvalidFieldError, RefusedError
from crypto_core.values.secret import Secret
from screens.incidents.step_dialog import Checklist, LossDialog, StepDialog
from screens.incidents.step_runs import runs_of
from screens.memory import Memory
from screens.widgets.line_input import SecretInput
from screens.widgets.question import AskText
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.incident_scene import TOKEN, at_step, selected, staged
from tests.screens.sample_runbooks import TOKEN_COMPROMISE
from tests.screens.samples import CURRENT, NOW
from tests.screens.stage_incidents import ANA, BEN, incident_view, with_steps


@pytest.mark.deep
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


@pytest.mark.deep
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


async def test_what_leads_to_no_plan_comes_back_with_what_was_entered_and_what_is_wrong() -> None:
    stage = staged(at_step("new-key"))
    way = InputField("way", "Which key?", default="new", choices=(("new", "a new one"), (CURRENT, "tokens")))
    token = InputField("token", "New token", secret=True)
    stage.incidents.needs["new-key"] = (way, InputField("alias", "Its alias"), token)
    refusal = RefusedError("alias/x belongs to another key.", remedy="Name another.")
    for size in (SMALL, LARGE):
        stage.incidents.add(at_step("new-key"))
        stage.faults["incident.plan"] = refusal
        async with deck(stage, start="incidents", size=size) as d:
            await d.press("enter", "a", "down", "enter")
            await d.type("alias/x")
            await d.press("enter")
            d.app.screen.query_one(SecretInput).insert_text_at_cursor(TOKEN)
            await d.press("enter")
            assert isinstance(d.app.screen, StepDialog)
            assert "alias/x belongs to another key. Name another." in " ".join(d.text().split())
            assert d.app.screen.query_one("#field-1", Input).value == "alias/x"
            assert d.app.screen.query_one(SecretInput).value == ""
            stage.faults.clear()
            await d.press("enter")
            await d.type("-2")
            await d.press("enter")
            d.app.screen.query_one(SecretInput).insert_text_at_cursor(TOKEN)
            await d.press("enter", "right", "enter")
            inputs = stage.incidents.inputs
            assert (inputs["way"], inputs["alias"]) == (CURRENT, "alias/x-2")


async def test_principals_are_chosen_from_a_list_whose_suspects_are_marked_and_not_chosen() -> None:
    stage = staged(at_step("new-key"))
    bot, platform, other = (f"arn:aws:iam::123456789012:{name}" for name in ("user/bot", "role/p", "role/q"))
    choices = ((bot, "user/bot  suspect"), (platform, "role/p  platform writer"))
    who = InputField("who", "Principals", platform, choices, several=True, suspects=(bot,))
    stage.incidents.needs["new-key"] = (who, InputField("alias", "Its alias", "alias/a"))
    async with deck(stage, start="incidents", size=SMALL) as d:
        await d.press("enter", "a")
        assert "[ ] ▲ user/bot  suspect" in d.text()
        assert "[x]   role/p  platform writer" in d.text()
        # Enter goes on with the default; nothing else is chosen by it.
        await d.press("enter", "enter", "enter", "right", "enter")
        assert stage.incidents.inputs == {"who": platform, "alias": "alias/a"}
        stage.incidents.add(at_step("new-key"))
        await d.tick(5)
        await d.press("home", "down", "down", "a")
        await d.press("space", "enter", "enter", "enter")
        assert "Missing: Principals" in d.says()
        await d.press("up", "space", "enter")
        await d.type(other)
        await d.press("enter", "enter", "right", "enter")
        assert stage.incidents.inputs == {"who": f"{bot}, {other}", "alias": "alias/a"}


LOST = CheckResult(
    CheckState.FAILED,
    ("Census: 2 tokens under the old key", "Can't be opened: gh_connection.access_token:[/red]\x1b"),
    total=2,
    at=NOW,
    lost=2,
)


@pytest.mark.quick(1)
@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_tokens_that_nobody_can_open_are_accepted_by_their_number_and_enter_alone_accepts_none(
    size: tuple[int, int],
) -> None:
    stage = staged(at_step("reencrypt"))
    async with deck(stage, start="incidents", size=size) as d:
        await d.press("enter")
        await d.press("L")
        assert not isinstance(d.app.screen, AskText), "no check has failed for that"
        stage.incidents.checks["reencrypt"] = LOST
        await d.press("v")
        await d.press("L")
        assert isinstance(d.app.screen, AskText)
        await d.press("escape", "L", "enter")
        assert isinstance(d.app.screen, AskText), "a reason is needed"
        await d.type("They connect again.")
        await d.press("enter")
        assert isinstance(d.app.screen, LossDialog)
        assert "Accept 2 tokens as unrecoverable" in d.text()
        await d.press("enter", "enter")
        await d.type("3")
        await d.press("enter")
        assert stage.incidents.done() == []
        await d.press("escape")
        assert not isinstance(d.app.screen, LossDialog)
        # The reason stays until it is kept.
        await d.press("L", "enter")
        await d.type("2")
        await d.press("enter")
        assert stage.incidents.done() == [("accept-lost", ("7-They connect again.", "2"))]
        await d.press("L")
        assert not isinstance(d.app.screen, AskText), "nothing is in the way any more"


@pytest.mark.deep
async def test_accepting_waits_for_a_second_person_with_its_reason() -> None:
    stage = staged(at_step("reencrypt"))
    stage.incidents.checks["reencrypt"] = LOST
    stage.incidents.approval_for = "accept-lost"
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "v", "L")
        await d.type("They connect again.")
        await d.press("enter")
        await d.type("2")
        await d.press("enter")
        assert "second" in d.text()
        assert stage.incidents.done() == []
        await d.press("escape", "L", "enter")
        await d.type("2")
        await d.press("enter")
        assert stage.incidents.done() == [("accept-lost", ("7-They connect again.", "2"))]


async def test_read_only_no_token_is_accepted_as_lost() -> None:
    view = at_step("reencrypt")
    steps = tuple(replace(s, check=LOST) if s.step.id == "reencrypt" else s for s in view.steps)
    stage = staged(replace(view, steps=steps))
    stage.read_only = True
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "L")
        assert not isinstance(d.app.screen, AskText)


@pytest.mark.deep
async def test_a_refused_field_says_so_directly_below_itself_and_has_the_focus() -> None:
    stage = staged(at_step("new-key"))
    who = InputField("who", "Principals", choices=((ANA, "ana"), (BEN, "ben")), several=True)
    fields = (InputField("alias", "Its alias"), who, InputField("note", "A note", required=False))
    stage.incidents.needs["new-key"] = fields
    for size in (SMALL, LARGE):
        for field, number in (("alias", 0), ("who", 1)):
            stage.incidents.add(at_step("new-key"))
            stage.faults["incident.plan"] = InvalidFieldError(
                "[/red] is not \x1b[31mtaken.", field=field, remedy="Enter another."
            )
            async with deck(stage, start="incidents", size=size) as d:
                await d.press("enter", "a")
                await d.type("alias/x")
                await d.press("enter", "space", "enter", "enter")
                await d.type("seen")
                await d.press("enter")
                screen = d.app.screen
                assert isinstance(screen, StepDialog)
                shown = [s for s in screen.query(".wrong").results(Static) if s.display]
                assert [str(one.content) for one in shown] == ["✖ [/red] is not [31mtaken. Enter another."]
                assert shown[0].parent is screen.query(".field")[number]
                assert screen.focused is screen.query_one(f"#field-{number}")
                assert shown[0].region.height
                assert screen.query_one("#field-0", Input).value == "alias/x"
                assert screen.query_one("#field-2", Input).value == "seen"
                assert screen.query_one(Checklist).chosen == (ANA,)
                stage.faults.clear()
                screen.query_one("#preview").focus()
                await d.press("enter", "right", "enter")
            assert stage.incidents.inputs == {"alias": "alias/x", "who": ANA, "note": "seen"}


@pytest.mark.deep
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


@pytest.mark.deep
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


async def test_a_secret_is_masked_handed_on_hidden_and_gone_afterwards() -> None:
    book_view = incident_view(
        9, TOKEN_COMPROMISE, IncidentScope(references=("gh_connection.access_token:gh-2",))
    )
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


@pytest.mark.deep
async def test_messages_about_a_secret_field_do_not_hold_it() -> None:
    stage = staged(
        incident_view(9, TOKEN_COMPROMISE, IncidentScope(references=("gh_connection.access_token:gh-2",)))
    )
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


@pytest.mark.deep
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


@pytest.mark.deep
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
