"""Whether one call is let through: denials before all else, then statements, grants and the account's IAM."""

from __future__ import annotations

from typing import Any

import pytest

from crypto_core.keys.grants import parse_grant
from crypto_core.keys.policy.document import Condition, parse_policy
from crypto_core.keys.policy.evaluation import KeyCall, Verdict, decide, is_met
from tests.crypto_core.keys.policy.test_document import ACCOUNT, KEY, ROLE, policy, statement

SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/platform/api"
CALL = KeyCall((SESSION, ROLE), ACCOUNT, "Decrypt", {"tenant": "a"}, "203.0.113.7")
ACCOUNT_ROOT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


def decided(*statements: dict[str, Any], call: KeyCall = CALL, **grant: Any) -> Verdict:
    grants = [parse_grant({"GranteePrincipal": ROLE, "Operations": ["Decrypt"], **grant})] if grant else []
    return decide(parse_policy(policy(*statements)), grants, call, KEY)


@pytest.mark.parametrize(
    ("principal", "decision"),
    [
        ({"AWS": ROLE}, Verdict.ALLOWED),
        ({"AWS": SESSION}, Verdict.ALLOWED),
        ("*", Verdict.ALLOWED),
        (ACCOUNT_ROOT, Verdict.LEFT_TO_IAM),
        ({"AWS": ACCOUNT}, Verdict.LEFT_TO_IAM),
        ({"AWS": "999999999999"}, Verdict.NOT_ALLOWED),
        ({"AWS": f"{ROLE}-2"}, Verdict.NOT_ALLOWED),
    ],
)
def test_a_statement_lets_in_whom_it_names_and_a_denial_outweighs_it(
    principal: Any, decision: Verdict
) -> None:
    allowing = statement(Principal=principal, Action="kms:Decrypt")
    assert decided(allowing) is decision
    assert decided(allowing, statement(Effect="Deny", Principal={"AWS": ROLE})) is Verdict.DENIED
    elsewhere = statement(
        Effect="Deny", Principal="*", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    )
    assert decided(allowing, elsewhere) is decision


def test_a_grant_lets_in_its_grantee_for_its_operations_with_its_context_and_no_denied_one() -> None:
    others = statement(Principal={"AWS": f"{ROLE}-2"})
    assert decided(others, Constraints={}) is Verdict.ALLOWED
    assert decided(others, Operations=["Encrypt"]) is Verdict.NOT_ALLOWED
    subset, whole = ({"EncryptionContextSubset": {"tenant": "a"}}, {"EncryptionContextEquals": {}})
    assert decided(others, Constraints=subset) is Verdict.ALLOWED
    assert decided(others, Constraints=whole) is Verdict.NOT_ALLOWED
    assert decided(statement(Effect="Deny", Principal="*"), Constraints={}) is Verdict.DENIED


@pytest.mark.parametrize(
    ("operator", "key", "value", "met"),
    [
        ("StringEquals", "kms:CallerAccount", ACCOUNT, True),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:role/plat*", True),
        ("StringEquals", "aws:PrincipalArn", SESSION, False),  # a session's is its role
        ("StringNotEquals", "aws:PrincipalArn", ROLE, False),
        ("StringEquals", "kms:EncryptionContext:Tenant", "a", True),
        ("StringEquals", "kms:EncryptionContext:tenant", "A", False),
        ("StringEqualsIgnoreCase", "kms:EncryptionContext:tenant", "A", True),
        ("StringEquals", "kms:EncryptionContext:tenant", "*", False),
        ("StringLike", "kms:EncryptionContext:tenant", "*", True),
        ("IpAddress", "aws:SourceIp", "203.0.113.0/24", True),
        ("NotIpAddress", "aws:SourceIp", "203.0.113.0/24", False),
        ("IpAddress", "aws:SourceIp", "nowhere", False),
        ("StringEquals", "kms:ViaService", "s3.amazonaws.com", False),
        ("StringEqualsIfExists", "kms:ViaService", "s3.amazonaws.com", True),
        ("StringNotEquals", "kms:ViaService", "s3.amazonaws.com", True),
        ("ForAllValues:StringEquals", "kms:ViaService", "s3.amazonaws.com", True),
        ("ForAnyValue:StringEquals", "kms:ViaService", "s3.amazonaws.com", False),
        ("Null", "kms:ViaService", "true", True),
        ("Null", "aws:SourceIp", "true", False),
        ("Null", "aws:SourceIp", "false", True),
        ("NumericLessThan", "aws:SourceIp", "7", False),
    ],
)
def test_a_condition_is_met_or_not(operator: str, key: str, value: str, met: bool) -> None:
    assert is_met(Condition(operator, key, (value,)), CALL) is met


def test_through_an_endpoint_there_is_no_address() -> None:
    inside = KeyCall((ROLE,), ACCOUNT, "Decrypt", address="10.0.0.7", endpoint="vpce-0a1b2c3d")
    assert is_met(Condition("StringEquals", "aws:SourceVpce", ("vpce-0a1b2c3d",)), inside)
    assert is_met(Condition("NotIpAddress", "aws:SourceIp", ("10.0.0.0/8",)), inside)
