"""Calls that are made seldom: what each lets in or takes away; and ReEncrypt to a key of somebody else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crypto_core.findings.finding import Severity
from crypto_core.trail.rules.watched_keys import Configured
from tests.crypto_core.trail.records import ACCOUNT, KEY, OTHER_KEY, record, role
from tests.crypto_core.trail.rules.watching import FOREIGN, TRAIL, Watch, change, of, trail_call

UNGUARDED = KEY.replace("1234abcd-", "ffffffff-")
THEIRS = UNGUARDED.replace(ACCOUNT, FOREIGN)
SERVICE = role("backup", invokedBy="backup.amazonaws.com")
REHEARSED = {"errorCode": "DryRunOperationException", "errorMessage": "would have succeeded"}


def policy(*statements: tuple[str, str]) -> str:
    """A key policy: who may do what."""
    made = [
        {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": action, "Resource": "*"}
        for principal, action in statements
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": made})


OWN = (f"arn:aws:iam::{ACCOUNT}:root", "kms:*")


def rewrapped(to: str, number: int = 1, **more: Any) -> list[dict[str, Any]]:
    """Data keys of tokens wrapped anew."""
    resources = [{"accountId": arn.split(":")[4], "type": "AWS::KMS::Key", "ARN": arn} for arn in (KEY, to)]
    return [record("ReEncrypt", ago=60 + n, resources=resources, **more) for n in range(number)]


ELSEWHERE = "event-rewrapped-elsewhere"


@pytest.mark.parametrize(("to", "severity"), [(THEIRS, Severity.CRITICAL), (UNGUARDED, Severity.HIGH)])
def test_the_platforms_own_role_that_rewraps_tokens_elsewhere_is_told(
    watch: Watch, to: str, severity: Severity
) -> None:
    (found,) = of(watch(rewrapped(to, 40)), ELSEWHERE)
    assert (found.severity, found.subject) == (severity, to)
    assert "40 calls of ReEncrypt" in found.evidence
    assert (FOREIGN in found.evidence) == (to == THEIRS)


def test_a_service_that_does_it_for_somebody_is_told_as_well(watch: Watch) -> None:
    who = role("platform", invokedBy="states.amazonaws.com")
    assert of(watch(rewrapped(THEIRS, who=who)), ELSEWHERE)


@pytest.mark.parametrize(
    "records", [rewrapped(OTHER_KEY), rewrapped(KEY), rewrapped(THEIRS, errorCode="AccessDenied")]
)
def test_within_trusted_keys_and_where_it_failed_nothing_is_told(
    watch: Watch, records: list[dict[str, Any]]
) -> None:
    assert of(watch(records), ELSEWHERE) == []


@pytest.mark.parametrize("name", ["EnableKey", "CancelKeyDeletion"])
def test_a_retired_key_that_is_brought_back_is_told(watch: Watch, name: str) -> None:
    retired = Configured(KEY, (), (OTHER_KEY,))
    (found,) = of(watch([change(name, ago=60, key=OTHER_KEY)], retired), "event-key-revived")
    assert (found.severity, found.subject) == (Severity.HIGH, OTHER_KEY)
    assert len(of(watch([change(name, ago=60)], retired), "event-key-revived")) == 1


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("TagResource", "event-key-tagged"),
        ("UntagResource", "event-key-tagged"),
        ("RevokeGrant", "event-grant-withdrawn"),
        ("RetireGrant", "event-grant-withdrawn"),
    ],
)
def test_what_services_do_all_the_time_is_told_of_others(watch: Watch, name: str, rule: str) -> None:
    assert of(watch([change(name, ago=60, who=SERVICE)]), rule) == []
    request = {"tags": [{"tagKey": "team", "tagValue": "x"}], "tagKeys": ["team"], "grantId": "a-grant"}
    (found,) = of(watch([change(name, request, ago=60)]), rule)
    assert ("team" if "Tag" in name or "tag" in name else "a-grant") in found.evidence


def test_a_replica_or_a_new_key_that_lets_others_in_is_told_as_such(watch: Watch) -> None:
    mine, theirs = policy(OWN), policy(OWN, (f"arn:aws:iam::{FOREIGN}:root", "kms:Decrypt"))
    replica = {"replicaRegion": "us-east-1"}
    records = [change("ReplicateKey", replica | {"policy": theirs}, ago=60)]
    (found,) = of(watch(records), "event-key-replicated")
    assert (found.severity, FOREIGN in found.evidence) == (Severity.CRITICAL, True)
    made = [change("CreateKey", {"policy": text}, ago=60, key=UNGUARDED) for text in (mine, theirs)]
    (found,) = of(watch(made), "event-key-made-open")
    assert (found.severity, found.events) == (Severity.HIGH, (made[1]["eventID"],))


def test_key_stores_and_event_data_stores_that_are_taken_away_are_told(watch: Watch) -> None:
    store = {"customKeyStoreId": "cks-1234"}
    (found,) = of(watch([change("DisconnectCustomKeyStore", store, ago=60, key=None)]), "event-key-store")
    assert (found.severity, found.subject) == (Severity.HIGH, "cks-1234")
    arn = f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:eventdatastore/abc"
    stopped = trail_call("StopEventDataStoreIngestion", {"eventDataStore": arn}, ago=60)
    (found,) = of(watch([stopped]), "event-data-store-stopped")
    assert (found.severity, found.subject) == (Severity.HIGH, arn)
    again = trail_call("StartEventDataStoreIngestion", {"eventDataStore": arn}, ago=30)
    assert of(watch([again]), "event-data-store-stopped")[0].severity is Severity.MEDIUM
    assert of(watch([trail_call("CreateTrail", {"s3BucketName": "b"}, ago=60)]), "event-trail-made")


def test_a_trail_encrypted_under_somebody_elses_key_is_critical(watch: Watch) -> None:
    (found,) = of(watch([trail_call("UpdateTrail", {"kmsKeyId": THEIRS}, ago=60)]), "event-trail-changed")
    assert (found.severity, f"a key of account {FOREIGN}" in found.evidence) == (Severity.CRITICAL, True)


def test_a_policy_that_leaves_only_its_author_shuts_everybody_else_out(watch: Watch) -> None:
    author = f"arn:aws:iam::{ACCOUNT}:role/platform"

    def put(*statements: tuple[str, str], **more: Any) -> dict[str, Any]:
        return change("PutKeyPolicy", {"keyId": KEY, "policy": policy(*statements), **more}, ago=60)

    reader = (f"arn:aws:iam::{ACCOUNT}:role/reader", "kms:Decrypt")
    (found,) = of(watch([put((author, "kms:*"), reader)]), "event-key-policy")
    assert found.severity is Severity.CRITICAL
    assert "shut everybody else out of" in found.title
    bypassed = put(OWN, bypassPolicyLockoutSafetyCheck=True)
    (_, found) = of(watch([bypassed]), "event-key-policy")
    assert found.severity is Severity.HIGH
    assert "check against locking oneself out was bypassed" in found.evidence


def test_a_rehearsal_is_no_refusal(watch: Watch) -> None:
    request = {"granteePrincipal": f"arn:aws:iam::{ACCOUNT}:role/x", "operations": ["Decrypt"]}
    (found,) = of(watch([change("CreateGrant", request, ago=60, **REHEARSED)]), "event-key-grant")
    assert found.title.startswith("role/platform rehearsed: ")
    assert "a rehearsal (DryRun)" in found.evidence
    assert "refused" not in found.evidence


def test_a_selector_that_takes_all_again_lowers_the_alarm_by_whichever_name_the_trail_was_called(
    watch: Watch,
) -> None:
    without = {"eventSelectors": [{"readWriteType": "All", "includeManagementEvents": False}]}
    whole = {"eventSelectors": [{"readWriteType": "All", "includeManagementEvents": True}]}
    hidden = trail_call("PutEventSelectors", without | {"trailName": TRAIL}, ago=90)
    (before,) = of(watch([hidden]), "event-trail-hides-kms")
    name = TRAIL.rsplit("/", 1)[-1]
    (after,) = of(
        watch([trail_call("PutEventSelectors", whole | {"name": name}, ago=30)]), "event-trail-hides-kms"
    )
    assert (after.subject, after.severity.rank) == (before.subject, before.severity.rank + 1)
    again = trail_call("PutEventSelectors", without | {"name": name}, ago=10)
    (last,) = of(watch([again]), "event-trail-hides-kms")
    assert last.severity is before.severity


def test_an_endpoint_that_denies_is_a_denial(watch: Watch) -> None:
    denied = [
        record(name, ago=60, errorCode="VpceAccessDenied", errorMessage="no")
        for name in ("Decrypt", "DescribeKey", "ListGrants")
    ]
    assert of(watch(denied), "event-failed-burst")
