"""Putting a policy: what it changes for whom is told before, and nobody is locked out by mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from console.container import Container
from crypto_core.guard.consent import Consent, Danger
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.key_reader import normal
from crypto_core.keys.changes.plan import ChangePlan, ChangeResult
from crypto_core.keys.changes.policies import _may_be
from crypto_core.keys.changes.service import KeyChangeService
from crypto_core.keys.policy.access import Access
from crypto_core.keys.principals import PolicyPrincipal
from crypto_core.values.errors import KmsAccessDeniedError, NotConfirmedError, PolicyError, RefusedError
from tests.platform_rows import connect_github

ACCOUNT = "123456789012"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
PLATFORM = f"arn:aws:iam::{ACCOUNT}:role/keydeck-platform"
ON_CALL = f"arn:aws:iam::{ACCOUNT}:role/keydeck-oncall"

Made = Callable[[KeyChange], ChangeResult]


def statement(principal: Any, *actions: str, **more: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": principal,
        "Action": [f"kms:{a}" for a in actions],
        "Resource": "*",
    } | more


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


ADMINISTERED = statement({"AWS": ROOT}, "*")


def planned(changes: KeyChangeService, key: str, text: str, **more: Any) -> ChangePlan:
    return changes.plan_change(KeyChange(ChangeKind.PUT_POLICY, key, policy=text, **more))


def test_a_policy_is_compared_put_and_read_back(
    changes: KeyChangeService, made: Made, key: str, kms: Any
) -> None:
    text = policy(ADMINISTERED, statement({"AWS": PLATFORM}, "Decrypt", "GenerateDataKey"))
    plan = planned(changes, key, text)
    assert (plan.danger, plan.operations) == (Danger.TYPED, ("PutKeyPolicy",))
    assert plan.policy_changes == (
        "gains Decrypt: role/keydeck-platform",
        "gains GenerateDataKey: role/keydeck-platform",
    )
    assert any(line.startswith("+") and "keydeck-platform" in line for line in plan.policy_lines)
    assert plan.warnings == ()
    result = made(plan.change)
    assert result.verified
    assert kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"] == text
    (fact,) = result.facts
    assert fact.before.startswith("1 statement, SHA-256")
    assert fact.after.startswith("2 statements, SHA-256")


def test_a_policy_that_means_the_same_is_not_put(changes: KeyChangeService, made: Made, key: str) -> None:
    text = policy(ADMINISTERED, statement({"AWS": [PLATFORM, ON_CALL]}, "Decrypt"))
    made(KeyChange(ChangeKind.PUT_POLICY, key, policy=text))
    # As IAM may give it back: another order, an account by its number, a list of one.
    stored = policy(statement({"AWS": [ACCOUNT]}, "*"), statement({"AWS": [ON_CALL, PLATFORM]}, "Decrypt"))
    assert normal(json.loads(text)) == normal(json.loads(stored))
    assert planned(changes, key, stored).changes_nothing
    other = policy(ADMINISTERED, statement({"AWS": [PLATFORM]}, "Decrypt"))
    assert not planned(changes, key, other).changes_nothing


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (policy(statement({"AWS": ROOT}, "Decrypt")), "no principal may put another one"),
        (policy(statement({"Service": "backup.amazonaws.com"}, "*")), "no principal may put another one"),
        (policy(statement({"AWS": "AROAEXAMPLEEXAMPLE123"}, "*")), "no principal may put another one"),
        (
            policy(ADMINISTERED, statement("*", "PutKeyPolicy", Effect="Deny")),
            "no principal may put another one",
        ),
        (policy(statement({"AWS": PLATFORM}, "*")), "assumed-role/keydeck-oncall"),
        (policy(statement({"AWS": "arn:aws:iam::999999999999:root"}, "*")), "may not put another one"),
    ],
)
def test_a_policy_that_locks_out_is_refused_unless_that_is_accepted(
    changes: KeyChangeService, key: str, kms: Any, text: str, said: str
) -> None:
    before = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    with pytest.raises(RefusedError, match=said):
        planned(changes, key, text)
    assert kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"] == before
    plan = planned(changes, key, text, accept_lockout=True)
    assert any(said in w and "KMS checks the same" in w for w in plan.warnings)


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "text",
    [
        policy(statement({"AWS": ON_CALL}, "*")),
        policy(statement({"AWS": f"arn:aws:iam::{ACCOUNT}:role/team/keydeck-oncall"}, "PutKeyPolicy")),
        policy(statement({"AWS": ACCOUNT}, "Put*")),
        policy(statement({"AWS": PLATFORM}, "Decrypt"), ADMINISTERED),
    ],
)
def test_a_policy_that_leaves_the_caller_its_way_back_is_not_refused(
    changes: KeyChangeService, key: str, text: str
) -> None:
    assert planned(changes, key, text).operations == ("PutKeyPolicy",)


def test_a_new_key_whose_policy_locks_the_caller_out_is_not_made(
    changes: KeyChangeService, sent: Callable[[], dict[str, int]]
) -> None:
    from crypto_core.keys.policy.least_privilege import Role

    sent()
    change = KeyChange(ChangeKind.CREATE, principals={Role.ADMINISTRATOR: (PLATFORM,)})
    with pytest.raises(RefusedError, match="may not put another one"):
        changes.plan_change(change)
    assert sent() == {}
    assert changes.plan_change(
        KeyChange(ChangeKind.CREATE, principals={Role.RESPONDER: (ON_CALL,)})
    ).operations


def test_who_the_caller_is() -> None:
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/keydeck-oncall/omar"

    def allowed(value: str, caller: str = session, *, all_but: bool = False) -> bool:
        return _may_be(Access(PolicyPrincipal("AWS", value), all_but, frozenset({"PutKeyPolicy"})), caller)

    assert allowed(ON_CALL)
    assert allowed(session)
    assert allowed("*")
    assert allowed(ROOT)
    assert not allowed(f"{ON_CALL}-2")
    assert not allowed(f"arn:aws:iam::999999999999:role/{ON_CALL.rsplit('/', 1)[-1]}")
    assert not allowed(ON_CALL, all_but=True)
    assert allowed(PLATFORM, all_but=True)
    assert allowed(f"arn:aws:iam::{ACCOUNT}:user/ana", f"arn:aws:iam::{ACCOUNT}:user/ana")
    assert not allowed(f"arn:aws:iam::{ACCOUNT}:user/ana", f"arn:aws:iam::{ACCOUNT}:user/ben")


def test_a_policy_for_everybody_and_one_that_takes_away_use_are_warned_of(
    changes: KeyChangeService, made: Made, key: str
) -> None:
    uses = statement({"AWS": PLATFORM}, "Decrypt", "GenerateDataKey")
    made(KeyChange(ChangeKind.PUT_POLICY, key, policy=policy(ADMINISTERED, uses)))
    public = statement("*", "Decrypt", Sid="Oops")
    plan = planned(changes, key, policy(ADMINISTERED, public))
    assert any(w.startswith("PUBLIC: Oops lets anybody with AWS credentials") for w in plan.warnings)
    lost = [w for w in plan.warnings if "loses Decrypt, GenerateDataKey" in w]
    assert len(lost) == 1
    assert lost[0].startswith("role/keydeck-platform ")
    narrowed = public | {"Condition": {"StringEquals": {"kms:CallerAccount": ACCOUNT}}}
    plan = planned(changes, key, policy(ADMINISTERED, uses, narrowed))
    assert plan.warnings == ()


def test_hostile_text_in_a_policy_acts_nowhere(changes: KeyChangeService, made: Made, key: str) -> None:
    sid = "[/red]\x1b[2Jevil\u202esid"
    text = policy(ADMINISTERED, statement("*", "Decrypt", Sid=sid))
    plan = planned(changes, key, text)
    said = json.dumps(plan.as_json(), ensure_ascii=False)
    assert "[/red][2Jevilsid" in said
    for shown in (*plan.warnings, *plan.policy_lines, *plan.policy_changes):
        assert shown.isprintable()
    assert made(plan.change).verified


@pytest.mark.parametrize(
    "text", ["not json", "{}", '{"Statement": [{"Effect": "Allow"}]}', "[" * 9_000, " " * 40_000]
)
def test_a_text_that_is_no_policy_is_not_sent(
    changes: KeyChangeService, key: str, sent: Callable[[], dict[str, int]], text: str
) -> None:
    sent()
    with pytest.raises(PolicyError, match=r"policy|Statement"):
        planned(changes, key, text)
    assert sent() == {}


def test_a_policy_that_cannot_be_read_is_not_replaced_unseen(
    changes: KeyChangeService, key: str, deny: Callable[..., None]
) -> None:
    deny("kms:GetKeyPolicy")
    with pytest.raises(KmsAccessDeniedError, match="kms:GetKeyPolicy"):
        planned(changes, key, policy(ADMINISTERED))


def test_a_policy_is_put_while_deletion_is_pending(
    changes: KeyChangeService, made: Made, key: str, kms: Any
) -> None:
    kms.schedule_key_deletion(KeyId=key)
    text = policy(ADMINISTERED, statement({"AWS": PLATFORM}, "DescribeKey"))
    plan = planned(changes, key, text)
    assert "The key is PendingDeletion; its policy can be put all the same." in plan.warnings
    assert made(plan.change).verified


def test_where_the_caller_is_not_known_the_plan_says_so(
    changes: KeyChangeService, services: Container, key: str, deny: Callable[..., None]
) -> None:
    deny("sts:GetCallerIdentity")
    plan = planned(changes, key, policy(statement({"AWS": PLATFORM}, "*")))
    assert any(w.startswith("Whether you could put another policy is not known") for w in plan.warnings)


USES = statement({"AWS": PLATFORM}, "Decrypt", "GenerateDataKey")
OPENS = statement({"AWS": [PLATFORM, ON_CALL]}, "Decrypt")
KEEPS_IT = statement({"AWS": ROOT}, "PutKeyPolicy", "GetKeyPolicy", "DescribeKey")


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("before", "then", "said"),
    [
        ((USES,), (ADMINISTERED,), "role/keydeck-platform makes data keys under the key and loses Decrypt"),
        ((), (KEEPS_IT, USES), "Keydeck itself (arn:aws:sts::123456789012:assumed-role/keydeck-oncall"),
        ((), (KEEPS_IT, statement({"AWS": ON_CALL}, "Decrypt")), "Nobody but Keydeck keeps Decrypt"),
        ((USES,), (KEEPS_IT, OPENS), ""),
        ((), (KEEPS_IT, OPENS), ""),
        ((OPENS,), (ADMINISTERED,), ""),
    ],
)
def test_a_policy_that_shuts_out_the_platform_or_keydeck_takes_the_number_of_tokens(
    changes: KeyChangeService,
    made: Made,
    services: Container,
    platform: Engine,
    key: str,
    before: tuple[dict[str, Any], ...],
    then: tuple[dict[str, Any], ...],
    said: str,
) -> None:
    sealing = TokenCipher(services.keyring.trusting(key))
    for number in range(3):
        connect_github(platform, f"gh-under-{number}", sealing.encrypt(f"gho_{number}", key).stored)
    made(KeyChange(ChangeKind.PUT_POLICY, key, policy=policy(ADMINISTERED, *before)))
    plan = planned(changes, key, policy(*then))
    assert plan.refused_unless_typed is bool(said)
    if not said:
        assert plan.tokens is None
        return
    assert any(said in warning for warning in plan.warnings)
    assert plan.confirmation == "3"
    with pytest.raises(NotConfirmedError, match="there are tokens under the key"):
        changes.make_change(plan, Consent.by_option(plan))
    assert changes.make_change(plan, Consent.typed(plan, "3")).verified


def test_a_policy_shuts_nobody_out_of_a_key_without_tokens(changes: KeyChangeService, key: str) -> None:
    plan = planned(changes, key, policy(KEEPS_IT, USES))
    assert (plan.refused_unless_typed, plan.tokens is not None) == (False, True)
