"""Techniques that change keys, who may use them, and what CloudTrail records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from crypto_core.findings.finding import Severity
from crypto_core.findings.standards import (
    CLOUD_LOGS,
    CLOUD_ROLES,
    DESTRUCTION,
    ENCRYPTED,
    LIFECYCLE_DELETION,
    NO_RECOVERY,
)
from tests.crypto_core.trail.records import ACCOUNT, REGION, role
from tests.league.background import own_policy
from tests.league.technique import Play, Technique
from tests.league.world import ALIAS, APPS, FOREIGN, RETIRED, THEIRS, Caller, Record, World

HIGH, CRITICAL, MEDIUM, LOW = Severity.HIGH, Severity.CRITICAL, Severity.MEDIUM, Severity.LOW

Request = Mapping[str, Any]


def _policy(*principals: str) -> Request:
    """The usual policy, and whoever else is let in."""
    policy = json.loads(own_policy())
    for principal in principals:
        policy["Statement"].append(
            {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "kms:Decrypt", "Resource": "*"}
        )
    return {"policy": json.dumps(policy), "policyName": "default"}


def _only(principal: str) -> Request:
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "kms:*", "Resource": "*"}
    return {
        "policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        "policyName": "default",
        "bypassPolicyLockoutSafetyCheck": True,
    }


def _changes(
    *names: str, request: Request | None = None, apart: float = 40, by: str = "", **more: Any
) -> Play:
    """Calls about the key that tokens are sealed under, one after the other."""

    def play(world: World, when: datetime) -> Iterator[Record]:
        caller = _caller(world, by)
        for n, name in enumerate(names):
            then = when + timedelta(seconds=apart * n)
            yield world.change(name, caller, then, request, **{"key": world.sealed_under(when), **more})

    return play


def _caller(world: World, by: str) -> Caller:
    """A stranger; the pipeline, itself or through a service; on-call staff."""
    if by == "pipeline":
        return world.pipeline()
    if by == "oncall":
        return world.oncall()
    return world.pipeline().through(by) if by else world.stranger(role("break-glass", "admin"))


def _trail(
    *names: str, request: Request | None = None, apart: float = 600, by: str = "", **more: Any
) -> Play:
    """Calls about the trail."""

    def play(world: World, when: datetime) -> Iterator[Record]:
        for n, name in enumerate(names):
            yield world.trail(name, _caller(world, by), when + timedelta(seconds=apart * n), request, **more)

    return play


def shut_out(world: World, when: datetime) -> Iterator[Record]:
    """The policy lets in nobody but the intruder."""
    by = world.stranger(role("break-glass", "admin"))
    only = _only(f"arn:aws:iam::{ACCOUNT}:role/break-glass")
    yield world.change("PutKeyPolicy", by, when, only, key=world.sealed_under(when))


def alias_away(world: World, when: datetime) -> Iterator[Record]:
    """The alias is deleted, and made anew for another key."""
    by, request = world.pipeline(), {"aliasName": ALIAS}
    yield world.change("DeleteAlias", by, when, request, key=world.write_key(when))
    yield world.change(
        "CreateAlias", by, when + timedelta(seconds=3), {**request, "targetKeyId": APPS[0]}, key=APPS[0]
    )


def refused_deletion(world: World, when: datetime) -> Iterator[Record]:
    """An attempt that is refused is one all the same."""
    yield world.refused("ScheduleKeyDeletion", world.oncall(), when, key=world.sealed_under(when))


def granted_to_theirs(service: str = "") -> Play:
    """A grant for a role of another account."""
    request = {
        "granteePrincipal": f"arn:aws:iam::{FOREIGN}:role/x",
        "operations": ["Decrypt", "DescribeKey"],
    }
    return _changes("CreateGrant", request=request, by=service)


def _kms_out(**selector: Any) -> Request:
    return {"eventSelectors": [{"readWriteType": "All", "includeManagementEvents": True, **selector}]}


_ADVANCED = {
    "advancedEventSelectors": [
        {
            "name": "management",
            "fieldSelectors": [
                {"field": "eventCategory", "equals": ["Management"]},
                {"field": "eventSource", "notEquals": ["kms.amazonaws.com"]},
            ],
        }
    ]
}
_STORE = {"eventDataStore": f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:eventdatastore/0a1b2c3d"}
_OWN_GRANT = {
    "granteePrincipal": f"arn:aws:iam::{ACCOUNT}:role/metrics",
    "operations": ["Decrypt", "CreateGrant"],
}
_REPLICA = {"replicaRegion": "ap-southeast-2", **_policy(f"arn:aws:iam::{FOREIGN}:root")}

KEY_CHANGES = (
    Technique(
        "policy-public",
        "The key opened to everybody",
        (CLOUD_ROLES,),
        _changes("PutKeyPolicy", request=_policy("*")),
        ("event-key-policy",),
        CRITICAL,
    ),
    Technique(
        "policy-foreign",
        "The key opened to another account",
        (CLOUD_ROLES,),
        _changes("PutKeyPolicy", request=_policy(f"arn:aws:iam::{FOREIGN}:root")),
        ("event-key-policy",),
        CRITICAL,
    ),
    Technique(
        "policy-as-a-deploy",
        "Another account let in by the deployment's own change",
        (CLOUD_ROLES,),
        _changes(
            "PutKeyPolicy",
            request=_policy(f"arn:aws:iam::{FOREIGN}:role/x"),
            by="cloudformation.amazonaws.com",
        ),
        ("event-key-policy",),
        CRITICAL,
    ),
    Technique(
        "policy-own-role",
        "One more role let in",
        (CLOUD_ROLES,),
        _changes("PutKeyPolicy", request=_policy(f"arn:aws:iam::{ACCOUNT}:role/metrics"), by="pipeline"),
        ("event-key-policy",),
    ),
    Technique(
        "shut-out",
        "Everybody else shut out of the key",
        (CLOUD_ROLES, ENCRYPTED),
        shut_out,
        ("event-key-policy",),
        CRITICAL,
    ),
    Technique(
        "grant-foreign",
        "A grant for another account",
        (CLOUD_ROLES,),
        granted_to_theirs(),
        ("event-key-grant",),
        CRITICAL,
    ),
    Technique(
        "grant-foreign-by-service",
        "A grant for another account, made by a service",
        (CLOUD_ROLES,),
        granted_to_theirs("backup.amazonaws.com"),
        ("event-key-grant",),
        CRITICAL,
    ),
    Technique(
        "grant-own-role",
        "A grant that may be passed on",
        (CLOUD_ROLES,),
        _changes("CreateGrant", request=_OWN_GRANT),
        ("event-key-grant",),
        HIGH,
    ),
    Technique(
        "tags",
        "Tags that a policy decides by",
        (CLOUD_ROLES,),
        _changes("TagResource", request={"tags": [{"tagKey": "team", "tagValue": "metrics"}]}),
        ("event-key-tagged",),
    ),
    Technique(
        "replica",
        "A replica that another account may use",
        (CLOUD_ROLES,),
        _changes("ReplicateKey", request=_REPLICA),
        ("event-key-replicated",),
        CRITICAL,
    ),
    Technique(
        "revived",
        "The retired key brought back",
        (CLOUD_ROLES,),
        _changes("CancelKeyDeletion", "EnableKey", key=RETIRED, by="oncall"),
        ("event-key-revived",),
        HIGH,
    ),
    Technique(
        "open-key",
        "A new key that another account may use",
        (CLOUD_ROLES,),
        _changes("CreateKey", request=_policy(f"arn:aws:iam::{FOREIGN}:root"), key=APPS[2]),
        ("event-key-made-open",),
        HIGH,
    ),
    Technique(
        "alias-moved",
        "The alias pointed to another account's or team's key",
        (ENCRYPTED,),
        _changes("UpdateAlias", request={"aliasName": ALIAS, "targetKeyId": APPS[1]}, by="pipeline"),
        ("event-alias-changed",),
        HIGH,
    ),
    Technique(
        "alias-recreated",
        "The alias deleted and made anew elsewhere",
        (ENCRYPTED,),
        alias_away,
        ("event-alias-changed",),
        HIGH,
    ),
    Technique(
        "material",
        "Key material imported that somebody else has",
        (ENCRYPTED,),
        _changes("ImportKeyMaterial", request={"expirationModel": "KEY_MATERIAL_EXPIRES"}),
        ("event-material-imported",),
        HIGH,
    ),
    Technique(
        "material-deleted",
        "Imported key material deleted",
        (DESTRUCTION,),
        _changes("DeleteImportedKeyMaterial"),
        ("event-material-deleted",),
        CRITICAL,
    ),
    Technique(
        "disabled", "The key disabled", (NO_RECOVERY,), _changes("DisableKey"), ("event-key-disabled",), HIGH
    ),
    Technique(
        "disabled-for-a-while",
        "The key disabled for a quarter of an hour",
        (NO_RECOVERY,),
        _changes("DisableKey", "EnableKey", apart=900),
        ("event-key-disabled",),
    ),
    Technique(
        "deletion",
        "The key scheduled for deletion by the deployment",
        (DESTRUCTION,),
        _changes(
            "ScheduleKeyDeletion", request={"pendingWindowInDays": 7}, by="cloudformation.amazonaws.com"
        ),
        ("event-key-deletion",),
        CRITICAL,
    ),
    Technique(
        "deletion-refused",
        "An attempt to delete the key",
        (DESTRUCTION,),
        refused_deletion,
        ("event-key-deletion",),
        LOW,
    ),
    Technique(
        "ransom",
        "The key disabled and scheduled for deletion",
        (ENCRYPTED, DESTRUCTION),
        _changes("DisableKey", "ScheduleKeyDeletion"),
        ("event-key-ransom",),
        CRITICAL,
        (7, 23),
    ),
    Technique(
        "primary",
        "Another Region made primary",
        (NO_RECOVERY,),
        _changes("UpdatePrimaryRegion", request={"primaryRegion": "ap-southeast-2"}),
        ("event-primary-region",),
        HIGH,
    ),
    Technique(
        "rotation-off",
        "Rotation turned off",
        (NO_RECOVERY,),
        _changes("DisableKeyRotation"),
        ("event-rotation-off",),
    ),
    Technique(
        "key-store",
        "The key store disconnected",
        (NO_RECOVERY,),
        _changes("DisconnectCustomKeyStore", request={"customKeyStoreId": "cks-0a1b2c3d"}, key=None),
        ("event-key-store",),
        HIGH,
    ),
)


def _bucket(*names: str, request: Request | None = None, apart: float = 60, by: str = "") -> Play:
    """Calls about the bucket that the trail delivers to."""

    def play(world: World, when: datetime) -> Iterator[Record]:
        for n, name in enumerate(names):
            yield world.bucket(name, _caller(world, by), when + timedelta(seconds=apart * n), request)

    return play


_NEXT_DAY = {"LifecycleConfiguration": {"Rule": {"Status": "Enabled", "Expiration": {"Days": 1}}}}
_COPIED = {
    "ReplicationConfiguration": {"Rule": {"Destination": {"Bucket": "arn:aws:s3:::x", "Account": FOREIGN}}}
}

TRAIL_CHANGES = (
    Technique(
        "bucket-deleted",
        "The trail's files deleted, and their bucket",
        (CLOUD_LOGS, DESTRUCTION),
        _bucket("DeleteObjects", "DeleteBucket"),
        ("event-trail-bucket-deleted",),
        CRITICAL,
    ),
    Technique(
        "files-deleted",
        "Some of the trail's files deleted",
        (CLOUD_LOGS, DESTRUCTION),
        _bucket("DeleteObject", "DeleteObject", request={"key": "AWSLogs/1.json.gz", "versionId": "v"}),
        ("event-trail-files-deleted",),
        CRITICAL,
    ),
    Technique(
        "files-expire",
        "The trail's files expire after a day",
        (CLOUD_LOGS, LIFECYCLE_DELETION),
        _bucket("PutBucketLifecycle", request=_NEXT_DAY, by="pipeline"),
        ("event-trail-bucket-expiry",),
        CRITICAL,
    ),
    Technique(
        "bucket-policy-deleted",
        "CloudTrail may not write to its bucket any more",
        (CLOUD_LOGS,),
        _bucket("DeleteBucketPolicy"),
        ("event-trail-bucket-policy",),
        CRITICAL,
    ),
    Technique(
        "bucket-opened",
        "The trail's bucket opened by its access list",
        (CLOUD_LOGS,),
        _bucket("DeleteBucketPublicAccessBlock", "PutBucketAcl", request={"x-amz-acl": "public-read"}),
        ("event-trail-bucket-opened",),
        HIGH,
    ),
    Technique(
        "bucket-copied",
        "All that the trail delivers copied to another account",
        (CLOUD_LOGS,),
        _bucket("PutBucketReplication", request=_COPIED),
        ("event-trail-bucket-unprotected",),
        HIGH,
    ),
    Technique(
        "trail-stopped",
        "The trail stopped",
        (CLOUD_LOGS,),
        _trail("StopLogging"),
        ("event-trail-stopped",),
        CRITICAL,
    ),
    Technique(
        "trail-blinked",
        "The trail stopped for ten minutes",
        (CLOUD_LOGS,),
        _trail("StopLogging", "StartLogging"),
        ("event-trail-stopped",),
        HIGH,
    ),
    Technique(
        "trail-deleted",
        "The trail deleted",
        (CLOUD_LOGS,),
        _trail("DeleteTrail", by="oncall"),
        ("event-trail-deleted",),
        CRITICAL,
    ),
    Technique(
        "kms-left-out",
        "KMS's events left out of the trail",
        (CLOUD_LOGS,),
        _trail("PutEventSelectors", request=_kms_out(excludeManagementEventSources=["kms.amazonaws.com"])),
        ("event-trail-hides-kms",),
        CRITICAL,
    ),
    Technique(
        "only-writes",
        "Only what writes is still recorded",
        (CLOUD_LOGS,),
        _trail("PutEventSelectors", request=_kms_out(readWriteType="WriteOnly")),
        ("event-trail-hides-kms",),
        HIGH,
    ),
    Technique(
        "advanced-selectors",
        "KMS's events left out by advanced selectors",
        (CLOUD_LOGS,),
        _trail("PutEventSelectors", request=_ADVANCED),
        ("event-trail-hides-kms",),
        HIGH,
    ),
    Technique(
        "other-bucket",
        "The trail's files sent elsewhere",
        (CLOUD_LOGS,),
        _trail("UpdateTrail", request={"s3BucketName": "their-bucket"}),
        ("event-trail-changed",),
        HIGH,
    ),
    Technique(
        "unreadable",
        "The trail's files encrypted under another account's key",
        (CLOUD_LOGS,),
        _trail("UpdateTrail", request={"kmsKeyId": THEIRS}),
        ("event-trail-changed",),
        CRITICAL,
    ),
    Technique(
        "one-region",
        "The trail taken out of other Regions, its files no longer signed",
        (CLOUD_LOGS,),
        _trail(
            "UpdateTrail",
            request={"isMultiRegionTrail": False, "enableLogFileValidation": False},
            by="pipeline",
        ),
        ("event-trail-changed",),
        HIGH,
    ),
    Technique(
        "data-store",
        "The event data store stopped and deleted",
        (CLOUD_LOGS,),
        _trail("StopEventDataStoreIngestion", "DeleteEventDataStore", request=_STORE),
        ("event-data-store-stopped",),
        HIGH,
    ),
)
