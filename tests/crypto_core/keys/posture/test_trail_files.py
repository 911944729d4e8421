"""Trails' files and buckets: delivered, with digests, under a key, and who may read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from threading import Event
from typing import Any
from uuid import uuid4

import pytest

from console.container import Container
from console.sandbox.cloudtrail import secure_bucket
from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms import Identity
from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.findings.registry import Facts, rules_about
from crypto_core.keys.posture.trails import read_bucket, read_trails
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import InterruptedRunError, KmsAccessDeniedError, NotConfiguredError
from tests.crypto_core.keys.posture.samples import ACCOUNT, HOSTILE

HOME = "eu-west-1"
ARN = f"arn:aws:cloudtrail:{HOME}:{ACCOUNT}:trail/a"
EVERYBODY = {"Grantee": {"URI": "http://acs.amazonaws.com/groups/global/AllUsers"}, "Permission": "READ"}
BLOCKED = {"PublicAccessBlockConfiguration": {"IgnorePublicAcls": True, "RestrictPublicBuckets": True}}
PUBLIC = {"PolicyStatus": {"IsPublic": True}}
IN_ORDER: dict[str, Any] = {
    "DescribeTrails": {
        "trailList": [
            {
                "Name": "a",
                "TrailARN": ARN,
                "HomeRegion": HOME,
                "S3BucketName": "logs",
                "IsMultiRegionTrail": True,
                "LogFileValidationEnabled": True,
                "KmsKeyId": "arn:aws:kms:eu-west-1:210987654321:key/logs",
            }
        ]
    },
    "GetTrailStatus": {"IsLogging": True, "LatestDeliveryTime": datetime(2026, 11, 20, 8, 30, tzinfo=UTC)},
    "GetEventSelectors": {},
    "GetBucketPolicyStatus": {"PolicyStatus": {"IsPublic": False}},
    "GetPublicAccessBlock": BLOCKED,
    "GetBucketAcl": {"Grants": [{"Grantee": {"ID": "owner"}, "Permission": "FULL_CONTROL"}]},
    "GetBucketLogging": {"LoggingEnabled": {"TargetBucket": "access", "TargetPrefix": ""}},
    "GetBucketLocation": {"LocationConstraint": HOME},
    "s3control": NotConfiguredError("not set"),
}


class Answers:
    """What AWS answers, by operation: a document, or an error to raise."""

    regions = (HOME,)

    def __init__(self, **answers: Any) -> None:
        self.answers = {**IN_ORDER, **answers}
        self.asked: list[str] = []

    def identity(self) -> Identity:
        """The account's."""
        return Identity(clean("123456789012"), clean("arn:aws:iam::123456789012:user/u"))

    def read(self, service: str, operation: str, **_: Any) -> Any:
        """Answer as KmsApi does."""
        self.asked.append(operation)
        answer = self.answers.get(service, self.answers.get(operation))
        if isinstance(answer, Exception):
            raise answer
        return answer


def told(**answers: Any) -> list[Finding | Gap]:
    """What the rules say of the trails as AWS answers."""
    trails, asked, gaps = read_trails(Answers(**answers), (HOME,))  # type: ignore[arg-type]
    return [*gaps, *(said for rule in rules_about(Facts.TRAILS) for said in rule(trails, asked))]


def described(**fields: Any) -> dict[str, Any]:
    """DescribeTrails with some fields otherwise."""
    return {"trailList": [IN_ORDER["DescribeTrails"]["trailList"][0] | fields]}


def test_a_trail_and_a_bucket_in_order_are_no_findings() -> None:
    assert told() == []


@pytest.mark.parametrize(
    ("answers", "rule", "severity", "subject", "evidence"),
    [
        (
            {"DescribeTrails": described(LogFileValidationEnabled=False)},
            "trail-unvalidated",
            "medium",
            ARN,
            "LogFileValidationEnabled false",
        ),
        ({"DescribeTrails": described(KmsKeyId=None)}, "trail-unencrypted", "low", ARN, "no KmsKeyId"),
        (
            {"DescribeTrails": described(IsMultiRegionTrail=False)},
            "trail-one-region",
            "medium",
            ARN,
            "IsMultiRegionTrail false",
        ),
        (
            {"GetTrailStatus": IN_ORDER["GetTrailStatus"] | {"LatestDeliveryError": "AccessDenied"}},
            "trail-undelivered",
            "high",
            ARN,
            "LatestDeliveryError AccessDenied; the last file came at 2026-11-20 08:30 UTC",
        ),
        (
            {"GetTrailStatus": {"IsLogging": True, "LatestDigestDeliveryError": "NoSuchBucket"}},
            "trail-undelivered",
            "medium",
            ARN,
            "LatestDigestDeliveryError NoSuchBucket",
        ),
        (
            {"GetBucketPolicyStatus": PUBLIC, "GetPublicAccessBlock": NotConfiguredError("not set")},
            "trail-bucket-public",
            "medium",
            "arn:aws:s3:::logs",
            "IsPublic true; public access block: does not restrict it",
        ),
        (
            {"GetPublicAccessBlock": NotConfiguredError("x"), "GetBucketAcl": {"Grants": [EVERYBODY]}},
            "trail-bucket-public",
            "medium",
            "arn:aws:s3:::logs",
            "GetBucketAcl: a grant to everybody",
        ),
        (
            {"GetBucketLogging": {}},
            "trail-bucket-unlogged",
            "low",
            "arn:aws:s3:::logs",
            "server access logging is off",
        ),
    ],
)
def test_what_is_not_in_order_is_told_with_what_says_so(
    answers: dict[str, Any], rule: str, severity: str, subject: str, evidence: str
) -> None:
    (found,) = told(**answers)
    assert isinstance(found, Finding)
    assert (found.rule, found.severity.value, found.subject) == (rule, severity, subject)
    assert evidence in found.evidence


def test_a_public_policy_that_the_block_restricts_is_none() -> None:
    assert told(GetBucketPolicyStatus=PUBLIC, GetBucketAcl={"Grants": [EVERYBODY]}) == []
    answers = Answers()
    read_bucket(answers, "logs", HOME)  # type: ignore[arg-type]
    assert "GetBucketAcl" not in answers.asked


def test_a_public_bucket_that_the_accounts_block_closes_is_none() -> None:
    public = {"GetBucketPolicyStatus": PUBLIC, "GetPublicAccessBlock": NotConfiguredError("not set")}
    listed = {"GetBucketAcl": {"Grants": [EVERYBODY]}}
    assert told(**public, s3control=BLOCKED) == told(**public, **listed, s3control=BLOCKED) == []
    only_lists = {"PublicAccessBlockConfiguration": {"IgnorePublicAcls": True}}
    (found,) = told(**public, **listed, s3control=only_lists)
    assert isinstance(found, Finding)
    assert "GetBucketAcl" not in found.evidence
    # Of a bucket of another account, and where it can't be asked, the finding stays and says so.
    for part in ("GetBucketLocation", "s3control"):
        (found,) = told(**public, **{part: KmsAccessDeniedError("no", action="s3:x")})
        assert isinstance(found, Finding)
        assert "public access block of the account: s3:x is not allowed" in found.evidence


def test_files_that_another_trail_delivers_are_low() -> None:
    other = IN_ORDER["DescribeTrails"]["trailList"][0] | {"Name": "b", "TrailARN": f"{ARN}b"}
    both = {"trailList": [*IN_ORDER["DescribeTrails"]["trailList"], other]}

    class Two(Answers):
        def read(self, service: str, operation: str, **parameters: Any) -> Any:
            answer = super().read(service, operation)
            failing = operation == "GetTrailStatus" and parameters["Name"] == ARN
            return answer | {"LatestDeliveryError": "AccessDenied"} if failing else answer

    trails, asked, _ = read_trails(Two(DescribeTrails=both), (HOME,))  # type: ignore[arg-type]
    (found,) = [s for rule in rules_about(Facts.TRAILS) for s in rule(trails, asked)]
    assert (found.rule, found.severity, found.subject) == ("trail-undelivered", Severity.LOW, ARN)


@pytest.mark.parametrize(
    ("operation", "part", "hides"),
    [
        ("GetBucketPolicyStatus", "policy status", "medium"),
        ("GetPublicAccessBlock", "public access block", "medium"),
        ("GetBucketLogging", "access logging", "low"),
    ],
)
def test_what_of_a_bucket_may_not_be_read_is_a_gap_with_the_action(
    operation: str, part: str, hides: str
) -> None:
    (gap,) = told(**{operation: KmsAccessDeniedError("no", operation=operation, action=f"s3:{operation}")})
    assert isinstance(gap, Gap)
    assert gap.reason == f"arn:aws:s3:::logs: {part}: s3:{operation} is not allowed"
    assert gap.hides.value == hides


def test_names_and_errors_from_outside_are_data() -> None:
    status = {"IsLogging": True, "LatestDeliveryError": HOSTILE, "LatestDigestDeliveryError": HOSTILE * 100}
    bucket = described(S3BucketName=HOSTILE, Name=HOSTILE)
    for said in told(GetTrailStatus=status, DescribeTrails=bucket, GetBucketLogging={}):
        assert isinstance(said, Finding)
        for text in (said.subject, said.title, said.evidence, said.remedy):
            assert text.isprintable()


def test_reading_stops_when_it_is_cancelled() -> None:
    cancelled = Event()
    cancelled.set()
    with pytest.raises(InterruptedRunError):
        read_bucket(Answers(), "logs", HOME, cancelled)  # type: ignore[arg-type]


@pytest.fixture
def bucket(sandbox: Sandbox) -> Iterator[Callable[..., str]]:
    """Make a bucket of a new trail; returns its ARN. Both end with the test."""
    s3, cloudtrail = sandbox.client("s3"), sandbox.client("cloudtrail")
    made: list[str] = []

    def make(*, secure: bool) -> str:
        name = f"trail-{uuid4().hex}"
        for one in (name, f"{name}-access"):
            s3.create_bucket(Bucket=one, CreateBucketConfiguration={"LocationConstraint": HOME})
        if secure:
            secure_bucket(s3, name, f"{name}-access")
        cloudtrail.create_trail(Name=name, S3BucketName=name)
        made.append(name)
        return f"arn:aws:s3:::{name}"

    yield make
    sandbox.control.clear()
    for name in made:
        cloudtrail.delete_trail(Name=name)


def test_a_buckets_policy_block_and_logging_are_read_from_s3(
    services: Container, sandbox: Sandbox, bucket: Callable[..., str]
) -> None:
    def of(subject: str) -> set[str]:
        return {f.rule for f in services.services.posture.examine_keys().findings if f.subject == subject}

    open_, secure = bucket(secure=False), bucket(secure=True)
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"{open_}/*"}
    sandbox.client("s3").put_bucket_policy(
        Bucket=open_.rpartition(":")[2],
        Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody]}),
    )
    assert of(open_) == {"trail-bucket-public", "trail-bucket-unlogged"}
    assert of(secure) == set()
    actions = ("GetBucketPolicyStatus", "GetBucketPublicAccessBlock", "GetBucketLogging")
    for action in actions:
        sandbox.control.add_denial(Denial("*", f"s3:{action}"))
    posture = services.services.posture.examine_keys()
    reasons = [gap.reason for gap in posture.gaps if gap.reason.startswith(secure)]
    assert len(reasons) == 3
    assert all(any(f"s3:{action} is not allowed" in reason for reason in reasons) for action in actions)
    assert posture.examined
