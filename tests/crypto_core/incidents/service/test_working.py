"""An incident from its declaration to its end, its runbook, its list, and drills that are due."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.journal import Journal
from crypto_core.guard.consent import Consent
from crypto_core.incidents.model import (
    CheckResult,
    CheckState,
    EntryKind,
    IncidentScope,
    IncidentState,
    StepState,
)
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.service import IncidentService
from crypto_core.values import errors
from tests.crypto_core.incidents.report.making import service_of as reports_of
from tests.crypto_core.incidents.sample import sample
from tests.crypto_core.incidents.service.doubles import KEY, Doubles, Moments
from tests.crypto_core.incidents.service.operators import Act, Operator, journaled, service_of
from tests.crypto_core.statements import sent_by


def test_an_incident_is_worked_through_to_its_end_and_all_of_it_is_told_and_journaled(
    engine: Engine, operator: Operator, act: Act, doubles: Doubles
) -> None:
    closed: list[int] = []
    ana = operator("ana", on_close=lambda: closed.append(1))
    incident = ana.declare("team-key", IncidentScope(key=KEY, origin="event 42"), "Leak at night")
    view = ana.show(incident)
    assert (view.incident.title, view.incident.state, view.incident.declared_by) == (
        "Leak at night",
        IncidentState.OPEN,
        "ana",
    )
    assert (view.incident.scope.key, view.incident.scope.origin, view.runbook.version) == (KEY, "event 42", 3)
    assert view.current is not None
    assert (view.current.step.id, view.current.state) == ("scope", StepState.BEGUN)

    assert ana.finish(incident, "scope").state is StepState.DONE
    assert ana.show(incident).step("leaked").begun_at is not None
    decided = ana.answer(incident, "leaked", "no")
    assert (decided.state, decided.answer) == (StepState.DONE, "no")
    assert [f.name for f in ana.fields(incident, "lock")] == ["ticket", "token"]
    steps: list[tuple[int, int]] = []
    plan = ana.plan_action(incident, "lock")
    result = ana.run_action(
        incident, "lock", plan, Consent.pressed(plan), progress=lambda done, of: steps.append((done, of))
    )
    assert (result.complete, result.lines, steps) == (True, ("lock-down-key done",), [(1, 1)])
    act(ana, incident, "replace")
    with pytest.raises(errors.RefusedError, match="not ended: proof"):
        ana.close(incident, "All well")
    assert ana.finish(incident, "proof").check == replace(
        ana.show(incident).step("proof").check or CheckResult(CheckState.FAILED), state=CheckState.PASSED
    )
    with pytest.raises(errors.RefusedError, match="reason of at least 3"):
        ana.close(incident, " \x1b ")
    done = ana.close(incident, "All well")

    assert (done.incident.state, done.incident.outcome, closed) == (IncidentState.CLOSED, "All well", [1])
    assert done.incident.values == {"new_key": KEY[:-1] + "6"}
    assert [(s.step.id, s.state.value) for s in done.steps] == [
        ("scope", "done"),
        ("leaked", "done"),
        ("lock", "done"),
        ("replace", "done"),
        ("revoke", "not needed"),
        ("again", "not needed"),
        ("backups", "not needed"),
        ("proof", "done"),
    ]
    assert done.current is None
    ended = [s for s in done.steps if s.state is StepState.DONE]
    assert all(s.begun_at and s.ended_at and s.begun_at <= s.ended_at for s in ended)
    assert [(e.step_id, e.kind) for e in done.evidence] == [
        ("lock", "key-use"),
        ("lock", "policy"),
        ("lock", "grants"),
        ("replace", "key-use"),
        ("proof", "key"),
        ("proof", "census"),
    ]
    assert json.loads(ana.evidence(incident, done.evidence[1].id)) == {"kind": "policy"}
    assert journaled(engine, incident) == [
        ("incident declare", "", "done"),
        ("incident done", "scope", "done"),
        ("incident answer", "leaked", "done"),
        ("incident plan", "lock", "dry run"),
        ("incident begin", "lock", "started"),
        ("incident evidence", "lock", "done"),
        ("incident run", "lock", "done"),
        ("incident evidence", "lock", "done"),
        ("incident evidence", "lock", "done"),
        ("incident done", "lock", "done"),
        ("incident plan", "replace", "dry run"),
        ("incident begin", "replace", "started"),
        ("incident evidence", "replace", "done"),
        ("incident run", "replace", "done"),
        ("incident done", "replace", "done"),
        ("incident close", "", "refused"),
        ("incident evidence", "proof", "done"),
        ("incident evidence", "proof", "done"),
        ("incident done", "proof", "done"),
        ("incident close", "", "done"),
    ]
    assert [e.kind for e in done.entries if e.kind is not EntryKind.EVIDENCE] == [
        EntryKind.DECLARED,
        EntryKind.DONE,
        EntryKind.ANSWER,
        EntryKind.ACTION,
        EntryKind.ACTION,
        EntryKind.DONE,
        EntryKind.ACTION,
        EntryKind.ACTION,
        EntryKind.DONE,
        EntryKind.DONE,
        EntryKind.CLOSED,
    ]
    assert not [e for e in done.entries if "Out of order" in e.text]
    for change in (
        lambda: ana.note(incident, "Too late"),
        lambda: ana.reopen(incident, "lock", "Once more"),
        lambda: ana.capture(incident, "proof"),
        lambda: ana.close(incident, "Again"),
    ):
        with pytest.raises(errors.RefusedError, match=f"INC-{incident} was closed by ana at"):
            change()
    assert ana.look_at_check(incident, "lock").passed


def test_an_incident_goes_on_by_its_own_runbook_though_the_file_changes(
    operator: Operator, incident: int, library: Any, forging: Engine
) -> None:
    file = next(library._folder.glob("key.toml"))
    file.write_text(file.read_text().replace("Say what is concerned", "Another title"))
    fresh = operator("ben")
    assert fresh.show(incident).step("scope").step.title == "Say what is concerned"
    file.unlink()
    assert fresh.show(incident).runbook.id == "team-key"
    with pytest.raises(errors.RunbookError, match=r"no runbook 'team-key'.*team-drill"):
        fresh.declare("team-key", IncidentScope(key=KEY))
    with forging.begin() as connection:
        change = "UPDATE keydeck.incident SET runbook_text = replace(runbook_text, '3', '4') WHERE id = :id"
        connection.execute(text(change), {"id": incident})
    assert fresh.show(incident).runbook.version == 3, "what was read once is gone on by"
    with pytest.raises(errors.KeydeckError, match="not the one that it was declared with"):
        operator("cleo").show(incident)
    listed = {view.incident.id: view for view in operator("cleo").incidents()}
    assert listed[incident].steps == ()
    assert "not the one that it was declared with" in listed[incident].unread


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (IncidentScope(), "is about a KMS key"),
        (IncidentScope(references=("gh_connection.access_token:gh-1",)), "is about a KMS key"),
        (IncidentScope(key=KEY, filter="provider:slack"), "nothing else"),
        (IncidentScope(key="alias/tokens"), "Not the ARN"),
    ],
)
def test_a_scope_is_what_the_runbook_is_about(ana: IncidentService, scope: IncidentScope, said: str) -> None:
    with pytest.raises(errors.RefusedError, match=said):
        ana.declare("team-key", scope)


def test_steps_may_be_done_before_their_turn_and_the_timeline_says_so(
    ana: IncidentService, act: Act, incident: int
) -> None:
    act(ana, incident, "replace")
    ana.finish(incident, "proof")
    texts = [
        e.text for e in ana.show(incident).entries if "Out of order: step scope is still open." in e.text
    ]
    assert len(texts) == 2


def test_a_list_takes_as_many_statements_for_many_incidents_as_for_one(
    engine: Engine, ana: IncidentService, incident: int
) -> None:
    for _ in range(4):
        ana.declare("team-key", IncidentScope(key=KEY))
    ana.incidents()
    for limit in (1, 5):
        with sent_by(engine) as statements:
            listed = ana.incidents(limit=limit)
        assert (len(listed), len(statements)) == (limit, 4)
    ids = [view.incident.id for view in listed]
    assert ids == sorted(ids, reverse=True)
    assert listed[0].steps[0].state is StepState.BEGUN


def test_without_keydecks_schema_incidents_say_so(
    environment: dict[str, str], library: Any, doubles: Doubles
) -> None:
    engine = open_engine(environment["DATABASE_URL"])
    ana = service_of(engine, Journal(engine, lambda: "ana"), library, doubles.toolbox())
    for call in (lambda: ana.declare("team-key", IncidentScope(key=KEY)), ana.incidents, lambda: ana.show(1)):
        with pytest.raises(errors.MissingSchemaError, match="keydeck init"):
            call()
    assert ana.drill_due() == ""
    engine.dispose()


def test_a_drill_is_due_when_the_last_one_is_too_old(services: Any, library: Any, doubles: Doubles) -> None:
    clock, engine = Moments(), services.state_engine

    def with_days(days: int) -> IncidentService:
        journal = Journal(engine, lambda: "ana")
        toolbox = doubles.toolbox()
        return service_of(engine, journal, library, toolbox, drill_days=days, clock=clock)

    ana = with_days(90)
    assert "No restore drill is on record; one is wanted every 90 days" in ana.drill_due()
    assert with_days(0).drill_due() == ""
    incident = ana.declare("team-drill", IncidentScope(database="restored"))
    doubles.missing.add(CaptureKind.VERIFICATION)
    with pytest.raises(errors.RefusedError, match="No verification is kept as evidence"):
        ana.finish(incident, "record")
    assert "No restore drill is on record" in ana.drill_due()
    doubles.missing.clear()
    doubles.contents[CaptureKind.VERIFICATION] = {"seconds": 61.2}
    step = ana.finish(incident, "record")
    assert step.check is not None
    assert step.check.lines[0] == "Verified on 2026-11-26 in 61 s."
    assert ana.drill_due() == ""
    clock.now += timedelta(days=91)
    assert "The last restore drill was 91 days ago, on 2026-11-26" in ana.drill_due()
    assert with_days(0).drill_due() == ""


def test_what_fails_after_closing_is_told_in_the_timeline(operator: Operator, library: Any) -> None:
    def fails() -> None:
        raise errors.KmsAccessDeniedError("The journal could not be signed.")

    ana = operator("ana", on_close=fails, reports=reports_of(sample()))
    incident = ana.declare("team-drill", IncidentScope(database="restored"))
    forms = ana.reports(incident)
    assert sorted(forms) == ["html", "json", "markdown"]
    assert all(f"INC-{incident}" in text for text in forms.values())
    assert ana.report(incident, "json").startswith("{")
    assert "not signed" in ana.verify_report(forms["json"]).wrong
    ana.skip(incident, "record", "A test only")
    closed = ana.close(incident, "Nothing happened")
    assert closed.incident.state is IncidentState.CLOSED
    assert closed.entries[-1].text == "After closing: The journal could not be signed."
