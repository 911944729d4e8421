"""The table of operations, and what derives from it."""

from __future__ import annotations

import json

import pytest

from crypto_core.database.schema import metadata
from crypto_core.guard.approvals import ACTIONS
from crypto_core.guard.iam_policy import iam_policy
from crypto_core.guard.operations import OPERATIONS, KeydeckRole, of_role, own_tables
from crypto_core.keys.changes.change import ChangeKind
from crypto_core.reencryption.plan import Verb

ACCOUNT = "111122223333"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
REPLICATED = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/mrk-1234abcd12ab34cd56ef1234567890ab"


def actions(policy: dict[str, object], sid: str = "") -> set[str]:
    statements = policy["Statement"]
    assert isinstance(statements, list)
    return {action for s in statements if s["Sid"].startswith(f"Keydeck{sid}") for action in s["Action"]}


def test_no_operation_is_named_twice() -> None:
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)


def test_whatever_changes_keys_or_tokens_can_need_a_second_person() -> None:
    assert {f"keys {kind.value}" for kind in ChangeKind} <= set(ACTIONS)
    assert {verb.value for verb in Verb} <= set(ACTIONS)
    assert {operation.name for operation in OPERATIONS if operation.writes_tokens} <= set(ACTIONS)


def test_each_role_may_what_the_one_before_may() -> None:
    inspector, operator, responder = (actions(iam_policy(r, ())) for r in KeydeckRole.RESPONDER.includes)
    assert inspector < operator < responder
    assert set(of_role(KeydeckRole.RESPONDER)) == set(OPERATIONS)


def test_an_inspector_changes_nothing() -> None:
    assert own_tables(KeydeckRole.INSPECTOR) == {}
    assert not [operation for operation in of_role(KeydeckRole.INSPECTOR) if operation.writes_tokens]
    verbs = {action.partition(":")[2] for action in actions(iam_policy(KeydeckRole.INSPECTOR, ()))}
    assert all(verb.startswith(("Describe", "Get", "List", "Lookup")) or verb == "Decrypt" for verb in verbs)


def test_only_a_responder_changes_keys() -> None:
    changing = {action for o in OPERATIONS if o.name.startswith("keys ") for action in o.iam}
    assert changing <= actions(iam_policy(KeydeckRole.RESPONDER, ()))
    assert not changing & actions(iam_policy(KeydeckRole.OPERATOR, ()))


def test_with_a_binding_kms_is_asked_for_tokens_of_that_database_alone() -> None:
    for role in set(KeydeckRole) - {KeydeckRole.APPROVER}:  # who opens no token
        statements = iam_policy(role, [KEY], binding="acme")["Statement"]
        conditions = {s["Sid"]: s["Condition"] for s in statements if "Condition" in s}
        own = {"kms:EncryptionContext:keydeck:database": "acme"}
        assert conditions == {"KeydeckTokens": {"StringEqualsIfExists": own}}
        unbound = [{k: v for k, v in s.items() if k != "Condition"} for s in statements]
        assert iam_policy(role, [KEY])["Statement"] == unbound


def test_the_privileges_are_on_tables_that_there_are_and_append_only_ones_are_not_updated() -> None:
    needed = own_tables(KeydeckRole.RESPONDER)
    assert set(needed) | {"journal_end"} == {table.name for table in metadata.tables.values()}
    assert needed["incident_entry"] == ("SELECT", "INSERT")


@pytest.mark.parametrize("table", ["journal", "journal_checkpoint", "incident_evidence", "tripwire"])
def test_what_decisions_rest_on_is_written_by_its_function_alone(table: str) -> None:
    assert own_tables(KeydeckRole.RESPONDER)[table] == ("SELECT", "EXECUTE")
    assert "journal_end" not in own_tables(KeydeckRole.RESPONDER)


def test_tokens_are_opened_with_the_configured_keys_alone() -> None:
    policy = iam_policy(KeydeckRole.OPERATOR, (KEY, REPLICATED))
    resources = next(s["Resource"] for s in policy["Statement"] if s["Sid"] == "KeydeckTokens")
    assert resources == [REPLICATED.replace("eu-west-1", "*"), KEY]
    assert {"kms:Decrypt", "kms:GenerateDataKey"} <= actions(policy, "Tokens")


@pytest.mark.parametrize("role", list(KeydeckRole), ids=str)
def test_only_a_signer_signs_and_without_an_approvals_key_nobody_is_granted_its_call(
    role: KeydeckRole,
) -> None:
    allowed = actions(iam_policy(role, (KEY,)))
    assert {"kms:Sign", "kms:GenerateMac"} <= allowed or role is not KeydeckRole.SIGNER
    assert not {"kms:Sign", "kms:GenerateMac"} & allowed or role is KeydeckRole.SIGNER
    assert "kms:GenerateDataKeyWithoutPlaintext" not in allowed


@pytest.mark.parametrize("keys", [(), ("alias/tokens",), (KEY, "alias/tokens")], ids=str)
def test_where_a_key_is_named_otherwise_key_policies_narrow_it_down(keys: tuple[str, ...]) -> None:
    policy = iam_policy(KeydeckRole.OPERATOR, keys)
    account = ACCOUNT if KEY in keys else "*"
    resource = next(s["Resource"] for s in policy["Statement"] if s["Sid"] == "KeydeckTokens")
    assert resource == f"arn:aws:kms:*:{account}:key/*"


def test_a_responder_works_with_keys_that_are_yet_to_be_made() -> None:
    policy = iam_policy(KeydeckRole.RESPONDER, (KEY,))
    resource = next(s["Resource"] for s in policy["Statement"] if s["Sid"] == "KeydeckTokens")
    assert resource == f"arn:aws:kms:*:{ACCOUNT}:key/*"


def test_in_another_partition_every_arn_is_of_that_partition() -> None:
    text = json.dumps(iam_policy(KeydeckRole.RESPONDER, (KEY.replace("arn:aws:", "arn:aws-cn:"),)))
    assert "arn:aws:" not in text
    assert text.count("arn:aws-cn:") == 6
