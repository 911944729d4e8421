"""Every rule against the sandbox's endpoint and against a plain moto server, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.sandbox.cloudtrail import LOG_ARCHIVE_KEY
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.findings.severity import Severity
from tests.crypto_core.keys.posture.conftest import Endpoint, key_id

ACCOUNT = "123456789012"
OTHER = "999999999999"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
Trails = Callable[..., str]


def allow(principal: Any, actions: Any = "kms:*", condition: Any = None) -> dict[str, Any]:
    raw = {"Effect": "Allow", "Principal": principal, "Action": actions, "Resource": "*"}
    return raw | ({"Condition": condition} if condition else {})


OWN = allow({"AWS": ROOT})


def rotating(aws: Endpoint, key: str, days: int = 365) -> str:
    aws.kms.enable_key_rotation(KeyId=key_id(key), RotationPeriodInDays=days)
    return key


def test_a_key_in_order_is_no_finding(aws: Endpoint) -> None:
    assert aws.findings(rotating(aws, aws.key())) == {}


def test_rotation_off_and_on(aws: Endpoint) -> None:
    key = aws.key()
    assert set(aws.findings(key)) == {"kms-rotation-off"}
    rotating(aws, key)
    assert aws.findings(key) == {}


@pytest.mark.parametrize(
    "parameters",
    [
        {"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"},
        {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"},
        {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
        {"Origin": "EXTERNAL"},
    ],
)
def test_no_alarm_for_keys_that_cannot_rotate(aws: Endpoint, parameters: dict[str, str]) -> None:
    assert "kms-rotation-off" not in aws.findings(aws.key(**parameters))


@pytest.mark.deep
def test_rotation_by_hand_behind_an_alias(aws: Endpoint, sandbox: Sandbox) -> None:
    old, name = aws.key(), f"alias/{key_id(aws.key())}"
    aws.kms.create_alias(AliasName=f"{name}-old", TargetKeyId=key_id(old))
    assert set(aws.findings(old)) == {"kms-rotation-off"}
    if aws.name == "sandbox":  # moto's keys are all of this moment, so none of them is older
        sandbox.control.backdate(old, created=datetime.now(UTC) - timedelta(days=400))
        new = aws.key()
        aws.kms.create_alias(AliasName=name, TargetKeyId=key_id(new))
        assert set(aws.findings(old)) == {"kms-unused"}
        assert aws.findings(new) == {}


def test_a_period_over_the_limit(aws: Endpoint) -> None:
    key = rotating(aws, aws.key(), 400)
    if aws.name == "plain moto":  # it rotates, and moto does not say how often
        assert f"{key}: rotation period: KMS does not tell" in aws.examine().coverage.reasons
        return
    assert set(aws.findings(key)) == {"kms-rotation-period"}
    aws.configure(KEYDECK_ROTATION_DAYS="400")
    assert aws.findings(key) == {}


def test_a_public_key_is_critical_where_tokens_depend_on_it(aws: Endpoint) -> None:
    key = rotating(aws, aws.key())
    aws.put_policy(key, OWN, allow("*", "kms:Decrypt"))
    assert aws.findings(key)["kms-key-public"].severity is Severity.MEDIUM
    aws.fill(key, 3)
    found = aws.findings(key)["kms-key-public"]
    assert found.severity is Severity.CRITICAL
    assert "3 tokens under it" in found.evidence


@pytest.mark.deep
def test_another_account_by_policy_and_by_grant(aws: Endpoint) -> None:
    key = rotating(aws, aws.key())
    aws.put_policy(key, OWN, allow({"AWS": f"arn:aws:iam::{OTHER}:role/x"}, "kms:Decrypt"))
    aws.configure(TOKEN_ENCRYPTION_KEY_ID=key)
    assert aws.findings(key)["kms-key-cross-account"].severity is Severity.HIGH
    aws.put_policy(key, OWN)
    assert "kms-key-cross-account" not in aws.findings(key)
    aws.kms.create_grant(
        KeyId=key_id(key), GranteePrincipal=f"arn:aws:iam::{OTHER}:role/y", Operations=["Decrypt"]
    )
    assert (
        f"role/y of account {OTHER} may Decrypt (grant" in aws.findings(key)["kms-key-cross-account"].evidence
    )
    aws.configure(KEYDECK_TRUSTED_ACCOUNTS=OTHER)
    assert "kms-key-cross-account" not in aws.findings(key)


@pytest.mark.deep
def test_full_control_beyond_the_administrators(aws: Endpoint) -> None:
    key, role = rotating(aws, aws.key()), f"arn:aws:iam::{ACCOUNT}:role/dev"
    aws.put_policy(key, OWN, allow({"AWS": role}))
    aws.configure(TOKEN_ENCRYPTION_KEY_ID=key)
    assert aws.findings(key)["kms-key-full-control"].severity is Severity.MEDIUM
    aws.configure(KEYDECK_ADMINISTRATORS=f"arn:aws:iam::{ACCOUNT}:role/admin")
    assert aws.findings(key)["kms-key-full-control"].severity is Severity.HIGH
    aws.configure(KEYDECK_ADMINISTRATORS=role)
    assert "kms-key-full-control" not in aws.findings(key)


@pytest.mark.parametrize(("tokens", "severity"), [(0, Severity.LOW), (2, Severity.CRITICAL)])
def test_pending_deletion(aws: Endpoint, tokens: int, severity: Severity) -> None:
    key = aws.key()
    if tokens:
        aws.fill(key, tokens)
    aws.kms.schedule_key_deletion(KeyId=key_id(key), PendingWindowInDays=7)
    found = aws.findings(key)
    assert set(found) == {"kms-key-pending-deletion"}
    assert found["kms-key-pending-deletion"].severity is severity


@pytest.mark.parametrize(("tokens", "severity"), [(0, Severity.LOW), (2, Severity.HIGH)])
def test_disabled(aws: Endpoint, tokens: int, severity: Severity) -> None:
    key = aws.key()
    if tokens:
        aws.fill(key, tokens)
    aws.kms.disable_key(KeyId=key_id(key))
    found = aws.findings(key)
    assert set(found) == {"kms-key-disabled"}
    assert found["kms-key-disabled"].severity is severity


def test_replicas_rotate_with_their_primary_and_are_not_alone(aws: Endpoint) -> None:
    primary = aws.key(MultiRegion=True)
    aws.configure(KEYDECK_REGIONS="eu-west-1,us-east-1", TOKEN_ENCRYPTION_KEY_ID=primary)
    assert "a multi-Region primary without a replica" in aws.findings(primary)["kms-single-region"].evidence
    answer = aws.kms.replicate_key(KeyId=key_id(primary), ReplicaRegion="us-east-1")
    replica = answer["ReplicaKeyMetadata"]["Arn"]
    posture = aws.examine()
    said = {(f.rule, f.subject) for f in posture.findings}
    assert ("kms-rotation-off", primary) in said
    assert ("kms-rotation-off", replica) not in said
    assert ("kms-single-region", primary) not in said
    assert ("kms-single-region", replica) not in said
    assert not [reason for reason in posture.coverage.reasons if "replica" in reason]


@pytest.mark.deep
def test_an_alias_that_points_elsewhere(aws: Endpoint) -> None:
    writing, other = aws.key(), aws.key()
    alias = f"alias/{key_id(writing)}"
    aws.configure(TOKEN_ENCRYPTION_KEY_ID=writing, KEYDECK_WRITE_ALIAS=alias)
    assert "points to no key" in aws.findings(alias)["kms-alias-elsewhere"].title
    aws.kms.create_alias(AliasName=alias, TargetKeyId=key_id(other))
    assert other in aws.findings(alias)["kms-alias-elsewhere"].evidence
    aws.kms.update_alias(AliasName=alias, TargetKeyId=key_id(writing))
    assert aws.findings(alias) == {}


@pytest.mark.parametrize(
    "selectors",
    [
        {"EventSelectors": [{"ExcludeManagementEventSources": ["kms.amazonaws.com"]}]},
        {"EventSelectors": [{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True}]},
        {"EventSelectors": [{"IncludeManagementEvents": False}]},
        {
            "AdvancedEventSelectors": [
                {
                    "Name": "not kms",
                    "FieldSelectors": [
                        {"Field": "eventCategory", "Equals": ["Management"]},
                        {"Field": "eventSource", "NotEquals": ["kms.amazonaws.com"]},
                    ],
                }
            ]
        },
    ],
)
def test_a_trail_that_leaves_kms_out(aws: Endpoint, trail: Trails, selectors: dict[str, Any]) -> None:
    if aws.name == "sandbox" and "AdvancedEventSelectors" in selectors:
        pytest.skip("the sandbox refuses them")
    aws.key()
    found = aws.findings(trail("leaves-kms-out", **selectors))["trail-excludes-kms"]
    # The sandbox's own trail records them.
    assert found.severity is (Severity.LOW if aws.name == "sandbox" else Severity.HIGH)


def test_a_trail_that_is_not_logging(aws: Endpoint, trail: Trails) -> None:
    aws.key()
    assert set(aws.findings(trail("stands-still", logging=False))) == {"trail-stopped"}


def test_a_trail_in_order(aws: Endpoint, trail: Trails) -> None:
    aws.key()
    if aws.name == "plain moto":
        assert set(aws.findings("eu-west-1")) == {"trail-none"}
    arn = trail("takes-all")
    assert aws.findings(arn) == {}
    assert aws.findings("eu-west-1") == {}


@pytest.mark.deep
@pytest.mark.parametrize("aws", ["plain moto"], indirect=True)
def test_a_multi_region_trail_of_another_region_covers_this_one(aws: Endpoint) -> None:
    aws.key()
    aws.client("s3", "us-east-1").create_bucket(Bucket="far-trail")
    far = aws.client("cloudtrail", "us-east-1")
    arn = far.create_trail(
        Name="far",
        S3BucketName="far-trail",
        IsMultiRegionTrail=True,
        EnableLogFileValidation=True,
        KmsKeyId=LOG_ARCHIVE_KEY.format(region="us-east-1"),
    )["TrailARN"]
    far.start_logging(Name="far")
    assert aws.findings("eu-west-1") == {}
    far.stop_logging(Name="far")
    assert set(aws.findings(arn)) == {"trail-stopped"}
    far.update_trail(Name="far", IsMultiRegionTrail=False)
    assert set(aws.findings("eu-west-1")) == {"trail-none"}


def test_what_moto_cannot_answer_is_told_and_hides_nothing_grave(
    aws: Endpoint, trail: Trails, world: World
) -> None:
    trail("records")
    if aws.name == "sandbox":
        reasons = " ".join(aws.examine().coverage.reasons)
        assert world.current_key.arn not in reasons
        assert world.old_key.arn not in reasons
        return
    old, writing = aws.key(), aws.key()
    aws.configure(KEYDECK_TRUSTED_KEYS=old)
    aws.fill(writing, 2)
    posture = aws.examine()
    assert any(old in r and "GetKeyLastUsage" in r for r in posture.coverage.reasons)
    assert posture.examined
    assert posture.well


def test_a_statement_without_a_principal_is_a_gap(aws: Endpoint) -> None:
    key = aws.key()
    aws.answer_policy(key, {"Effect": "Allow", "Action": "kms:*", "Resource": "*"})
    posture = aws.examine()
    assert "kms-key-public" not in {f.rule for f in posture.findings if f.subject == key}
    assert any(key in r and "needs Principal or NotPrincipal" in r for r in posture.coverage.reasons)
