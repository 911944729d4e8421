"""An incident from its declaration to its end: steps, proof, decisions, and who may change what."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from crypto_core.consent import Consent
from crypto_core.database.engine import open_engine
from crypto_core.database.journal import Journal
from crypto_core.errors import (
    ApprovalNeededError,
    KeydeckError,
    KmsAccessDeniedError,
    MissingSchemaError,
    NotConfirmedError,
    ReadOnlyError,
    RefusedError,
    RunbookError,
    UnknownIncidentError,
)
from crypto_core.incidents.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.doing import ActionResult
from crypto_core.incidents.model import CheckResult, CheckState, EntryKind, IncidentState, Scope, StepState
from crypto_core.incidents.service import IncidentService
from tests.crypto_core.incidents.report.making import service_of
from tests.crypto_core.incidents.sample import sample
from tests.crypto_core.incidents.service.doubles import KEY, DoubleGate, Doubles, Moments

Act = Callable[..., ActionResult]
Operator = Callable[..., IncidentService]


def journaled(engine: Engine, incident: int) -> list[tuple[str, str, str]]:
    name = f"INC-{incident}"
    entries = Journal(engine, lambda: "").entries()
    return [
        (e.action, e.subject.removeprefix(name).strip(), e.outcome)
        for e in entries
        if e.subject == name or e.subject.startswith(f"{name} ")
    ]


def test_an_incident_is_worked_through_to_its_end_and_all_of_it_is_told_and_journaled(
    engine: Engine, operator: Operator, act: Act, doubles: Doubles
) -> None:
    closed: list[int] = []
    ana = operator("ana", on_close=lambda: closed.append(1))
    incident = ana.declare("team-key", Scope(key=KEY, origin="event 42"), "Leak at night")
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
    plan = ana.plan(incident, "lock")
    result = ana.run(
        incident, "lock", plan, Consent.pressed(plan), progress=lambda done, of: steps.append((done, of))
    )
    assert (result.complete, result.lines, steps) == (True, ("lock-down-key done",), [(1, 1)])
    act(ana, incident, "replace")
    with pytest.raises(RefusedError, match="not ended: proof"):
        ana.close(incident, "All well")
    assert ana.finish(incident, "proof").check == replace(
        ana.show(incident).step("proof").check or CheckResult(CheckState.FAILED), state=CheckState.PASSED
    )
    with pytest.raises(RefusedError, match="reason of at least 3"):
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
    assert all(s.seconds is not None and s.seconds >= 0 for s in done.steps if s.state is StepState.DONE)
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
        with pytest.raises(RefusedError, match=f"INC-{incident} was closed by ana at"):
            change()
    assert ana.look(incident, "lock").passed


def test_an_incident_goes_on_by_its_own_runbook_though_the_file_changes(
    operator: Operator, incident: int, library: Any, forging: Engine
) -> None:
    file = next(library._folder.glob("key.toml"))
    file.write_text(file.read_text().replace("Say what is concerned", "Another title"))
    fresh = operator("ben")
    assert fresh.show(incident).step("scope").step.title == "Say what is concerned"
    file.unlink()
    assert fresh.show(incident).runbook.id == "team-key"
    with pytest.raises(RunbookError, match=r"no runbook 'team-key'.*team-drill"):
        fresh.declare("team-key", Scope(key=KEY))
    with forging.begin() as connection:
        change = "UPDATE keydeck.incident SET runbook_text = replace(runbook_text, '3', '4') WHERE id = :id"
        connection.execute(text(change), {"id": incident})
    assert fresh.show(incident).runbook.version == 3, "what was read once is gone on by"
    with pytest.raises(KeydeckError, match="not the one that it was declared with"):
        operator("cleo").show(incident)
    listed = {view.incident.id: view for view in operator("cleo").incidents()}
    assert listed[incident].steps == ()


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (Scope(), "is about a KMS key"),
        (Scope(references=("gh_connection.access_token:gh-1",)), "is about a KMS key"),
        (Scope(key=KEY, filter="provider:slack"), "nothing else"),
        (Scope(key="alias/tokens"), "Not the ARN"),
    ],
)
def test_a_scope_is_what_the_runbook_is_about(ana: IncidentService, scope: Scope, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        ana.declare("team-key", scope)


def test_a_check_that_does_not_pass_ends_nothing_and_is_remembered_once(
    ana: IncidentService, incident: int, doubles: Doubles
) -> None:
    with pytest.raises(RefusedError, match=r"not yet. Open. Ask the administrators of arn:aws:kms"):
        ana.finish(incident, "lock")
    first = ana.show(incident).step("lock").check
    assert first is not None
    assert (first.state, first.lines) == (CheckState.NOT_YET, ("Open.",))
    assert ana.look(incident, "lock").lines == ("Open.",)
    doubles.checks[CheckKind.KEY_LOCKED_DOWN] = CheckResult(CheckState.NOT_YET, ("Half.",), 1, 2)
    ana.look(incident, "lock")
    view = ana.show(incident)
    assert view.step("lock").check == first, "numbers alone are not written each second"
    assert view.evidence == ()
    doubles.checks[CheckKind.KEY_LOCKED_DOWN] = CheckResult(CheckState.FAILED, ("Never.",))
    ana.look(incident, "lock")
    assert [e.text for e in ana.show(incident).entries if e.kind is EntryKind.CHECK] == [
        "Check key-locked-down: not yet. Open.",
        "Check key-locked-down: failed. Never.",
    ]

    def denied(_: Any) -> None:
        raise KmsAccessDeniedError("You may not.", remedy="kms:GetKeyPolicy.")

    doubles.hooks["key-locked-down look"] = denied
    seen = ana.look(incident, "lock")
    assert (seen.state, seen.lines) == (CheckState.UNKNOWN, ("You may not. kms:GetKeyPolicy.",))


def test_what_an_action_did_is_kept_where_its_check_does_not_pass_yet(
    ana: IncidentService, act: Act, incident: int, doubles: Doubles
) -> None:
    doubles.checks[CheckKind.KEY_LOCKED_DOWN] = CheckResult(CheckState.NOT_YET, ("Not everywhere.",))
    result = act(ana, incident, "lock")
    assert (result.complete, "Not everywhere." in result.lines[-1]) == (True, True)
    step = ana.show(incident).step("lock")
    assert (step.state, step.trouble, step.check and step.check.state) == (
        StepState.BEGUN,
        "",
        CheckState.NOT_YET,
    )
    doubles.checks.clear()
    assert ana.finish(incident, "lock").state is StepState.DONE

    doubles.results[ActionKind.CREATE_KEY] = ActionResult(False, ("The alias could not be set.",))
    act(ana, incident, "replace")
    step = ana.show(incident).step("replace")
    assert (step.state, step.trouble) == (StepState.BEGUN, "Not complete. The alias could not be set.")
    done = ana.finish(incident, "replace")
    assert (done.state, done.reason) == (StepState.DONE, step.trouble), "the operator judges what is left"
    assert ana.reopen(incident, "replace", "Another one").reason == ""
    with pytest.raises(RefusedError, match="its action came to no end"):
        ana.finish(incident, "replace")
    doubles.results.clear()
    act(ana, incident, "replace")
    assert ana.show(incident).step("replace").state is StepState.DONE


def test_an_action_that_fails_leaves_its_reason_and_the_step_begun(
    engine: Engine, ana: IncidentService, act: Act, incident: int, doubles: Doubles
) -> None:
    def fails(_: Any) -> None:
        raise KmsAccessDeniedError("Not for you.", remedy="Ask.")

    doubles.hooks["lock-down-key before"] = fails
    with pytest.raises(KmsAccessDeniedError):
        act(ana, incident, "lock")
    step = ana.show(incident).step("lock")
    assert (step.state, step.trouble) == (StepState.BEGUN, "Not for you. Ask.")
    assert journaled(engine, incident)[-1] == ("incident run", "lock", "failed")
    doubles.hooks.clear()
    act(ana, incident, "lock")
    step = ana.show(incident).step("lock")
    assert (step.state, step.trouble) == (StepState.DONE, "")


def test_evidence_that_cannot_be_had_is_said_and_the_rest_is_kept(
    ana: IncidentService, incident: int, doubles: Doubles
) -> None:
    doubles.denied.add(CaptureKind.KEY)
    with pytest.raises(KeydeckError, match=r"key: Not allowed: key. Ask for it.") as refused:
        ana.finish(incident, "proof")
    assert isinstance(refused.value.__cause__, KmsAccessDeniedError)
    view = ana.show(incident)
    assert [piece.kind for piece in view.evidence] == ["census"]
    assert "key: Not allowed" in view.step("proof").trouble
    seen = ana.look(incident, "proof")
    assert (seen.state, seen.lines, seen.done, seen.total) == (
        CheckState.NOT_YET,
        ("Not captured yet: key.",),
        1,
        2,
    )
    doubles.denied.clear()
    assert ana.finish(incident, "proof").trouble == ""
    assert [piece.kind for piece in ana.show(incident).evidence] == ["census", "key"]
    doubles.missing.add(CaptureKind.KEY)
    ana.capture(incident, "proof")
    view = ana.show(incident)
    assert [piece.kind for piece in view.evidence] == ["census", "key", "key", "census"]
    assert view.evidence[2].title == "key: nothing was there"


def test_an_answer_decides_what_is_needed_until_it_is_taken_back(ana: IncidentService, incident: int) -> None:
    def states() -> list[str]:
        view = ana.show(incident)
        return [view.step(name).state.value for name in ("revoke", "again", "backups")]

    with pytest.raises(RefusedError, match="Answers: yes, no"):
        ana.answer(incident, "leaked", "perhaps")
    with pytest.raises(RefusedError, match="is a decision"):
        ana.finish(incident, "leaked")
    ana.answer(incident, "leaked", "no")
    assert states() == ["not needed"] * 3
    with pytest.raises(RefusedError, match=r"revoke of INC-.* is not needed, by what ana decided"):
        ana.plan(incident, "revoke")
    with pytest.raises(RefusedError, match="finished by ana"):
        ana.answer(incident, "leaked", "yes")
    with pytest.raises(RefusedError, match="reason"):
        ana.reopen(incident, "leaked", "no")
    reopened = ana.reopen(incident, "leaked", "A dump was found")
    assert (reopened.state, reopened.answer) == (StepState.TODO, "")
    assert states() == ["to do"] * 3
    ana.answer(incident, "leaked", "yes")
    ana.answer(incident, "again", "no")
    assert states() == ["to do", "done", "not needed"]
    ana.skip(incident, "revoke", "Done by the provider")
    ana.reopen(incident, "leaked", "Wrong after all")
    ana.answer(incident, "leaked", "no")
    assert states() == ["skipped", "done", "not needed"], "what has ended stays as it ended"


def test_a_decision_that_is_skipped_leaves_open_what_hangs_on_it(ana: IncidentService, incident: int) -> None:
    with pytest.raises(RefusedError, match="reason of at least 3"):
        ana.skip(incident, "leaked", "\u202e no ")
    skipped = ana.skip(incident, "leaked", "Nobody knows")
    assert (skipped.state, skipped.reason, skipped.by) == (StepState.SKIPPED, "Nobody knows", "ana")
    assert ana.show(incident).step("revoke").state is StepState.TODO


def test_steps_may_be_done_before_their_turn_and_the_timeline_says_so(
    ana: IncidentService, act: Act, incident: int
) -> None:
    act(ana, incident, "replace")
    ana.finish(incident, "proof")
    texts = [
        e.text for e in ana.show(incident).entries if "Out of order: step scope is still open." in e.text
    ]
    assert len(texts) == 2


def test_nothing_runs_without_a_consent_to_this_plan(
    engine: Engine, ana: IncidentService, incident: int, doubles: Doubles
) -> None:
    plan, other = ana.plan(incident, "lock"), ana.plan(incident, "replace")
    for consent in (None, Consent.pressed(other)):
        with pytest.raises(NotConfirmedError):
            ana.run(incident, "lock", plan, consent)
    assert ana.show(incident).step("lock").state is StepState.TODO
    assert doubles.effects(incident) == []
    assert journaled(engine, incident)[-1] == ("incident run", "lock", "refused")
    with pytest.raises(RefusedError, match="no action"):
        ana.plan(incident, "scope")
    with pytest.raises(RefusedError, match="no step 'nothing'"):
        ana.plan(incident, "nothing")
    for number in (10**6, 0, -1, 10**30):
        with pytest.raises(UnknownIncidentError, match=f"no incident {number}"):
            ana.show(number)


def test_a_second_identity_is_asked_before_a_step_is_begun(
    operator: Operator, act: Act, incident: int
) -> None:
    gate = DoubleGate("incident lock-down-key")
    ana = operator("ana", approvals=gate)
    with pytest.raises(ApprovalNeededError):
        act(ana, incident, "lock")
    assert ana.show(incident).step("lock").state is StepState.TODO
    gate.approved = True
    act(ana, incident, "lock")
    assert ana.show(incident).step("lock").state is StepState.DONE
    assert gate.asked == [("incident lock-down-key", f"INC-{incident} lock lock-down-key")] * 2
    act(ana, incident, "replace")
    assert len(gate.asked) == 2


def test_read_only_shows_and_changes_nothing(
    incident_url: str, operator: Operator, incident: int, doubles: Doubles
) -> None:
    reading = open_engine(incident_url, read_only=True)
    viewer = operator("vera", engine=reading, journal=Journal(reading, lambda: "vera"), read_only=True)
    before = viewer.show(incident)
    assert viewer.incidents(limit=1)
    assert viewer.look(incident, "lock").state is CheckState.NOT_YET
    plan = viewer.plan(incident, "lock")
    viewer.join(incident)
    for change in (
        lambda: viewer.declare("team-key", Scope(key=KEY)),
        lambda: viewer.run(incident, "lock", plan, Consent.pressed(plan)),
        lambda: viewer.capture(incident, "proof"),
        lambda: viewer.finish(incident, "scope"),
        lambda: viewer.answer(incident, "leaked", "no"),
        lambda: viewer.skip(incident, "scope", "Not today"),
        lambda: viewer.reopen(incident, "scope", "Not today"),
        lambda: viewer.note(incident, "A note"),
        lambda: viewer.close(incident, "Closed"),
    ):
        with pytest.raises(ReadOnlyError):
            change()
    assert viewer.show(incident) == before
    assert doubles.effects(incident) == []
    reading.dispose()


def test_a_list_takes_as_many_statements_for_many_incidents_as_for_one(
    engine: Engine, ana: IncidentService, incident: int
) -> None:
    for _ in range(4):
        ana.declare("team-key", Scope(key=KEY))
    ana.incidents()
    statements: list[str] = []

    def count(*call: Any) -> None:
        statements.append(call[2])

    event.listen(engine, "before_cursor_execute", count)
    for limit in (1, 5):
        statements.clear()
        listed = ana.incidents(limit=limit)
        assert (len(listed), len(statements)) == (limit, 3)
    event.remove(engine, "before_cursor_execute", count)
    ids = [view.incident.id for view in listed]
    assert ids == sorted(ids, reverse=True)
    assert listed[0].steps[0].state is StepState.BEGUN


def test_without_keydecks_schema_incidents_say_so(
    environment: dict[str, str], library: Any, doubles: Doubles
) -> None:
    engine = open_engine(environment["DATABASE_URL"])
    ana = IncidentService(engine, Journal(engine, lambda: "ana"), library, doubles.toolbox(), read_only=False)
    for call in (lambda: ana.declare("team-key", Scope(key=KEY)), ana.incidents, lambda: ana.show(1)):
        with pytest.raises(MissingSchemaError, match="keydeck init"):
            call()
    assert ana.drill_due() == ""
    engine.dispose()


def test_a_drill_is_due_when_the_last_one_is_too_old(services: Any, library: Any, doubles: Doubles) -> None:
    clock, engine = Moments(), services.state_engine

    def with_days(days: int) -> IncidentService:
        journal = Journal(engine, lambda: "ana")
        toolbox = doubles.toolbox()
        return IncidentService(
            engine, journal, library, toolbox, read_only=False, drill_days=days, clock=clock
        )

    ana = with_days(90)
    assert "No restore drill is on record; one is wanted every 90 days" in ana.drill_due()
    assert with_days(0).drill_due() == ""
    incident = ana.declare("team-drill", Scope(database="restored"))
    doubles.missing.add(CaptureKind.VERIFICATION)
    with pytest.raises(RefusedError, match="No verification is kept as evidence"):
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
        raise KmsAccessDeniedError("The journal could not be signed.")

    ana = operator("ana", on_close=fails, reports=service_of(sample()))
    incident = ana.declare("team-drill", Scope(database="restored"))
    forms = ana.reports(incident)
    assert sorted(forms) == ["html", "json", "markdown"]
    assert all(f"INC-{incident}" in text for text in forms.values())
    assert ana.report(incident, "json").startswith("{")
    assert "not signed" in ana.verify_report(forms["json"]).wrong
    ana.skip(incident, "record", "A test only")
    closed = ana.close(incident, "Nothing happened")
    assert closed.incident.state is IncidentState.CLOSED
    assert closed.entries[-1].text == "After closing: The journal could not be signed."
    with pytest.raises(RefusedError, match="can't be made here"):
        operator("ben").report(incident)


def test_lines_of_a_check_are_told_apart_wherever_they_make_one_text(
    ana: IncidentService, act: Act, doubles: Doubles, incident: int
) -> None:
    lines = ("Key 1 is Enabled", "Under it: 100 tokens", "[/red]\x1b[31m\u202eevil", "so " * 3_000)
    doubles.checks[CheckKind.KEY_LOCKED_DOWN] = CheckResult(CheckState.NOT_YET, lines)
    doubles.results[ActionKind.LOCK_DOWN_KEY] = ActionResult(False, ("One is done", "Two is not"))
    told = act(ana, incident, "lock").lines[-1]
    with pytest.raises(RefusedError) as refused:
        ana.finish(incident, "lock")
    by_kind = {entry.kind: entry.text for entry in ana.show(incident).entries}
    seen = "Key 1 is Enabled · Under it: 100 tokens · [/red]evil · so so"
    for text_ in (told, refused.value.message, by_kind[EntryKind.CHECK]):
        assert seen in text_
        assert len(text_) <= 3_000
    assert by_kind[EntryKind.ACTION] == "Not complete. One is done · Two is not"
