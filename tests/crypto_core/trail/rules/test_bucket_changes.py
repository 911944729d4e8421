"""Changes of the bucket that a trail delivers to, as CloudTrail records them of S3."""

from __future__ import annotations

from typing import Any

import pytest

from crypto_core.findings.finding import Severity
from tests.crypto_core.trail.records import ACCOUNT, REGION, record, user
from tests.crypto_core.trail.rules.watching import FOREIGN, Watch, change, of, trail_call

BUCKET, OTHER = "trail-files", "holiday-pictures"
CRITICAL, HIGH, MEDIUM, LOW = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW
SET_UP = trail_call("CreateTrail", {"s3BucketName": BUCKET}, ago=80_000)
"""By this the rules know the bucket."""

Request = dict[str, Any]


def s3(name: str, request: Request | None = None, bucket: str = BUCKET, **more: Any) -> Request:
    """A call of S3."""
    given = {"bucketName": bucket, "Host": f"{bucket}.s3.{REGION}.amazonaws.com"} | (request or {})
    who = {"who": user(), "ago": 60} | more
    return change(name, given, key=None, eventSource="s3.amazonaws.com", **who)


def lifecycle(**rule: Any) -> Request:
    return {"lifecycle": "", "LifecycleConfiguration": {"Rule": {"Status": "Enabled", "ID": "r"} | rule}}


def policy(*more: Request, writes: bool = True) -> Request:
    """The policy that CloudTrail needs, and further statements."""
    service = {"Service": "cloudtrail.amazonaws.com"}
    write = {"Effect": "Allow", "Principal": service, "Action": "s3:PutObject", "Resource": "*"}
    check = {"Effect": "Allow", "Principal": service, "Action": "s3:GetBucketAcl", "Resource": "*"}
    statements = [check, *([write] if writes else []), *more]
    return {"policy": "", "bucketPolicy": {"Version": "2012-10-17", "Statement": statements}}


def allow(principal: Any, **more: Any) -> Request:
    return {"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "*"} | more


def encryption(key: str) -> Request:
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    return {"ServerSideEncryptionConfiguration": {"Rule": {"ApplyServerSideEncryptionByDefault": default}}}


def versions(status: str, **more: str) -> Request:
    return {"VersioningConfiguration": {"Status": status} | more}


def blocked(value: bool) -> Request:
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    return {"PublicAccessBlockConfiguration": dict.fromkeys(names, value)}


def locked(**retention: Any) -> Request:
    return {
        "ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}
        | ({"Rule": retention} if retention else {})
    }


def copied(**destination: Any) -> Request:
    return {"ReplicationConfiguration": {"Rule": {"Destination": {"Bucket": "arn:aws:s3:::x"} | destination}}}


KEY_OF = "arn:aws:kms:eu-west-1:{}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
EVERYBODY = {"Grantee": {"URI": "http://acs.amazonaws.com/groups/global/AllUsers"}, "Permission": "READ"}
DENY = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}
NO_TLS = DENY | {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}
OURS = {"AWS": f"arn:aws:iam::{ACCOUNT}:role/audit"}
THEIRS = {"AWS": f"arn:aws:iam::{FOREIGN}:root"}
FROM_THEM = {"Condition": {"StringEquals": {"aws:PrincipalAccount": FOREIGN}}}

EXPIRY, POLICY = "event-trail-bucket-expiry", "event-trail-bucket-policy"
OPENED, UNPROTECTED = "event-trail-bucket-opened", "event-trail-bucket-unprotected"
DELETED, FILES = "event-trail-bucket-deleted", "event-trail-files-deleted"

CHANGES: list[tuple[str, Request, str, Severity | None, str]] = [
    ("DeleteBucket", {}, DELETED, CRITICAL, ""),
    ("PutBucketLifecycle", lifecycle(Expiration={"Days": 1}), EXPIRY, CRITICAL, "after 1 days"),
    ("PutBucketLifecycle", lifecycle(Expiration={"Days": 180}, Prefix="a/"), EXPIRY, MEDIUM, "below a/"),
    ("PutBucketLifecycle", lifecycle(Expiration={"Date": "2026-12-01"}), EXPIRY, CRITICAL, ""),
    ("PutBucketLifecycle", lifecycle(Expiration={"Days": 2_557}), EXPIRY, None, ""),
    ("PutBucketLifecycle", lifecycle(Expiration={"Days": 1}, Status="Disabled"), EXPIRY, None, ""),
    ("PutBucketLifecycleConfiguration", lifecycle(Transition={"Days": 30}), EXPIRY, None, ""),
    ("PutBucketLifecycle", {}, EXPIRY, HIGH, "not recorded how"),
    ("DeleteBucketPolicy", {}, POLICY, CRITICAL, "CloudTrail can't deliver"),
    ("PutBucketPolicy", policy(writes=False), POLICY, CRITICAL, "CloudTrail can't deliver"),
    ("PutBucketPolicy", policy(DENY), POLICY, CRITICAL, "CloudTrail can't deliver"),
    ("PutBucketPolicy", policy(NO_TLS, allow(OURS)), POLICY, LOW, "nobody of another account"),
    ("PutBucketPolicy", policy(allow("*")), POLICY, HIGH, "lets in everybody"),
    ("PutBucketPolicy", policy(allow("*", **FROM_THEM)), POLICY, HIGH, f"lets in account {FOREIGN}"),
    ("PutBucketPolicy", policy(allow(THEIRS)), POLICY, HIGH, f"lets in account {FOREIGN}"),
    ("PutBucketPolicy", {"bucketPolicy": {"Statement": "x"}}, POLICY, HIGH, "can't be read"),
    ("PutBucketPolicy", {}, POLICY, HIGH, "does not have the policy"),
    ("DeleteBucketPublicAccessBlock", {}, OPENED, MEDIUM, ""),
    ("PutBucketPublicAccessBlock", blocked(False), OPENED, MEDIUM, "without BlockPublicAcls"),
    ("PutPublicAccessBlock", blocked(True), OPENED, None, ""),
    ("PutBucketAcl", {"AccessControlPolicy": {"AccessControlList": {"Grant": EVERYBODY}}}, OPENED, HIGH, ""),
    ("PutBucketAcl", {"x-amz-acl": ["public-read"]}, OPENED, HIGH, ""),
    ("PutBucketAcl", {"x-amz-acl": "private"}, OPENED, None, ""),
    ("DeleteBucketOwnershipControls", {}, OPENED, LOW, ""),
    (
        "PutBucketOwnershipControls",
        {"OwnershipControls": {"Rule": {"ObjectOwnership": "BucketOwnerEnforced"}}},
        *(OPENED, None, ""),
    ),
    ("PutBucketVersioning", versions("Suspended"), UNPROTECTED, HIGH, "is gone"),
    ("PutBucketVersioning", versions("Enabled", MfaDelete="Disabled"), UNPROTECTED, LOW, ""),
    ("PutBucketVersioning", versions("Enabled"), UNPROTECTED, None, ""),
    ("PutBucketObjectLockConfiguration", locked(), UNPROTECTED, HIGH, "no default retention"),
    ("PutObjectLockConfiguration", locked(DefaultRetention={"Days": 1}), UNPROTECTED, HIGH, "1 days"),
    ("PutObjectLockConfiguration", locked(DefaultRetention={"Years": 7}), UNPROTECTED, None, ""),
    ("DeleteBucketEncryption", {}, UNPROTECTED, MEDIUM, ""),
    ("PutBucketEncryption", encryption(KEY_OF.format(FOREIGN)), UNPROTECTED, CRITICAL, FOREIGN),
    ("PutBucketEncryption", encryption(KEY_OF.format(ACCOUNT)), UNPROTECTED, None, ""),
    ("PutBucketReplication", copied(Account=FOREIGN), UNPROTECTED, HIGH, FOREIGN),
    ("PutBucketReplication", copied(), UNPROTECTED, MEDIUM, "arn:aws:s3:::x"),
    ("DeleteBucketReplication", {}, UNPROTECTED, MEDIUM, ""),
    ("DeleteObject", {"key": "AWSLogs/1.json.gz"}, FILES, HIGH, "AWSLogs/1.json.gz"),
    ("DeleteObject", {"key": "AWSLogs/1.json.gz", "versionId": "v"}, FILES, CRITICAL, ""),
    ("DeleteObjects", {"delete": ""}, FILES, CRITICAL, ""),
]


def test_each_change_is_judged_by_what_it_leaves_behind(watch: Watch) -> None:
    # Each by another user, so that one examination tells of all.
    records = [s3(name, request, who=user(f"user-{n}")) for n, (name, request, *_) in enumerate(CHANGES)]
    examined = watch([SET_UP, *records])
    told = {finding.events[0]: finding for finding in examined.findings}
    for mine, (name, request, rule, severity, said) in zip(records, CHANGES, strict=True):
        found = told.get(mine["eventID"])
        if severity is None:
            assert found is None, (name, request)
            continue
        assert found is not None, (name, request)
        undone = "undone since" in found.evidence
        assert (found.rule, found.severity.rank) == (rule, min(severity.rank + undone, 3)), (name, request)
        assert found.subject == f"arn:aws:s3:::{BUCKET}"
        assert said in found.evidence
        assert found.techniques
        assert found.remedy


def test_other_buckets_are_nobodys_business(watch: Watch) -> None:
    records = [s3(name, request, bucket=OTHER) for name, request, *_ in CHANGES]
    assert {f.rule for f in watch([SET_UP, *records]).findings} == {"event-trail-made"}


def test_cloudtrails_own_call_tells_which_bucket_is_a_trails(watch: Watch) -> None:
    service = {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}
    assert of(watch([s3("DeleteBucket")]), DELETED) == []
    assert any("no pull has asked which buckets" in gap.reason for gap in watch([]).gaps)
    asked = record(
        "GetBucketAcl",
        key=None,
        who=service,
        eventSource="s3.amazonaws.com",
        ago=3_600,
        requestParameters={"bucketName": BUCKET, "acl": ""},
    )
    examined = watch([asked])
    assert len(of(examined, DELETED)) == 1
    assert not any("no pull has asked which buckets" in gap.reason for gap in examined.gaps)


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("done", "undone", "rule"),
    [
        (s3("DeleteBucket"), s3("CreateBucket", ago=30), DELETED),
        (
            s3("PutBucketLifecycle", lifecycle(Expiration={"Days": 1})),
            s3("DeleteBucketLifecycle", ago=30),
            EXPIRY,
        ),
        (s3("DeleteBucketPolicy"), s3("PutBucketPolicy", policy(), ago=30), POLICY),
        (
            s3("DeleteBucketPublicAccessBlock"),
            s3("PutBucketPublicAccessBlock", blocked(True), ago=30),
            OPENED,
        ),
        (
            s3("PutBucketVersioning", versions("Suspended")),
            s3("PutBucketVersioning", versions("Enabled"), ago=30),
            UNPROTECTED,
        ),
        (s3("PutBucketReplication", copied()), s3("DeleteBucketReplication", ago=30), UNPROTECTED),
    ],
    ids=range(6),
)
def test_what_is_put_right_is_one_degree_less_in_the_same_bucket_alone(
    watch: Watch, done: Request, undone: Request, rule: str
) -> None:
    elsewhere = undone | {
        "eventID": "x",
        "requestParameters": undone["requestParameters"] | {"bucketName": OTHER},
    }
    (before, *_) = of(watch([SET_UP, done, elsewhere]), rule)
    assert "undone" not in before.evidence
    (after,) = [f for f in of(watch([undone]), rule) if f.title == before.title]
    assert after.severity.rank == before.severity.rank + 1
    assert f"undone since by {undone['eventName']}" in after.evidence


def test_another_setting_of_the_bucket_undoes_nothing(watch: Watch) -> None:
    suspended = s3("PutBucketVersioning", versions("Suspended"))
    others = [
        s3("PutBucketEncryption", encryption(KEY_OF.format(ACCOUNT)), ago=30),
        s3("PutObjectLockConfiguration", locked(DefaultRetention={"Years": 7}), ago=30),
        s3("PutBucketPolicy", policy(writes=False), ago=20),
    ]
    deleted = s3("DeleteBucketPolicy")
    examined = watch([SET_UP, suspended, deleted, *others])
    assert not any("undone" in f.evidence for f in examined.findings)


def test_an_attempt_and_a_hostile_record_are_told_cleanly(watch: Watch) -> None:
    refused = {"errorCode": "AccessDenied", "errorMessage": "no"}
    hostile = "\x1b[31mAWSLogs/\u202e"
    rows = [
        s3("DeleteBucket", **refused),
        s3("DeleteObject", {"key": hostile}),
        s3(
            "PutBucketLifecycle", {"LifecycleConfiguration": {"Rule": [7, {"Expiration": {"Days": hostile}}]}}
        ),
        s3("PutBucketReplication", copied(Account=[hostile], Bucket={"a": 1})),
    ]
    found = watch([SET_UP, *rows]).findings
    (tried,) = [f for f in found if f.rule == DELETED]
    assert (tried.severity, "refused with AccessDenied" in tried.evidence) == (MEDIUM, True)
    assert {FILES, EXPIRY, UNPROTECTED} <= {f.rule for f in found}
    assert not any(c in f.title + f.evidence for f in found for c in "\x1b\u202e")
