"""Steps of an incident: checks, actions, evidence and decisions, and what each leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from console import capabilities
from console.capabilities import OWN_TOOLS
from crypto_core.database.state.journal import Journal
from crypto_core.guard.consent import Consent
from crypto_core.guard.guard import Guard
from crypto_core.incidents.model import CheckResult, CheckState, EntryKind, IncidentScope, StepState
from crypto_core.incidents.runbooks.catalogue import ActionKind, CaptureKind, CheckKind
from crypto_core.incidents.service import IncidentService
from crypto_core.incidents.steps.evidence_text import NOTHING_SHA256
from crypto_core.incidents.steps.step_contracts import ActionResult, Toolbox
from crypto_core.values.errors import KeydeckError, KmsAccessDeniedError, RefusedError
from tests.crypto_core.incidents.service.doubles import DoubleCapture, DoubleCheck, Doubles
from tests.crypto_core.incidents.service.operators import Act, Operator, journaled


def test_a_check_that_does_not_pass_ends_nothing_and_is_remembered_once(
    ana: IncidentService, incident: int, doubles: Doubles
) -> None:
    with pytest.raises(RefusedError, match=r"not yet. Open. Ask the administrators of arn:aws:kms"):
        ana.finish(incident, "lock")
    first = ana.show(incident).step("lock").check
    assert first is not None
    assert (first.state, first.lines) == (CheckState.NOT_YET, ("Open.",))
    assert ana.look_at_check(incident, "lock").lines == ("Open.",)
    doubles.checks[CheckKind.KEY_LOCKED_DOWN] = CheckResult(CheckState.NOT_YET, ("Half.",), 1, 2)
    ana.look_at_check(incident, "lock")
    view = ana.show(incident)
    assert view.step("lock").check == first, "numbers alone are not written each second"
    assert view.evidence == ()
    doubles.checks[CheckKind.KEY_LOCKED_DOWN] = CheckResult(CheckState.FAILED, ("Never.",))
    ana.look_at_check(incident, "lock")
    assert [e.text for e in ana.show(incident).entries if e.kind is EntryKind.CHECK] == [
        "Check key-locked-down: not yet. Open.",
        "Check key-locked-down: failed. Never.",
    ]

    def denied(_: Any) -> None:
        raise KmsAccessDeniedError("You may not.", remedy="kms:GetKeyPolicy.")

    doubles.hooks["key-locked-down look"] = denied
    seen = ana.look_at_check(incident, "lock")
    assert (seen.state, seen.lines) == (CheckState.UNKNOWN, ("You may not. kms:GetKeyPolicy.",))


def test_what_a_capability_would_do_that_is_left_out_says_so_and_passes_nothing(
    operator: Callable[..., IncidentService], act: Act, incident: int
) -> None:
    gone = "is not installed: this installation leaves the capability x out."
    ana = operator("ana", toolbox=Toolbox(not_installed=lambda name, what: f"{what} {name} {gone}"))
    with pytest.raises(RefusedError, match=f"Step lock of INC-{incident}: Action lock-down-key {gone}"):
        act(ana, incident, "lock")
    seen = ana.look_at_check(incident, "lock")
    assert (seen.state, seen.lines) == (CheckState.UNKNOWN, (f"Check key-locked-down {gone}",))
    with pytest.raises(RefusedError, match=f"is not done: not known. Check key-locked-down {gone}"):
        ana.finish(incident, "lock")
    ana.capture(incident, "lock")
    pieces = ana.show(incident).evidence
    assert [piece.title for piece in pieces] == [f"Capture policy {gone}", f"Capture grants {gone}"]
    assert json.loads(ana.evidence(incident, pieces[0].id)) == {"found": None}
    assert not ana.show(incident).step("lock").state.ended


@pytest.mark.parametrize("state", [state for state in CheckState if state is not CheckState.PASSED])
def test_nothing_but_a_passed_check_ends_a_step(
    ana: IncidentService, incident: int, doubles: Doubles, state: CheckState
) -> None:
    doubles.checks[CheckKind.KEY_LOCKED_DOWN] = CheckResult(state, ("Seen.",))
    with pytest.raises(RefusedError, match=f"is not done: {state}. Seen."):
        ana.finish(incident, "lock")
    assert not ana.show(incident).step("lock").state.ended


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("step", "tool"),
    [
        ("evidence", "Capture hashed-query"),
        ("use", "Check provider-events-covered"),
        ("access", "Check tripwires-known"),
    ],
)
def test_a_step_with_what_a_missing_capability_brings_says_so_and_never_passes(
    operator: Operator, doubles: Doubles, monkeypatch: pytest.MonkeyPatch, step: str, tool: str
) -> None:
    doubles.checks |= {kind: CheckResult(CheckState.PASSED) for kind in CheckKind}
    whole = doubles.toolbox()
    whole = replace(
        whole,
        checks=whole.checks | {kind: DoubleCheck(doubles, kind) for kind in CheckKind if kind in OWN_TOOLS},
        captures=whole.captures
        | {CaptureKind.HASHED_QUERY: DoubleCapture(doubles, CaptureKind.HASHED_QUERY)},
    )
    monkeypatch.setattr(capabilities, "manifests", tuple)
    without = Toolbox(
        whole.actions,
        {kind: check for kind, check in whole.checks.items() if kind not in OWN_TOOLS},
        {kind: capture for kind, capture in whole.captures.items() if kind not in OWN_TOOLS},
        capabilities.not_installed,
    )
    ana, ben = operator("ana", toolbox=without), operator("ben", toolbox=whole)
    number = ana.declare("token-compromise", IncidentScope(references=("gh_connection.access_token:gh-1",)))
    left_out = "is not installed: this installation leaves the capability forensics out."
    for _ in range(2):
        with pytest.raises(RefusedError, match=f"is not done: not known. {tool} {left_out}"):
            ana.finish(number, step)
    seen = ana.look_at_check(number, step)
    assert (seen.state, seen.lines) == (CheckState.UNKNOWN, (f"{tool} {left_out}",))
    view = ana.show(number)
    assert not view.step(step).state.ended
    told = [piece for piece in view.evidence if piece.kind in OWN_TOOLS]
    assert {piece.title for piece in told} <= {f"Capture {piece.kind} {left_out}" for piece in told}
    assert all(piece.sha256 == NOTHING_SHA256 for piece in told)
    assert bool(told) is (step != "access")
    assert ben.finish(number, step).state is StepState.DONE
    assert ana.look_at_check(number, "evidence").state is (
        CheckState.PASSED if step == "evidence" else CheckState.NOT_YET
    )


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
    with pytest.raises(RefusedError, match="its action did not finish"):
        ana.finish(incident, "replace")
    doubles.results.clear()
    act(ana, incident, "replace")
    assert ana.show(incident).step("replace").state is StepState.DONE


def test_an_operation_that_the_action_does_not_name_is_refused(
    engine: Engine, ana: IncidentService, act: Act, incident: int, doubles: Doubles
) -> None:
    journal = Journal(engine, lambda: "ana")
    guard = Guard(journal, read_only=False, ready=lambda: None)

    def disables(_: Any) -> None:
        with guard.recording("keys disable", "the key"):
            raise AssertionError("nothing is done")

    for point in ("lock-down-key plan", "lock-down-key before"):
        doubles.hooks = {point: disables}
        with pytest.raises(RefusedError, match="does not perform keys disable"):
            act(ana, incident, "lock")
        assert ("keys disable", "refused") in [(e.action, e.outcome) for e in journal.entries()[-2:]]
    assert doubles.effects(incident) == []
    with pytest.raises(AssertionError, match="nothing is done"):
        disables(None)


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
    seen = ana.look_at_check(incident, "proof")
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


def test_capturing_is_told_kind_by_kind(ana: IncidentService, incident: int) -> None:
    told: list[tuple[int, int, str]] = []
    ana.finish(incident, "proof", capturing=lambda *seen: told.append(seen))
    assert told == [(0, 2, "key"), (1, 2, "census"), (2, 2, "")]
    assert len(ana.capture(incident, "proof", capturing=lambda *seen: told.append(seen))) == 2
    assert told[3:] == told[:3]


def test_all_evidence_that_cannot_be_had_is_journaled(
    engine: Engine, ana: IncidentService, incident: int, doubles: Doubles
) -> None:
    doubles.denied |= {CaptureKind.KEY, CaptureKind.CENSUS}
    with pytest.raises(KeydeckError, match="key: Not allowed"):
        ana.capture(incident, "proof")
    last = Journal(engine, lambda: "ana").entries()[-1]
    assert (last.action, last.outcome) == ("incident evidence", "failed")
    assert set(json.loads(last.detail)["missing"]) == {"key", "census"}


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
    with pytest.raises(RefusedError, match=r"revoke of INC-.* is not needed: ana decided so"):
        ana.plan_action(incident, "revoke")
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


def test_without_its_answer_a_step_is_neither_planned_nor_run_nor_ended_until_it_is_decided(
    engine: Engine, ana: IncidentService, act: Act, doubles: Doubles, incident: int
) -> None:
    def refused(words: str) -> None:
        for call in (ana.fields, ana.plan_action, ana.finish):
            with pytest.raises(RefusedError, match=words) as error:
                call(incident, "revoke")
            assert f"keydeck incident next {incident} --step leaked --answer CHOICE" in error.value.remedy

    refused("only after the answer 'yes' to step leaked, which is not decided yet")
    last = Journal(engine, lambda: "ana").entries()[-1]
    assert (last.action, last.outcome) == ("incident plan", "refused")
    ana.answer(incident, "leaked", "yes")
    plan = ana.plan_action(incident, "revoke")
    ana.reopen(incident, "leaked", "Not sure any more")
    ana.skip(incident, "leaked", "Nobody knows")
    refused("which is not decided: it was skipped")
    with pytest.raises(RefusedError, match="it was skipped"):
        ana.run_action(incident, "revoke", plan, Consent.pressed(plan))
    assert doubles.effects(incident) == []
    # A decision can be made after it was skipped.
    assert ana.answer(incident, "leaked", "yes").answer == "yes"
    act(ana, incident, "revoke")
    assert doubles.effects(incident) == ["revoke-tokens"]


def test_what_a_skipped_decision_leaves_undecided_is_passed_over_and_an_open_point_at_the_end(
    ana: IncidentService, act: Act, incident: int
) -> None:
    ana.finish(incident, "scope")
    ana.skip(incident, "leaked", "Nobody knows")
    act(ana, incident, "lock")
    act(ana, incident, "replace")
    view = ana.show(incident)
    waiting = ["revoke", "again", "backups"]
    assert [step.step.id for step in view.left_undecided] == waiting
    assert view.current is not None
    assert view.current.step.id == "proof"
    with pytest.raises(RefusedError, match=r"not ended: proof\."):
        ana.close(incident, "All is well")
    ana.finish(incident, "proof")
    assert not [e for e in ana.show(incident).entries if "Out of order" in e.text]
    closed = ana.close(incident, "Closed with open points")
    for name in waiting:
        step = closed.step(name)
        assert step.state is StepState.SKIPPED
        assert step.reason.startswith("Open point: step leaked was skipped, so nobody decided")


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
    seen = "Key 1 is Enabled · Under it: 100 tokens · [/red][31mevil · so so"
    for text_ in (told, refused.value.message, by_kind[EntryKind.CHECK]):
        assert seen in text_
        assert len(text_) <= 3_000
    assert by_kind[EntryKind.ACTION] == "Not complete. One is done · Two is not"
