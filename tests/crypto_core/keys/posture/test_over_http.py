"""Every rule against the sandbox's endpoint and against a plain moto server, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.sandbox.cloudtrail import LOG_ARCHIVE_KEY
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.findings.finding import Severity
from crypto_core.keys.posture.examination import Posture
from tests.crypto_core.keys.posture.conftest import Endpoint, key_id

ACCOUNT = "123456789012"
OTHER = "999999999999"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
Trails = Callable[..., str]


def allow(principal: Any, actions: Any = "kms:*", condition: Any = None) -> dict[str, Any]:
    raw = {"Effect": "Allow", "Principal": principal, "Action": actions, "Resource": "*"}
    return raw | ({"Condition": condition} if condition else {})


OWN = allow({"AWS": ROOT})


PARTNER = f"arn:aws:iam::{OTHER}:role/partner"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/dev"
ALIAS = "alias/the-platforms"
EVERYONE = "kms-key-public"
ABROAD = "kms-key-cross-account"


def make_keys(aws: Endpoint) -> dict[str, tuple[str, set[str]]]:
    """Make keys, and return each ARN with the rules that find something there."""
    made: dict[str, tuple[str, set[str]]] = {}

    def key(about: str, *rules: str, days: int = 365, policy: Any = None, **parameters: str) -> str:
        arn = aws.key(**parameters)
        if days and not parameters:
            aws.kms.enable_key_rotation(KeyId=key_id(arn), RotationPeriodInDays=days)
        if policy:
            aws.put_policy(arn, OWN, policy)
        made[about] = arn, set(rules)
        return key_id(arn)

    key("in order")
    key("does not rotate", "kms-rotation-off", days=0)
    key("rotates seldom", *["kms-rotation-period"] * (aws.name == "sandbox"), days=400)
    key("a key pair", KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    key("signs", KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    key("authenticates", KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    key("brought along", Origin="EXTERNAL")
    key("open to everyone", EVERYONE, policy=allow("*", "kms:Decrypt"))
    key("abroad by policy", ABROAD, policy=allow({"AWS": PARTNER}, "kms:Decrypt"))
    granted = key("abroad by grant", ABROAD)
    aws.kms.create_grant(KeyId=granted, GranteePrincipal=PARTNER, Operations=["Decrypt"])
    key("in a role's hands", "kms-key-full-control", policy=allow({"AWS": ROLE}))
    pending = key("pending deletion", "kms-key-pending-deletion", days=0)
    aws.kms.schedule_key_deletion(KeyId=pending, PendingWindowInDays=7)
    aws.kms.disable_key(KeyId=key("disabled", "kms-key-disabled", days=0))
    return made


def told(posture: Posture, subject: str) -> set[str]:
    return {finding.rule for finding in posture.findings if finding.subject == subject}


def test_each_rule_about_keys_speaks_of_what_is_answered_unless_the_settings_expect_it(aws: Endpoint) -> None:
    keys = make_keys(aws)
    posture = aws.examine()
    assert {about: told(posture, arn) for about, (arn, _) in keys.items()} == {
        about: rules for about, (_, rules) in keys.items()
    }
    seldom = f"{keys['rotates seldom'][0]}: rotation period: KMS does not tell"
    assert (seldom in posture.coverage.reasons) is (aws.name == "plain moto")  # it rotates, moto says no more
    aws.configure(
        KEYDECK_ROTATION_DAYS="400",
        KEYDECK_TRUSTED_ACCOUNTS=OTHER,
        KEYDECK_ADMINISTRATORS=ROLE,
        KEYDECK_WRITE_ALIAS=ALIAS,
    )
    aws.fill(keys["open to everyone"][0], 3)
    posture = aws.examine()
    for expected in ("rotates seldom", "abroad by policy", "abroad by grant", "in a role's hands"):
        assert told(posture, keys[expected][0]) == set(), expected
    (found,) = [f for f in posture.findings if f.rule == EVERYONE and "3 tokens under it" in f.evidence]
    assert (found.subject, found.severity) == (keys["open to everyone"][0], Severity.CRITICAL)
    assert told(posture, ALIAS) == {"kms-alias-elsewhere"}  # of no key


@pytest.mark.deep
def test_aliases_say_which_key_is_written_under_and_which_came_after(aws: Endpoint, sandbox: Sandbox) -> None:
    old, new, name = aws.key(), aws.key(), f"{ALIAS}-{aws.name[:5]}"
    aws.kms.create_alias(AliasName=name, TargetKeyId=key_id(new))
    aws.configure(TOKEN_ENCRYPTION_KEY_ID=old, KEYDECK_WRITE_ALIAS=name)
    posture = aws.examine()
    (found,) = [finding for finding in posture.findings if finding.subject == name]
    assert (found.rule, new in found.evidence) == ("kms-alias-elsewhere", True)
    assert "kms-rotation-off" in told(posture, old)
    aws.configure(TOKEN_ENCRYPTION_KEY_ID=new)
    aws.kms.create_alias(AliasName=f"{name}-old", TargetKeyId=key_id(old))
    assert told(aws.examine(), name) == set()
    if aws.name == "sandbox":  # moto's keys are all of this moment, so none of them is older
        sandbox.control.backdate(old, created=datetime.now(UTC) - timedelta(days=400))
        posture = aws.examine()
        assert told(posture, old) == {"kms-unused"}
        assert told(posture, new) == {"kms-single-region"}


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


ADVANCED = [
    {"Field": "eventCategory", "Equals": ["Management"]},
    {"Field": "eventSource", "NotEquals": ["kms.amazonaws.com"]},
]
LEAVING_KMS_OUT: list[dict[str, Any]] = [
    {"EventSelectors": [{"ExcludeManagementEventSources": ["kms.amazonaws.com"]}]},
    {"EventSelectors": [{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True}]},
    {"EventSelectors": [{"IncludeManagementEvents": False}]},
    {"AdvancedEventSelectors": [{"Name": "not kms", "FieldSelectors": ADVANCED}]},
]


def test_each_rule_about_trails_speaks_of_what_is_answered(aws: Endpoint, trail: Trails) -> None:
    aws.key()
    # The sandbox has a trail of its own, and refuses advanced selectors.
    alone = aws.name == "plain moto"
    assert told(aws.examine(), "eu-west-1") == ({"trail-none"} if alone else set())
    few = LEAVING_KMS_OUT if alone else LEAVING_KMS_OUT[:-1]
    partial = [trail(f"leaves-out-{number}", **selectors) for number, selectors in enumerate(few)]
    stopped = trail("stands-still", logging=False)
    posture = aws.examine()
    assert [told(posture, arn) for arn in partial] == [{"trail-excludes-kms"}] * len(few)
    assert told(posture, stopped) == {"trail-stopped"}
    bad = {finding.severity for finding in posture.findings if finding.subject in {*partial, stopped}}
    assert bad == {Severity.HIGH if alone else Severity.LOW}
    whole = trail("takes-all")
    posture = aws.examine()
    assert told(posture, whole) == told(posture, "eu-west-1") == set()


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
