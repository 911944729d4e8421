"""The situations that Prowler's tests of five KMS checks put, and what the rules here say of each.

Prowler (github.com/prowler-cloud/prowler, tests/providers/aws/services/kms) answers PASS, FAIL or nothing for
a key. Where a rule here means the same, FAIL is a finding and the rest is none. Where it does not, a test of
its own says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crypto_core.findings.severity import Severity
from tests.crypto_core.keys.posture.conftest import Endpoint, key_id

Put = Callable[[Endpoint], str]
ROOT = "arn:aws:iam::123456789012:root"
LOOKING = {
    "Effect": "Allow",
    "Principal": {"AWS": ROOT},
    "Action": ["kms:Describe*", "kms:Get*", "kms:List*"],
    "Resource": "*",
}
"""Leaves the key to whoever examines it."""


def plain(aws: Endpoint) -> str:
    return aws.key()


def rotating(aws: Endpoint) -> str:
    key = aws.key()
    aws.kms.enable_key_rotation(KeyId=key_id(key))
    return key


def disabled(aws: Endpoint) -> str:
    key = aws.key()
    aws.kms.disable_key(KeyId=key_id(key))
    return key


def scheduled(aws: Endpoint) -> str:
    key = aws.key()
    aws.kms.schedule_key_deletion(KeyId=key_id(key))
    return key


def multi_region(aws: Endpoint) -> str:
    return aws.key(MultiRegion=True)


def open_to_everybody(principal: Any, action: str) -> Put:
    def put(aws: Endpoint) -> str:
        key = aws.key()
        statement = {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*"}
        aws.put_policy(key, statement, LOOKING)
        return key

    return put


AGREEING: list[tuple[str, str, Put, bool]] = [
    ("kms_cmk_rotation_enabled", "kms-rotation-off", rotating, False),
    ("kms_cmk_rotation_enabled", "kms-rotation-off", plain, True),
    ("kms_key_not_publicly_accessible", "kms-key-public", plain, False),
    ("kms_key_not_publicly_accessible", "kms-key-public", open_to_everybody("*", "kms:*"), True),
    (
        "kms_key_not_publicly_accessible",
        "kms-key-public",
        open_to_everybody({"AWS": "*"}, "kms:DescribeKey"),
        True,
    ),
    ("kms_key_not_publicly_accessible", "kms-key-public", open_to_everybody("*", "kms:Decrypt"), True),
    ("kms_cmk_not_deleted_unintentionally", "kms-key-pending-deletion", disabled, False),
    ("kms_cmk_not_deleted_unintentionally", "kms-key-pending-deletion", scheduled, True),
    ("kms_cmk_not_deleted_unintentionally", "kms-key-pending-deletion", plain, False),
    ("kms_cmk_are_used", "kms-key-disabled", plain, False),
    ("kms_cmk_are_used", "kms-key-disabled", scheduled, False),
    ("kms_cmk_are_used", "kms-key-disabled", disabled, True),
]


@pytest.mark.quick(4)
@pytest.mark.parametrize(
    ("check", "rule", "put", "fails"),
    AGREEING,
    ids=[f"{check}-{number}" for number, (check, *_) in enumerate(AGREEING)],
)
def test_where_both_mean_the_same_they_agree(
    aws: Endpoint, check: str, rule: str, put: Put, fails: bool
) -> None:
    assert (rule in aws.findings(put(aws))) is fails, check


def test_a_multi_region_key_is_no_finding_and_a_single_region_key_with_tokens_is(aws: Endpoint) -> None:
    """kms_cmk_not_multi_region fails multi-Region keys and passes others: the opposite question.

    There a replica is more to guard; here a key that tokens depend on has no second Region to open them in.
    Neither says anything of a disabled key.
    """
    spread, single = multi_region(aws), plain(aws)
    off = disabled(aws)
    posture = aws.examine()
    assert not {f.rule for f in posture.findings if f.subject == spread} & {"kms-single-region"}
    assert not {f.rule for f in posture.findings if f.subject == off} & {"kms-single-region"}
    aws.configure(TOKEN_ENCRYPTION_KEY_ID=single)
    assert aws.findings(single)["kms-single-region"].severity is Severity.LOW


def test_a_statement_without_a_principal_is_a_gap(aws: Endpoint) -> None:
    """kms_key_not_publicly_accessible passes a statement without Principal.

    KMS takes no such policy, so it is none of KMS's: nothing is said of it, and that is said.
    """
    key = aws.key()
    aws.answer_policy(key, {"Effect": "Allow", "Action": "kms:*", "Resource": "*"})
    posture = aws.examine()
    assert "kms-key-public" not in {f.rule for f in posture.findings if f.subject == key}
    assert any(key in r and "needs Principal or NotPrincipal" in r for r in posture.coverage.reasons)


def test_a_key_that_tokens_depend_on_is_worse_than_prowlers_one_severity(aws: Endpoint) -> None:
    """Prowler has one severity for each check; here it is what depends on the key."""
    key = scheduled(aws)
    assert aws.findings(key)["kms-key-pending-deletion"].severity is Severity.LOW
    aws.configure(TOKEN_ENCRYPTION_KEY_ID=key)
    assert aws.findings(key)["kms-key-pending-deletion"].severity is Severity.CRITICAL


@pytest.mark.parametrize("aws", ["sandbox"], indirect=True)
def test_a_key_that_was_superseded_behind_its_alias_needs_no_rotation(aws: Endpoint) -> None:
    """kms_cmk_rotation_enabled fails every enabled key without automatic rotation, also this one."""
    rules = {f.subject: f.rule for f in aws.examine().findings if f.rule == "kms-rotation-off"}
    old = aws.kms.describe_key(KeyId="alias/tokens-old")["KeyMetadata"]["Arn"]
    assert aws.kms.get_key_rotation_status(KeyId=key_id(old))["KeyRotationEnabled"] is False
    assert old not in rules


@pytest.mark.parametrize("conditioned", [True, False])
def test_a_condition_that_binds_the_account_is_respected(aws: Endpoint, conditioned: bool) -> None:
    """Here the table goes further than Prowler's: conditions."""
    key = aws.key()
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "kms:Decrypt",
        "Resource": "*",
    }
    if conditioned:
        statement["Condition"] = {"StringEquals": {"kms:CallerAccount": "123456789012"}}
    own = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"}
    aws.put_policy(key, own, statement)
    assert ("kms-key-public" in aws.findings(key)) is not conditioned
