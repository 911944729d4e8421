"""Four eyes: what waits for a second identity, and how a request is decided on screen."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from textual.widgets import Button

from crypto_core.guard.approvals import ADVISORY, Decision
from crypto_core.incidents.model import StepState
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import DatabaseUnreachableError, RefusedError
from screens.incidents.approvals_screen import ApprovalNeeded, ApprovalsScreen
from screens.incidents.step_runs import runs_of
from tests.screens.deck import LARGE, deck
from tests.screens.incident_scene import at_step, pane, staged
from tests.screens.stage_incidents import ANA, BEN, approval


async def test_what_needs_a_second_identity_says_who_and_how_and_goes_on_once_approved() -> None:
    stage = staged(at_step("disable"))
    stage.incidents.approval_for = "disable"
    stage.approvals.add(approval(requested_by=ANA))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter", "right", "enter")
        assert isinstance(d.app.screen, ApprovalNeeded)
        told = d.says()
        assert "Disabling a key needs a second identity." in told
        assert "Approve it: keydeck approvals approve 00000000-" in told
        await d.press("enter")
        await d.tick(5)
        assert "▲ Waits for a second identity; the request ends in 26 min." in pane(d)
        [request] = stage.approvals.all.values()
        stage.approvals.decide(request, approve=True)
        await d.tick(5)
        assert "● Approved by ana. Enter: plan it again and run it." in pane(d)
        stage.faults["approval.requests"] = DatabaseUnreachableError("No connection.")
        await d.tick(5)
        assert "● Approved by ana. Enter: plan it again and run it." in pane(d)
        stage.incidents.approval_for = ""
        await d.press("enter", "right", "enter")
        assert stage.incidents.views[7].step("disable").state is StepState.DONE
        assert runs_of(d.facts).waiting == {}


async def test_an_approval_that_cloudtrail_has_not_delivered_is_not_called_ready() -> None:
    stage = staged(at_step("disable"))
    stage.incidents.approval_for = "disable"
    words = "Waiting for CloudTrail: ben's approval is not delivered yet."
    given = approval(requested_by=ANA, decision=Decision.APPROVED)
    stage.approvals.add(replace(given, decided_by=clean(BEN), cloudtrail=clean(words), confirmed=False))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("enter", "enter", "right", "enter", "enter")
        await d.tick(5)
        assert words in " ".join(pane(d).split())
        assert "Enter: plan it again" not in pane(d)
        await d.command("approvals")
        assert "unconfirmed" in d.text()


async def test_a_request_that_was_changed_is_on_top_and_can_only_be_denied() -> None:
    stage = staged()
    stage.approvals.advisory = ADVISORY
    problem = "Changed in the database after it was made: its summary and plan."
    stage.approvals.add(approval(), approval(6, Decision.CHANGED, problem=problem))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.command("approvals")
        told = " ".join(d.text().split())
        assert ADVISORY in told
        assert "changed" in d.cursor_line()
        assert problem in told
        await d.press("enter")
        told = d.says()
        assert problem in told
        assert ADVISORY in told
        assert [str(one.label) for one in d.app.screen.query(Button)] == [" Leave it ", " Deny "]
        await d.press("right", "enter")
        assert stage.approvals.all[UUID(int=6)].decision is Decision.DENIED
        await d.press("enter")
        assert [str(one.label) for one in d.app.screen.query(Button)][2:] == [" Approve "]


@pytest.mark.parametrize(("presses", "decision"), [(1, "denied"), (2, "approved")])
async def test_a_request_is_decided_after_its_plan_was_shown(presses: int, decision: str) -> None:
    stage = staged()
    trail = clean("The request is in CloudTrail.")
    stage.approvals.add(replace(approval(), database_id=clean("db-77"), cloudtrail=trail))
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.command("approvals")
        assert isinstance(d.app.screen, ApprovalsScreen)
        assert "in 27 min" in d.cursor_line()
        await d.press("enter")
        told = d.says()
        assert "Nobody can use the key." in told
        assert "41 tokens are under it." in told
        assert BEN in told
        assert trail in told
        assert "of database db-77" in told
        await d.press("enter")
        assert "approval.decide" not in stage.calls
        await d.press("a", *["right"] * presses, "enter")
        assert [one.decision.value for one in stage.approvals.all.values()] == [decision]
        assert "No pending approvals." in d.text()


async def test_ones_own_request_is_refused_and_that_is_said() -> None:
    stage = staged()
    stage.approvals.add(approval())
    stage.approvals.refused = RefusedError("You asked for this yourself.")
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press("H", "enter", "right", "right", "enter")
        assert "You asked for this yourself." in " ".join(d.toasts())
