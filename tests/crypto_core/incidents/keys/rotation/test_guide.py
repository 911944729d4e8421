"""A manual rotation from start to end: each look by services of its own, as after a kill or elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.guard.consent import Consent, Danger
from crypto_core.incidents.keys.rotation.guide import CHECKS, GuideStep, GuideStepState, in_turn
from crypto_core.incidents.keys.rotation.verdict import DoKind, RotationVerdict
from crypto_core.incidents.model import CheckState
from crypto_core.incidents.runbooks.library import RunbookLibrary, guide_runbook
from crypto_core.incidents.runbooks.runbook import RunbookStep
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.reencryption.plan import Selection, Verb
from tests.crypto_core.incidents.keys.rotation.conftest import Stage, told

DONE, NOW, WAITING, UNKNOWN = "done", "now", "waiting", "not known"


def changed(stage: Stage, change: KeyChange) -> None:
    with stage.container() as container:
        changes = container.services.key_changes
        plan = changes.plan_change(change)
        typed = plan.danger is Danger.TYPED
        consent = Consent.typed(plan, plan.confirmation) if typed else Consent.pressed(plan)
        assert changes.make_change(plan, consent).verified


def lines(step: GuideStep, kind: DoKind) -> list[tuple[str, str]]:
    return [(i.text, i.instead_of) for i in step.verdict.do if i.kind is kind]


@pytest.mark.deep
def test_a_rotation_by_arn_from_start_to_end(stage: Stage) -> None:
    stage.connect(stage.old, 3)
    old = stage.old

    guide = stage.look()
    assert guide.new is None
    assert [s.state.value for s in guide.steps] == [NOW, *[WAITING] * 5]
    (create, again) = lines(guide.step("new-key"), DoKind.COMMAND)
    assert create[0].startswith("keydeck keys create ")
    assert again[0] == f"keydeck keys replace {old} --by NEW"

    new = stage.key()
    guide = stage.look(new)
    assert [s.state.value for s in guide.steps] == [DONE, DONE, NOW, *[WAITING] * 3]
    assert lines(guide.step("switch"), DoKind.SETTING) == [
        (f"KEYDECK_TRUSTED_KEYS={old}", ""),
        (f"TOKEN_ENCRYPTION_KEY_ID={new}", f"TOKEN_ENCRYPTION_KEY_ID={old}"),
    ]
    assert not guide.complete

    stage.configure(TOKEN_ENCRYPTION_KEY_ID=new)
    guide = stage.look()  # the configured key is found by itself
    assert guide.new is not None
    assert guide.new.key_arn == new
    assert [s.state.value for s in guide.steps] == [DONE, DONE, DONE, NOW, WAITING, WAITING]
    in_use = guide.step("in-use")
    assert (f"keydeck keys replace {old} --by {new} --wait", "") in lines(in_use, DoKind.COMMAND)
    assert "Census: 0 tokens under the new key" in in_use.verdict.evidence

    stage.connect(new, 2)
    guide = stage.look()
    assert [s.state.value for s in guide.steps] == [DONE, DONE, DONE, DONE, NOW, NOW]
    assert guide.in_use
    assert any("2 connections made under the new key" in e for e in guide.step("in-use").verdict.evidence)
    assert any("for GenerateDataKey" in e for e in guide.step("in-use").verdict.evidence)
    assert lines(guide.step("old-key"), DoKind.SETTING) == [(f"KEYDECK_TRUSTED_KEYS={old}", "")]
    assert not guide.complete

    stage.configure(KEYDECK_TRUSTED_KEYS=old)
    guide = stage.look()
    assert [s.state.value for s in guide.steps] == [DONE, DONE, DONE, DONE, NOW, DONE]
    assert guide.complete
    assert guide.tokens == 3
    rest = guide.step("rest")
    assert rest.optional
    assert "3 tokens on material 1" in told(rest)
    assert (f"keydeck reencrypt --from {old} --to {new}", "") in lines(rest, DoKind.COMMAND)
    assert "no recovery from a compromise" in told(rest)
    assert "must stay enabled" in told(guide.step("old-key"))

    assert stage.write(Verb.REENCRYPT, Selection(under_key=old), new) == 3
    guide = stage.look()
    assert [s.state.value for s in guide.steps] == [DONE] * 6
    kept = guide.step("old-key")
    assert lines(kept, DoKind.COMMAND) == [(f"keydeck keys disable {old}", "")]
    assert "3 replaced envelopes under it in keydeck.envelope_backup" in told(kept)
    assert "Do not schedule its deletion at once" in told(kept)

    changed(stage, KeyChange(ChangeKind.DISABLE, old))
    guide = stage.look()
    assert guide.complete
    assert guide.step("old-key").verdict.do == ()


def test_a_rotation_by_alias_names_the_move_and_sees_it(stage: Stage) -> None:
    alias = f"alias/rotating-{stage.old[-8:]}"
    stage.kms.create_alias(AliasName=alias, TargetKeyId=stage.old)
    stage.configure(TOKEN_ENCRYPTION_KEY_ID=alias)
    stage.connect(stage.old)
    new = stage.key()
    switch = stage.step("switch", new, old=alias)
    assert switch.state is GuideStepState.NOW
    assert lines(switch, DoKind.COMMAND) == [(f"keydeck keys alias {alias} {new}", "")]
    assert lines(switch, DoKind.SETTING) == [(f"KEYDECK_TRUSTED_KEYS={stage.old}", "")]
    assert "restart every instance" in told(switch)
    changed(stage, KeyChange(ChangeKind.POINT_ALIAS, new, alias=alias))
    assert stage.states(new)["switch"] == DONE
    assert stage.states()["switch"] == DONE
    # By then the alias is no name of the old key any more.
    guide = stage.look(new, old=alias)
    assert [s.state.value for s in guide.steps] == ["not possible", *[WAITING] * 5]
    assert "name both keys by ARN" in told(guide.step("new-key"))
    assert not guide.possible


@pytest.mark.deep
def test_the_platforms_alias_is_moved_too_where_keydeck_is_told_an_arn(stage: Stage) -> None:
    alias = f"alias/platform-{stage.old[-8:]}"
    stage.kms.create_alias(AliasName=alias, TargetKeyId=stage.old)
    stage.configure(KEYDECK_WRITE_ALIAS=alias)
    new = stage.key()
    switch = stage.step("switch", new)
    assert lines(switch, DoKind.COMMAND) == [(f"keydeck keys alias {alias} {new}", "")]
    assert (f"TOKEN_ENCRYPTION_KEY_ID={new}", f"TOKEN_ENCRYPTION_KEY_ID={stage.old}") in lines(
        switch, DoKind.SETTING
    )
    stage.configure(TOKEN_ENCRYPTION_KEY_ID=new)
    switch = stage.step("switch", new)
    assert switch.state is GuideStepState.NOW
    assert f"KEYDECK_WRITE_ALIAS is {alias}: the old key" in switch.verdict.evidence
    stage.kms.update_alias(AliasName=alias, TargetKeyId=new)
    assert stage.states(new)["switch"] == DONE


def test_without_a_configured_key_the_line_is_new(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN_ENCRYPTION_KEY_ID")
    new = stage.key()
    switch = stage.step("switch", new)
    assert switch.state is GuideStepState.NOW
    assert (f"TOKEN_ENCRYPTION_KEY_ID={new}", "") in lines(switch, DoKind.SETTING)
    assert "TOKEN_ENCRYPTION_KEY_ID is not set here" in switch.verdict.evidence


def test_a_third_key_in_the_settings_is_told(stage: Stage) -> None:
    new, third = stage.key(), stage.key()
    stage.configure(TOKEN_ENCRYPTION_KEY_ID=third)
    switch = stage.step("switch", new)
    assert switch.state is GuideStepState.NOW
    assert f"TOKEN_ENCRYPTION_KEY_ID is {third}: {third}, neither of both" in switch.verdict.evidence


def test_an_alias_that_may_not_be_resolved_is_not_known(stage: Stage, deny: Callable[..., None]) -> None:
    alias = f"alias/dark-{stage.old[-8:]}"
    stage.kms.create_alias(AliasName=alias, TargetKeyId=stage.old)
    stage.configure(TOKEN_ENCRYPTION_KEY_ID="alias/nobody-made-this")
    new = stage.key()
    switch = stage.step("switch", new)
    assert switch.state is GuideStepState.UNKNOWN
    assert "which key that means is not known" in told(switch)
    stage.configure(TOKEN_ENCRYPTION_KEY_ID=new)
    assert stage.states(new)["switch"] == DONE


def test_other_aliases_of_the_old_key_are_warned_of(stage: Stage) -> None:
    alias = f"alias/other-{stage.old[-8:]}"
    stage.kms.create_alias(AliasName=alias, TargetKeyId=stage.old)
    assert (
        f"A platform that names the old key by {alias} keeps using it."
        in stage.step("switch", stage.key()).verdict.warnings
    )


def test_read_only_it_tells_the_same(stage: Stage) -> None:
    stage.connect(stage.old)
    new = stage.key()
    before = stage.states(new)
    stage.configure(KEYDECK_READ_ONLY="true")
    assert (
        stage.states(new)
        == before
        == {
            "new-key": DONE,
            "preflight": DONE,
            "switch": NOW,
            "in-use": WAITING,
            "rest": WAITING,
            "old-key": WAITING,
        }
    )


@pytest.mark.deep
def test_looking_changes_nothing_in_kms_in_the_database_or_in_the_journal(
    stage: Stage, sandbox: Sandbox, services: Container
) -> None:
    stage.connect(stage.old, 2)
    new = stage.key()
    before = dict(sandbox.control.stats().calls)
    for _ in range(2):
        stage.look(new)
    now = sandbox.control.stats().calls
    asked = {action for action, calls in now.items() if calls != before.get(action, 0)}
    looks = ("kms:Describe", "kms:Get", "kms:List", "kms:Decrypt", "sts:GetCallerIdentity")
    rehearsed = {"kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:ReEncrypt"}
    assert {a for a in asked if not a.startswith(looks)} <= rehearsed
    # What was rehearsed was not done.
    assert any("New key: not used since" in e for e in stage.step("in-use", new).verdict.evidence)
    assert services.journal.entries() == ()


def test_json_has_every_step_and_its_lines(stage: Stage) -> None:
    new = stage.key()
    guide = stage.look(new)
    document = guide.as_json()
    assert guide.taken_at.utcoffset() is not None
    assert (document["old_key"], document["new_key"], document["complete"]) == (stage.old, new, False)
    assert [s["number"] for s in document["steps"]] == [1, 2, 3, 4, 5, 6]
    assert [s["step"] for s in document["steps"]] == [
        "new-key",
        "preflight",
        "switch",
        "in-use",
        "rest",
        "old-key",
    ]
    assert document["steps"][2]["do"][1] == {
        "kind": "setting",
        "text": f"TOKEN_ENCRYPTION_KEY_ID={new}",
        "instead_of": f"TOKEN_ENCRYPTION_KEY_ID={stage.old}",
    }
    assert document["coverage"] == {"complete": True, "reasons": []}


def test_its_runbook_is_none_that_an_incident_is_declared_by() -> None:
    runbook = guide_runbook("key-rotation")
    assert runbook.id not in {found.id for found in RunbookLibrary().read().runbooks}
    assert {step.check for step in runbook.steps} == set(CHECKS)
    assert {step.until for step in runbook.steps} - {step.id for step in runbook.steps} == {""}


def test_what_is_not_done_holds_up_what_comes_behind_it() -> None:
    done, now, unknown = GuideStepState.DONE, GuideStepState.NOW, GuideStepState.UNKNOWN
    impossible, waiting = GuideStepState.IMPOSSIBLE, GuideStepState.WAITING

    def step(
        state: GuideStepState, *, optional: bool = False, urgent: bool = False, until: str = ""
    ) -> GuideStep:
        of_runbook = RunbookStep("id", "Title", "Why", until=until)
        return GuideStep(of_runbook, 1, RotationVerdict(CheckState.NOT_YET, urgent=urgent), state, optional)

    def turns(*steps: GuideStep) -> list[GuideStepState]:
        return [s.state for s in in_turn(steps)]

    assert turns(step(done), step(now), step(now)) == [done, now, waiting]
    assert turns(step(unknown), step(now)) == [unknown, waiting]
    assert turns(step(unknown), step(done)) == [unknown, done]
    assert turns(step(now), step(now, urgent=True)) == [now, now]
    assert turns(step(unknown, until="in-use"), step(now)) == [unknown, now]
    assert turns(step(now, until="in-use"), step(now)) == [now, waiting]
    assert turns(step(now, optional=True), step(now)) == [now, now]
    assert turns(step(impossible), step(unknown)) == [impossible, waiting]
