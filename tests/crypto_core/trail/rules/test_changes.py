"""Changes of keys, of who may use them, and of the trails that record it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crypto_core.findings.finding import Severity
from crypto_core.trail.rules.watched_keys import Configured
from tests.crypto_core.trail.records import ACCOUNT, KEY, OTHER_KEY, record, role
from tests.crypto_core.trail.rules.watching import (
    CONFIGURED,
    DAY,
    FOREIGN,
    TRAIL,
    Watch,
    change,
    of,
    trail_call,
)

UNGUARDED = KEY.replace("1234abcd-", "ffffffff-")
DENIED = {"errorCode": "AccessDenied", "errorMessage": "not authorized"}

CHANGES = [
    ("DisableKey", {}, "event-key-disabled", Severity.HIGH),
    ("ScheduleKeyDeletion", {"pendingWindowInDays": 30}, "event-key-deletion", Severity.HIGH),
    ("ScheduleKeyDeletion", {"pendingWindowInDays": 7}, "event-key-deletion", Severity.CRITICAL),
    ("ScheduleKeyDeletion", {}, "event-key-deletion", Severity.HIGH),
    ("DeleteImportedKeyMaterial", {}, "event-material-deleted", Severity.CRITICAL),
    ("ImportKeyMaterial", {}, "event-material-imported", Severity.HIGH),
    ("DisableKeyRotation", {}, "event-rotation-off", Severity.MEDIUM),
    ("UpdatePrimaryRegion", {"primaryRegion": "us-east-1"}, "event-primary-region", Severity.HIGH),
    ("ReplicateKey", {"replicaRegion": "us-east-1"}, "event-key-replicated", Severity.HIGH),
]


@pytest.mark.parametrize(("name", "request_", "rule", "severity"), CHANGES)
def test_a_change_of_a_key_is_told(
    watch: Watch, name: str, request_: dict[str, Any], rule: str, severity: Severity
) -> None:
    mine = change(name, request_, ago=60)
    (found,) = of(watch([mine]), rule)
    assert (found.severity, found.subject, found.events) == (severity, KEY, (mine["eventID"],))
    assert found.title.startswith("role/platform ")
    assert "tried" not in found.title
    assert found.techniques


@pytest.mark.parametrize(("name", "request_", "rule", "severity"), CHANGES)
def test_an_attempt_is_told_two_degrees_less(
    watch: Watch, name: str, request_: dict[str, Any], rule: str, severity: Severity
) -> None:
    (found,) = of(watch([change(name, request_, ago=60, **DENIED)]), rule)
    assert found.severity.rank == min(severity.rank + 2, Severity.LOW.rank)
    assert found.title.startswith("role/platform tried: ")
    assert "refused with AccessDenied" in found.evidence


@pytest.mark.parametrize(("name", "request_", "rule", "severity"), CHANGES)
def test_a_key_that_guards_no_tokens_is_two_degrees_less(
    watch: Watch, name: str, request_: dict[str, Any], rule: str, severity: Severity
) -> None:
    (found,) = of(watch([change(name, request_, ago=60, key=UNGUARDED)]), rule)
    assert found.severity is severity.lowered(2)


def test_reads_and_what_turns_things_on_are_no_changes(watch: Watch) -> None:
    names = (
        "DescribeKey",
        "EnableKey",
        "EnableKeyRotation",
        "CancelKeyDeletion",
        "GetKeyPolicy",
    )
    assert watch([change(name, ago=60) for name in names]).findings == ()


def test_cloudformation_changes_keys_for_whoever_tells_it_to(watch: Watch) -> None:
    who = role("deploy", invokedBy="cloudformation.amazonaws.com")
    (found,) = of(watch([change("DisableKey", ago=60, who=who)]), "event-key-disabled")
    assert "through cloudformation.amazonaws.com" in found.evidence


@pytest.mark.parametrize(
    ("name", "undo", "rule"),
    [
        ("DisableKey", "EnableKey", "event-key-disabled"),
        ("ScheduleKeyDeletion", "CancelKeyDeletion", "event-key-deletion"),
        ("DisableKeyRotation", "EnableKeyRotation", "event-rotation-off"),
    ],
)
def test_what_was_undone_since_is_one_degree_less(watch: Watch, name: str, undo: str, rule: str) -> None:
    (before,) = of(watch([change(name, ago=600), change(undo, ago=700)]), rule)
    assert "undone" not in before.evidence
    (after,) = of(watch([change(undo, ago=60)]), rule)
    assert f"undone since by {undo}" in after.evidence
    assert after.severity.rank == before.severity.rank + 1
    (again,) = of(watch([change(name, ago=30)]), rule)
    assert "undone" not in again.evidence


RANSOM = "event-key-ransom"


def test_a_key_disabled_and_then_to_be_deleted_is_held_to_ransom(watch: Watch) -> None:
    both = [change("DisableKey", ago=100), change("ScheduleKeyDeletion", {"pendingWindowInDays": 7}, ago=40)]
    (found,) = of(watch(both), RANSOM)
    assert (found.severity, found.subject) == (Severity.CRITICAL, KEY)
    assert "ScheduleKeyDeletion 60 s later" in found.evidence
    assert set(found.events) == {one["eventID"] for one in both}


@pytest.mark.parametrize(
    "records",
    [
        [change("DisableKey", ago=40), change("ScheduleKeyDeletion", ago=100)],
        [change("DisableKey", ago=2 * DAY), change("ScheduleKeyDeletion", ago=40)],
        [change("DisableKey", ago=100, key=OTHER_KEY), change("ScheduleKeyDeletion", ago=40)],
        [change("DisableKey", ago=100, **DENIED), change("ScheduleKeyDeletion", ago=40)],
        [change("DisableKey", ago=100), change("ScheduleKeyDeletion", ago=40, **DENIED)],
    ],
    ids=["the other way round", "days apart", "another key", "not disabled", "not scheduled"],
)
def test_what_is_no_ransom(watch: Watch, records: list[dict[str, Any]]) -> None:
    assert of(watch(records), RANSOM) == []


def test_a_retired_key_may_be_disabled_and_deleted(watch: Watch) -> None:
    retired = Configured(KEY, (), (OTHER_KEY,))
    examined = watch(
        [change("DisableKey", ago=100, key=OTHER_KEY), change("ScheduleKeyDeletion", ago=40, key=OTHER_KEY)],
        retired,
    )
    assert {f.rule: f.severity for f in examined.findings} == {
        "event-key-disabled": Severity.LOW,
        "event-key-deletion": Severity.MEDIUM,
        RANSOM: Severity.MEDIUM,
    }


@pytest.mark.parametrize(("days", "severity"), [(30, Severity.LOW), (7, Severity.MEDIUM)])
def test_another_applications_key_may_be_retired_with_all_its_waiting_time(
    watch: Watch, days: int, severity: Severity
) -> None:
    waiting = change("ScheduleKeyDeletion", {"pendingWindowInDays": days}, ago=40, key=UNGUARDED)
    (found,) = of(watch([change("DisableKey", ago=100, key=UNGUARDED), waiting]), RANSOM)
    assert found.severity is severity
    (found,) = of(
        watch([change("DisableKey", ago=99), waiting | change("ScheduleKeyDeletion", ago=40)]), RANSOM
    )[:1]
    assert (found.severity, found.subject) == (Severity.CRITICAL, KEY)


ALIAS = "event-alias-changed"


def alias(name: str, alias_: str = "alias/tokens", **more: Any) -> dict[str, Any]:
    """A change of an alias."""
    request = {"aliasName": alias_, "targetKeyId": OTHER_KEY}
    return change(name, request, key=None, **({"ago": 60} | more))


def test_an_alias_that_matters_pointed_elsewhere_is_told(watch: Watch) -> None:
    (found,) = of(watch([alias("UpdateAlias")]), ALIAS)
    assert (found.severity, found.subject) == (Severity.HIGH, "alias/tokens")
    assert f"alias/tokens to {OTHER_KEY}" in found.evidence
    found = of(watch([alias("DeleteAlias")]), ALIAS)[0]
    assert found.severity is Severity.HIGH


def test_other_aliases_are_low_and_new_ones_only_told_of_keys_that_guard_tokens(watch: Watch) -> None:
    (found,) = of(watch([alias("UpdateAlias", "alias/reports")]), ALIAS)
    assert found.severity is Severity.LOW
    elsewhere = change("CreateAlias", {"aliasName": "alias/new"}, ago=60, key=UNGUARDED)
    assert of(watch([elsewhere]), ALIAS) == [found]
    _, new = sorted(
        of(watch([alias("CreateAlias", "alias/new")]), ALIAS), key=lambda f: f.subject, reverse=True
    )
    assert (new.severity, new.subject) == (Severity.LOW, "alias/new")


def policy(*statements: dict[str, Any]) -> str:
    """A key policy; the account's own statement is always there."""
    own = statement({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "kms:*")
    return json.dumps({"Version": "2012-10-17", "Statement": [own, *statements]})


def statement(principal: Any, action: str, **more: Any) -> dict[str, Any]:
    """A statement that allows."""
    return {"Sid": "S", "Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*"} | more


POLICY = "event-key-policy"


def put(text: object, **more: Any) -> dict[str, Any]:
    """A replaced policy."""
    return change("PutKeyPolicy", {"keyId": KEY, "policy": text}, **({"ago": 60} | more))


def test_another_account_is_critical_unless_it_is_expected(watch: Watch) -> None:
    text = policy(statement({"AWS": f"arn:aws:iam::{FOREIGN}:role/x"}, "kms:Decrypt"))
    (found,) = of(watch([put(text)]), POLICY)
    assert found.severity is Severity.CRITICAL
    assert f"lets in account {FOREIGN}" in found.evidence
    expected = Configured(KEY, accounts=frozenset({FOREIGN}))
    assert [f.severity for f in of(watch([], expected), POLICY)] == [Severity.MEDIUM]


def test_what_a_policy_changes_is_told_from_the_last_one_known(watch: Watch) -> None:
    ana = statement({"AWS": f"arn:aws:iam::{ACCOUNT}:role/ana"}, "kms:Decrypt")
    before = put(policy(), ago=9 * DAY)
    refused = put(policy(ana), ago=2 * DAY, **DENIED)
    (found,) = of(watch([before, refused, put(policy(ana))]), POLICY)
    assert "since 2026-11-16 12:00 UTC: role/ana gains: " in found.evidence


OWN = {"StringEquals": {"kms:CallerAccount": ACCOUNT}}
UNREADABLE = ("{", "[]", None, 5, ["x"], "[" * 50_000, '{"Statement": "[/red]\x1b[2J"}')


@pytest.mark.parametrize(
    ("text", "severity", "says"),
    [
        (policy(statement("*", "kms:Decrypt")), Severity.CRITICAL, "open to everybody by S"),
        (policy(statement("*", "kms:Decrypt", Condition=OWN)), Severity.MEDIUM, ""),
        (policy(), Severity.MEDIUM, "the policy before is not in the store"),
        *((text, Severity.HIGH, "") for text in UNREADABLE),
    ],
)
def test_a_policy_is_as_bad_as_what_it_lets_in_and_one_that_cannot_be_read_is_high(
    watch: Watch, text: object, severity: Severity, says: str
) -> None:
    (found,) = of(watch([put(text)]), POLICY)
    assert found.severity is severity
    assert (found.title == "role/platform opened alias/tokens to everybody") is (
        severity is Severity.CRITICAL
    )
    assert says in found.evidence
    assert "\x1b" not in found.evidence


GRANT = "event-key-grant"


def grant(grantee: object, operations: object = ("Decrypt",), **more: Any) -> dict[str, Any]:
    """A grant."""
    request = {"granteePrincipal": grantee, "operations": list(operations)}  # type: ignore[call-overload]
    return change("CreateGrant", request, **({"ago": 60} | more))


def test_a_grant_is_told_with_grantee_and_operations(watch: Watch) -> None:
    (found,) = of(watch([grant(f"arn:aws:iam::{ACCOUNT}:role/legacy", ("Decrypt", "CreateGrant"))]), GRANT)
    assert found.severity is Severity.HIGH
    assert "operations Decrypt, CreateGrant; to arn:aws:iam::" in found.evidence


def test_a_grant_to_another_account_is_critical_and_a_harmless_one_less(watch: Watch) -> None:
    (found,) = of(watch([grant(f"arn:aws:iam::{FOREIGN}:role/x")]), GRANT)
    assert found.severity is Severity.CRITICAL
    assert "of another account" in found.evidence
    mine = of(watch([grant(f"arn:aws:iam::{ACCOUNT}:role/y", ("DescribeKey",))]), GRANT)
    assert [f.severity for f in mine] == [Severity.CRITICAL, Severity.MEDIUM]


def test_what_services_grant_is_noise_unless_it_goes_elsewhere(watch: Watch) -> None:
    who = role("app", invokedBy="ec2.amazonaws.com")
    assert of(watch([grant(f"arn:aws:iam::{ACCOUNT}:role/disk", who=who)]), GRANT) == []
    (found,) = of(watch([grant(f"arn:aws:iam::{FOREIGN}:role/disk", who=who)]), GRANT)
    assert found.severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("name", "rule", "severity"),
    [
        ("StopLogging", "event-trail-stopped", Severity.CRITICAL),
        ("DeleteTrail", "event-trail-deleted", Severity.CRITICAL),
        ("UpdateTrail", "event-trail-changed", Severity.MEDIUM),
    ],
)
def test_a_trail_that_is_blinded_is_told(watch: Watch, name: str, rule: str, severity: Severity) -> None:
    (found,) = of(watch([trail_call(name, ago=60)]), rule)
    assert (found.severity, found.subject) == (severity, TRAIL)
    assert found.techniques == ("T1685.002",)
    attempts = of(watch([trail_call(name, ago=60, **DENIED)]), rule)
    assert Severity.LOW in [f.severity for f in attempts] or Severity.MEDIUM in [f.severity for f in attempts]
    assert len(attempts) == 2


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_a_trail_that_is_started_again_is_less(watch: Watch, region: str, partition: str) -> None:
    arn = f"arn:{partition}:cloudtrail:{region}:{ACCOUNT}:trail/management"
    stopped = trail_call("StopLogging", {"name": "management"}, ago=60, awsRegion=region)
    started = trail_call("StartLogging", {"name": arn}, ago=30, awsRegion=region)
    (found,) = of(watch([stopped, started]), "event-trail-stopped")
    assert (found.severity, found.subject) == (Severity.HIGH, arn)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"isMultiRegionTrail": False}, "no longer in all Regions"),
        ({"enableLogFileValidation": False}, "files can be forged"),
        ({"s3BucketName": "elsewhere"}, "s3BucketName elsewhere"),
    ],
)
def test_a_trail_that_tells_less_or_elsewhere_is_worse(
    watch: Watch, request_: dict[str, Any], words: str
) -> None:
    (found,) = of(watch([trail_call("UpdateTrail", request_, ago=60)]), "event-trail-changed")
    assert found.severity is Severity.HIGH
    assert words in found.evidence


def basic(**more: Any) -> dict[str, Any]:
    """Basic selectors."""
    return {"eventSelectors": [{"readWriteType": "All", "includeManagementEvents": True} | more]}


def advanced(*fields: dict[str, Any]) -> dict[str, Any]:
    """Advanced selectors."""
    category = {"field": "eventCategory", "equals": ["Management"]}
    return {"advancedEventSelectors": [{"name": "x", "fieldSelectors": [category, *fields]}]}


KMS = "kms.amazonaws.com"
HIDES = "event-trail-hides-kms"


@pytest.mark.parametrize(
    ("request_", "severity"),
    [
        (basic(excludeManagementEventSources=[KMS]), Severity.CRITICAL),
        (basic(includeManagementEvents=False), Severity.CRITICAL),
        (basic(readWriteType="ReadOnly"), Severity.HIGH),
        (advanced({"field": "eventSource", "notEquals": [KMS]}), Severity.CRITICAL),
    ],
)
def test_selectors_that_hide_kms_are_told(watch: Watch, request_: dict[str, Any], severity: Severity) -> None:
    (found,) = of(watch([trail_call("PutEventSelectors", {"trailName": TRAIL} | request_, ago=60)]), HIDES)
    assert (found.severity, found.subject) == (severity, TRAIL)
    assert "leave out KMS events" in found.title


@pytest.mark.parametrize(
    "request_", [basic(), advanced({"field": "eventSource", "notEquals": ["rdsdata.amazonaws.com"]})]
)
def test_selectors_that_take_all_of_kms_are_not(watch: Watch, request_: dict[str, Any]) -> None:
    assert of(watch([trail_call("PutEventSelectors", request_, ago=60)]), HIDES) == []


@pytest.mark.parametrize(
    "hostile",
    [
        {"eventSelectors": "x"},
        {"eventSelectors": [5, None, {"readWriteType": ["x"], "excludeManagementEventSources": 7}]},
        {"advancedEventSelectors": [{"fieldSelectors": [{"field": {}, "equals": [{}, 5]}]}, "x"]},
        {"advancedEventSelectors": {"fieldSelectors": []}},
    ],
)
def test_hostile_selectors_harm_nothing(watch: Watch, hostile: dict[str, Any]) -> None:
    watch([trail_call("PutEventSelectors", hostile, ago=60)])


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "hostile", ["[/red]", "\x1b[2J\x1b]52;c;eA==\x07", "\u202eevil", "x" * 100_000, "'\"%_\\"]
)
def test_hostile_text_in_every_field_comes_out_as_clean_text(watch: Watch, hostile: str) -> None:
    names = [name for name, *_ in CHANGES] + ["PutKeyPolicy", "CreateGrant", "UpdateAlias", "Decrypt"]
    names += ["ReEncrypt", "CreateKey", "CreateAlias", "TagResource", "RevokeGrant", "UpdateCustomKeyStore"]
    records = [
        record(
            name,
            ago=60,
            who={"type": hostile, "arn": hostile, "invokedBy": hostile, "accountId": hostile},
            sourceIPAddress=hostile,
            userAgent=hostile,
            requestParameters=dict.fromkeys(
                (
                    *(
                        "policy",
                        "granteePrincipal",
                        "operations",
                        "aliasName",
                        "pendingWindowInDays",
                        "keyId",
                    ),
                    *("replicaRegion", "tags", "tagKeys", "grantId", "customKeyStoreId", "targetKeyId"),
                ),
                hostile,
            ),
            **({"errorCode": hostile} if failed else {}),
        )
        for name in names
        for failed in (False, True)
    ]
    request_ = dict.fromkeys(("name", "s3BucketName", "kmsKeyId", "eventDataStore"), hostile)
    calls = ("StopLogging", "UpdateTrail", "CreateTrail", "DeleteEventDataStore")
    trails = [trail_call(name, request_, ago=60) for name in calls]
    examined = watch([*records, *trails], CONFIGURED)
    assert len(examined.findings) > 8
    for finding in examined.findings:
        for text in (finding.subject, finding.title, finding.evidence):
            assert text.isprintable()
            assert len(text) <= 1_000
