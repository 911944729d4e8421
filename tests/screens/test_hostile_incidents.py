"""Hostile text on an incident's page and in its dialogs does no harm."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from crypto_core.database.state.approval_book import cleaned
from crypto_core.database.state.incident_records import Present
from crypto_core.guard.consent import Danger
from crypto_core.incidents.model import CheckResult, CheckState, StepState
from crypto_core.incidents.people import Assignment, FollowUp, IncidentRole, People
from crypto_core.incidents.runbooks.catalogue import ActionKind
from crypto_core.incidents.steps.step_contracts import ActionResult, InputField
from crypto_core.incidents.suspects import Suspect, Suspects
from crypto_core.values.errors import DatabaseUnreachableError, KmsError
from tests.screens.deck import SMALL, deck
from tests.screens.hostile import EACH_TEXT, as_built, assert_harmless, harmless_after
from tests.screens.incident_scene import staged
from tests.screens.sample_runbooks import KEY_COMPROMISE
from tests.screens.samples import NOW
from tests.screens.stage_incidents import approval, key_compromise


@pytest.mark.deep
@EACH_TEXT  # together they are deep, each alone is long
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
    check = as_built(CheckResult(CheckState.FAILED, (text,), done=1, total=2, at=NOW))
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
        people=People(
            (Assignment(IncidentRole.LEAD, text, NOW, text, text),),
            (
                FollowUp(1, text, text, NOW.date(), NOW, text),
                FollowUp(2, text, text, None, NOW, text, NOW, text, text),
            ),
        ),
    )
    stage = staged(as_built(hostile))
    stage.incidents.about = Suspects((Suspect(text, (text, text), (text,), 3, NOW, NOW),), (text,), more=9)
    stage.incidents.contents[1] = json.dumps({text: text})
    stage.incidents.contents[2] = text
    stage.incidents.checks["reencrypt"] = check
    stage.incidents.needs["reencrypt"] = (
        InputField("a", text, default=text),
        InputField("b", text, choices=((text, text), ("y", text))),
        InputField("c", text, secret=True, required=False),
        InputField("d", text, text, ((text, text), ("y", text)), several=True, suspects=(text,)),
    )
    stage.incidents.plan_more = {
        "title": text,
        "does": (text,),
        "does_not": (text,),
        "warnings": (text,),
        "danger": Danger.TYPED,
        "confirmation": text,
    }
    stage.incidents.result = as_built(ActionResult(False, (text,)))
    plan = cleaned({text: text, "does": [text]})
    stage.approvals.add(as_built(approval(action=text, summary=text, requested_by=text, plan=plan)))
    async with deck(stage, start="incidents", size=size) as d:
        await harmless_after(d, size, "enter", "pagedown", "a", "tab", "escape", "d", "escape", "s", "escape")
        await harmless_after(d, size, "e", "enter", "escape", "down enter", "escape escape T", "escape l")
        await harmless_after(d, size, "enter", "escape", "end", *["up"] * 8, "escape", "H", "enter")
        await d.press("escape", "escape")
        d.stage.faults["incident.show"] = DatabaseUnreachableError(text, remedy=text)
        d.stage.faults["incident.fields"] = KmsError(text, remedy=text)
        await d.press("a")
        assert_harmless(d, size)
        await d.press("escape")
        await d.tick(5)
        assert_harmless(d, size)
