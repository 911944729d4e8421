"""Locking down: nobody seals, only who is named opens, and nobody is locked out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from crypto_core.guard.consent import Consent, Danger
from crypto_core.incidents.keys.lock_down import USES, locked_policy
from crypto_core.incidents.model import CheckState
from crypto_core.incidents.runbooks.catalogue import ActionKind, CheckKind
from crypto_core.keys.policy.access import accesses
from crypto_core.keys.policy.document import parse_policy
from crypto_core.values.errors import InvalidFieldError, NotConfirmedError
from tests.crypto_core.incidents.keys.conftest import (
    ACCOUNT,
    ON_CALL,
    PLATFORM,
    ROOT,
    SUSPECT,
    Scene,
    statement,
    told,
)

LOCK, LOCKED = ActionKind.LOCK_DOWN_KEY, CheckKind.KEY_LOCKED_DOWN
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/00000000-0000-4000-8000-000000000001"


def who_may(scene: Scene, key: str | None = None) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for access in accesses(parse_policy(json.dumps(scene.policy(key)))):
        found.setdefault(access.principal.value, set()).update(access.actions)
    return found


@pytest.mark.deep
def test_the_old_key_opens_for_the_responder_and_until_then_for_the_platform(scene: Scene) -> None:
    scene.stage.connect(scene.key)
    grant = scene.stage.kms.create_grant(
        KeyId=scene.key, GranteePrincipal=SUSPECT, Operations=["Decrypt"], Name="[/red]\x1b]52;c;x\x07"
    )["GrantId"]
    before = scene.look(LOCKED)
    assert before.state is CheckState.NOT_YET
    assert f"grant {grant}" in told(before)
    assert "user/build-bot may still Decrypt" in told(before)
    fields = scene.fields(LOCK)
    assert (fields["responder"], fields["platform"], fields["grants"]) == (ON_CALL, "yes", "revoke")
    assert set(fields["readers"].split(", ")) == {PLATFORM, SUSPECT}
    # Who was left out of the new key is not proposed again.
    scene.values["left_out"] = SUSPECT
    fields = scene.fields(LOCK)
    assert fields["readers"] == PLATFORM
    plan = scene.plan(LOCK, fields)
    assert plan.danger is Danger.TYPED
    assert plan.confirmation == scene.key.rsplit("/", 1)[-1]
    assert "loses Decrypt: user/build-bot" in plan.does
    assert "\x1b" not in json.dumps(plan.as_json(), ensure_ascii=False)
    for consent in (None, Consent.pressed(plan), Consent.typed(plan, "another")):
        with pytest.raises(NotConfirmedError):
            scene.tools.actions[LOCK].run_action(scene.situation(), plan, consent)
    assert ("keys put-policy", "refused") in scene.journaled()
    assert PLATFORM in json.dumps(scene.policy())
    result = scene.run(LOCK, plan)
    assert result.complete, told(result)
    may = who_may(scene)
    assert {who for who, actions in may.items() if "Decrypt" in actions} == {ON_CALL, PLATFORM}
    assert not may[PLATFORM] & USES - {"Decrypt"}
    assert not may[ROOT] & USES
    assert {"PutKeyPolicy", "EnableKey", "ScheduleKeyDeletion"} <= may[ROOT]
    assert scene.stage.kms.list_grants(KeyId=scene.key)["Grants"] == []
    after = scene.look(LOCKED)
    assert after.state is CheckState.PASSED, told(after)
    assert {("keys put-policy", "done"), ("keys revoke-grant", "done")} <= set(scene.journaled())

    # Run again after a crash it finds that all is done.
    scene.values.clear()
    again = scene.plan(LOCK, {"readers": PLATFORM, "platform": "yes"})
    assert again.danger is Danger.NONE
    assert scene.run(LOCK, again).complete
    assert scene.values["readers"] == PLATFORM
    # By hand somebody was let in: that shows.
    scene.stage.put_policy(
        scene.key, *scene.policy()["Statement"], statement("X", SUSPECT, "GenerateDataKey")
    )
    assert "build-bot may still GenerateDataKey" in told(scene.look(LOCKED))


def test_the_platform_that_was_named_for_the_new_key_goes_on_reading_unseen(scene: Scene) -> None:
    named = f"arn:aws:iam::{ACCOUNT}:role/never-seen"
    scene.values["platform_principals"] = f"{named},{ROOT}"
    scene.values["left_out"] = f"{PLATFORM},{SUSPECT}"
    # An account is no reader: the locked policy names principals one by one.
    assert scene.fields(LOCK)["readers"] == named
    # What was entered for this step stays proposed beside it.
    scene.values["readers"] = PLATFORM
    assert scene.fields(LOCK)["readers"] == f"{PLATFORM}, {named}"


def test_nobody_but_the_responder_reads_where_the_platform_is_suspected(scene: Scene) -> None:
    result = scene.do(LOCK, {"platform": "no"})
    assert result.complete, told(result)
    assert scene.values["readers"] == ""
    assert {who for who, actions in who_may(scene).items() if "Decrypt" in actions} == {ON_CALL}
    # Without a token under the key that is what is proposed.
    assert scene.fields(LOCK)["platform"] == "no"


def test_a_replica_is_locked_down_too(scene: Scene) -> None:
    scene.key = scene.stage.key(MultiRegion=True)
    scene.stage.kms.replicate_key(KeyId=scene.key.rsplit("/", 1)[-1], ReplicaRegion="us-east-1")
    replica = scene.key.replace("eu-west-1", "us-east-1")
    assert "us-east-1" in told(scene.look(LOCKED))
    plan = scene.plan(LOCK, {"platform": "no"})
    assert len(plan.inner.plans) == 2
    assert scene.run(LOCK, plan).complete
    elsewhere = scene.stage.platform_kms("us-east-1").get_key_policy(KeyId=replica, PolicyName="default")
    assert "KeydeckLockdownResponderOpens" in elsewhere["Policy"]
    assert scene.look(LOCKED).state is CheckState.PASSED
    # The second Region's failure keeps what was done in the first.
    assert scene.run(LOCK, scene.plan(LOCK, {"platform": "no"})).complete


def test_who_is_locked_in_is_a_role_or_user(scene: Scene) -> None:
    for entered in ("", ROOT, "everybody", f"{ON_CALL}, {ON_CALL}-2"):
        with pytest.raises(InvalidFieldError) as refused:
            scene.plan(LOCK, {"responder": entered})
        assert refused.value.field == "responder"
    with pytest.raises(InvalidFieldError) as refused:
        scene.plan(LOCK, {"platform": "yes", "readers": "[/red]\x1b[2J"})
    assert (refused.value.field, "\x1b" in str(refused.value)) == ("readers", False)


def test_who_works_with_keydeck_is_proposed_as_the_responder_among_those_who_use_the_key(
    scene: Scene,
) -> None:
    fields = scene.tools.actions[LOCK].fields(scene.situation())
    (field,) = (field for field in fields if field.name == "responder")
    assert (field.default, field.several) == (ON_CALL, True)
    assert ON_CALL in dict(field.choices)


def test_whether_it_is_locked_down_is_not_known_where_grants_can_not_be_listed(
    scene: Scene, deny: Callable[..., None]
) -> None:
    assert scene.do(LOCK, {"platform": "no"}).complete
    deny("kms:ListGrants")
    assert scene.look(LOCKED).state is CheckState.UNKNOWN
    deny("kms:GetKeyPolicy")
    assert "kms:GetKeyPolicy" in told(scene.look(LOCKED))


def locked(*statements: dict[str, Any]) -> tuple[dict[str, Any], dict[str, set[str]]]:
    raw = {"Version": "2012-10-17", "Id": "own", "Statement": list(statements)}
    found = locked_policy(parse_policy(json.dumps(raw)), KEY, ON_CALL, (PLATFORM,))
    may: dict[str, set[str]] = {}
    for access in accesses(parse_policy(json.dumps(found.raw)), (), KEY):
        may.setdefault(access.principal.value, set()).update(access.actions)
    return found.raw, may


HOSTILE = [
    statement("All", "*", "*"),
    statement("Everyone", "*", "Decrypt", Condition={"StringEquals": {"kms:CallerAccount": ACCOUNT}}),
    {"Sid": "But", "Effect": "Allow", "NotPrincipal": {"AWS": SUSPECT}, "Action": "kms:*", "Resource": "*"},
    {
        "Sid": "Not",
        "Effect": "Allow",
        "Principal": {"AWS": SUSPECT},
        "NotAction": "kms:List*",
        "Resource": "*",
    },
    statement("Gone", ["AROAEXAMPLEEXAMPLE12", SUSPECT], "Decrypt", "CreateGrant", "DescribeKey"),
    statement("GoneAlone", "AIDAEXAMPLEEXAMPLE12", "*"),
    statement("Any", SUSPECT, "decrypt*", "RE*"),
    statement("KeydeckLockdownReadersUntilMoved", SUSPECT, "Decrypt"),
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda s: str(s["Sid"]))
def test_no_statement_goes_on_letting_anybody_use_the_key(hostile: dict[str, Any]) -> None:
    raw, may = locked(hostile)
    assert may.pop(ON_CALL) & USES == {"Decrypt"}
    assert may.pop(PLATFORM) & USES == {"Decrypt"}
    assert not any(actions & USES for actions in may.values())
    # Nobody is locked out: somebody may always put another policy.
    assert any("PutKeyPolicy" in actions for actions in may.values())
    assert "AIDA" not in json.dumps(raw)
    assert "AROA" not in json.dumps(raw)
    assert raw["Id"] == "own"


def test_denials_and_administration_stay_as_they_are() -> None:
    denial = {
        "Sid": "Fence",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "kms:*",
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-abcdefghij"}},
    }
    administers = statement("Admins", ROOT, "PutKeyPolicy", "DescribeKey", "EnableKey")
    raw, _ = locked(denial, administers)
    assert raw["Statement"][:2] == [denial, administers]
    assert "KeydeckLockdownAccountAdministers" not in json.dumps(raw)
