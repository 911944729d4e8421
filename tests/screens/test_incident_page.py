"""One incident: what do I do now? Its steps, checks and times, and who is at work on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from threading import Event

import pytest

from crypto_core.database.state.incident_records import Present
from crypto_core.incidents.key_callers import KeyCaller, KeyCallers
from crypto_core.incidents.model import CheckResult, CheckState, IncidentState, StepState
from crypto_core.incidents.suspects import Suspect, Suspects
from crypto_core.values.errors import DatabaseUnreachableError, KmsError
from screens.identities import noted_by, person, user_name
from screens.incidents.evidence_screen import EvidenceListScreen
from screens.incidents.incident_screen import LOOK_SECONDS, IncidentScreen
from tests.screens.deck import BOTH, LARGE, SMALL, deck
from tests.screens.incident_scene import at_step, pane, selected, staged
from tests.screens.sample_runbooks import KEY_COMPROMISE
from tests.screens.samples import CURRENT, NOW
from tests.screens.stage import Stage
from tests.screens.stage_incidents import BEN, key_compromise, with_steps


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


async def test_the_page_names_the_suspects_with_their_use_and_the_first_reason() -> None:
    stage = staged()
    why = ("decrypted for the first time", "shares the address 198.51.100.7")
    bot = Suspect(
        "arn:aws:iam::123456789012:user/build-bot", why, why[:1], 207, NOW, NOW - timedelta(minutes=2)
    )
    stage.incidents.about = Suspects((bot,), ("Suspects may be missing: no baseline yet",))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter")
        await d.tick(1)
        told = pane(d)
        assert "1 suspect ▲ user/build-bot 207 calls, last 2 min ago" in told
        assert "decrypted for the first time (and 1 more)" in told
        assert "? Suspects may be missing: no baseline yet" in told


CALLING = KeyCallers(
    NOW - timedelta(minutes=29),
    (
        KeyCaller(
            "arn:aws:iam::123456789012:user/build-bot",
            (0,) * 28 + (4, 8),
            NOW - timedelta(minutes=2),
            3,
            True,
        ),
        KeyCaller("arn:aws:iam::123456789012:role/[/red]\x1bplatform", (1,) * 30, NOW),
    ),
    complete_until=NOW - timedelta(minutes=16),
    since=NOW - timedelta(minutes=40),
)


@BOTH
async def test_the_page_shows_who_calls_the_key_now_and_goes_on_showing_it(size: tuple[int, int]) -> None:
    stage = staged()
    stage.incidents.calling = CALLING
    async with deck(stage, start="incidents", size=size) as d:
        await d.press("enter")
        await d.tick(1)
        told = pane(d)
        assert "▲ user/build-bot" in told
        assert "12 · last 2 min ago · denied 3" in told
        # Of the newest minutes nobody knows all calls: none is said to be without one.
        assert "▁" * 13 + "·" * 15 + "▅█" in told
        assert "fetched until" in told
        assert "(16 min ago)" in told
        assert "denied since" in told
        if size == SMALL:
            assert "✖ 1 suspect · 42 calls · denied 3 · until" in " ".join(d.text().split())
        calls = stage.calls.count("incident.callers")
        stage.incidents.calling = replace(CALLING, callers=CALLING.callers[:1])
        await d.tick(6)
        assert stage.calls.count("incident.callers") > calls
        assert "platform" not in pane(d).partition("calls of the key")[2].partition("denied since")[0]


async def test_calls_that_nobody_has_fetched_are_no_zero() -> None:
    stage = staged()
    nothing = "eu-west-1: nothing was fetched from 12:00 UTC on."
    stage.incidents.calling = KeyCallers(NOW, gaps=(nothing,))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter")
        await d.tick(1)
        told = pane(d)
        assert "no event of the key is fetched: keydeck events watch" in told
        assert nothing in told
        stage.faults["incident.callers"] = DatabaseUnreachableError("No connection to pg-1:5432.")
        await d.tick(6)
        assert "Who calls the key now is not known: No connection" in pane(d)


async def test_a_slow_answer_about_callers_holds_nothing_up() -> None:
    stage = staged()
    stage.gates["incident.callers"] = Event()
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter")
        await d.tick(2)
        await d.press("home")
        assert selected(d) == "declare"
        assert "calls of the key" not in pane(d)
        stage.gates["incident.callers"].set()


@pytest.mark.deep
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
        # What is to be run is whole; what is only named goes by the name that operators know.
        said = pane(d).replace(" ", "")
        assert f"SetTOKEN_ENCRYPTION_KEY_ID={CURRENT}wheretheplatformreadsit." in said
        assert "shows GenerateDataKey under alias/tokens …9f2c" in pane(d)
        assert "y copies one of the commands" in pane(d)
        await d.press("y", "down", "enter")
        assert d.app.clipboard == f"keydeck keys alias alias/tokens-old {CURRENT}"
        await d.press("y", "enter")
        assert d.app.clipboard == f"TOKEN_ENCRYPTION_KEY_ID={CURRENT}"
        await d.press("down")
        assert "copies" not in pane(d)
        await d.press("y")
        assert isinstance(d.app.screen, IncidentScreen)


@pytest.mark.deep
async def test_time_over_its_budget_is_told_by_a_word_and_a_sign() -> None:
    async with deck(staged(), start="incidents", size=LARGE) as d:
        await d.press("enter")
        await d.tick(23 * 60)
        assert "▲ 25 min of 30 min, nearly over" in pane(d)
        await d.tick(10 * 60)
        assert "✖ 35 min of 30 min, over by 5 min" in pane(d)
        assert "If it fails: Look at the job's errors on Jobs" in pane(d)
        assert "✖ open 00:47:31" in d.lines()[1]


@pytest.mark.deep
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


@pytest.mark.deep
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


@pytest.mark.deep
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


async def test_a_check_is_a_short_list_and_all_of_it_is_a_key_away() -> None:
    stage = staged()
    lines = ("New key is Enabled", "Loses access: role/[/red]backup", "Not known: who reads eu-central-1")
    lines += tuple(f"line {number}" for number in range(5))
    stage.incidents.checks["reencrypt"] = CheckResult(CheckState.NOT_YET, lines, at=NOW)
    async with deck(stage, start="incidents", size=SMALL) as d:
        await d.press("enter")
        for said in ("· New key is Enabled", "✖ Loses access: role/[/red]backup", "? Not known: who reads"):
            assert said in pane(d)
        assert "line 2 V shows all 8 lines" in pane(d)
        await d.press("V")
        assert "line 4" in d.text()
        assert "✖ Loses access: role/[/red]backup" in d.text()
        await d.press("enter")
        assert isinstance(d.app.screen, IncidentScreen)
        stage.incidents.checks["reencrypt"] = CheckResult(CheckState.PASSED, lines[:1], at=NOW)
        await d.press("v")
        assert "· New key is Enabled" in pane(d)
        assert "shows all" not in pane(d)


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


def test_a_note_is_kept_by_the_identity_or_else_by_the_user_of_this_machine() -> None:
    place = replace(Stage().place, identity="arn:aws:iam::123456789012:user/ana")
    assert noted_by(place) == place.identity
    assert noted_by(replace(place, identity="")) == noted_by(None) == user_name() != ""


def test_a_person_is_named_without_the_role_of_the_database() -> None:
    assert person("arn:aws:sts::1:assumed-role/oncall/ana, database role operator") == "ana"
    assert person("AWS identity not known, database role operator") == "operator"
    assert person("ana") == "ana"


@pytest.mark.deep
async def test_read_only_nothing_is_done_not_even_that_somebody_is_here() -> None:
    stage = staged()
    stage.read_only = True
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter")
        await d.tick(10)
        await d.press("enter", "a", "s", "n", "x", "C")
        assert isinstance(d.app.screen, IncidentScreen)
        assert stage.incidents.asked == []
        assert "Read-only mode: no actions here." in d.text()
        assert all(said.startswith("Read-only:") for said in d.toasts())
        assert "a act" not in d.lines()[-2]
        await d.press("e")
        assert isinstance(d.app.screen, EvidenceListScreen)


@pytest.mark.deep
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


@pytest.mark.deep
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
