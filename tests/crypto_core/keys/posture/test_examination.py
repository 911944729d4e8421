"""The posture as a whole: what may not be read is told by key and action, and nothing is made of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest

from console.container import Container
from console.sandbox import access_keys
from console.sandbox.endpoint import Fault
from console.sandbox.endpoint.scenario import PastCall
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.keys.posture.examination import Posture
from crypto_core.keys.posture.pace import CallerPace
from crypto_core.values.errors import InterruptedRunError, KmsUnreachableError
from tests.crypto_core.keys.posture.conftest import Endpoint, key_id

SANDBOX = pytest.mark.parametrize("aws", ["sandbox"], indirect=True)


def gap_of(posture: Posture, *words: str) -> Gap:
    (found,) = [g for g in posture.gaps if all(word in g.reason for word in words)]
    return found


def rules(posture: Posture, subject: str) -> set[str]:
    return {f.rule for f in posture.findings if f.subject == subject}


def test_the_sandbox_as_it_is_generated(services: Container, world: World) -> None:
    posture = services.services.posture.examine_keys()
    aged = {"kms-material-old", "kms-single-region"}
    assert rules(posture, world.current_key.arn) == rules(posture, world.old_key.arn) == aged
    ranks = [f.severity.rank for f in posture.findings]
    assert ranks == sorted(ranks)
    (old,) = [
        f for f in posture.findings if (f.rule, f.subject) == ("kms-material-old", world.current_key.arn)
    ]
    on_first = sum(
        n for (key, m), n in world.by_key.items() if m == world.current_key.material_ids[0] and key
    )
    assert f"{on_first} on material 1 ({world.current_key.material_ids[0][:8]}), 900 days old" in old.evidence
    assert "material 2" not in old.evidence


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("action", "part", "hides"),
    [
        ("kms:GetKeyRotationStatus", "rotation", "medium"),
        ("kms:GetKeyPolicy", "policy", "critical"),
        ("kms:ListGrants", "grants", "critical"),
        ("kms:DescribeKey", "state", "critical"),
        ("kms:ListKeyRotations", "age of the key material", "medium"),
    ],
)
def test_a_missing_permission_names_key_and_action(
    services: Container, world: World, deny: Callable[..., None], action: str, part: str, hides: str
) -> None:
    key = world.current_key.arn
    before = services.services.posture.examine_keys()
    deny(action, resource=key)
    posture = services.services.posture.examine_keys()
    found = gap_of(posture, f"{key}: {part}", f"{action} is not allowed")
    assert found.hides.value == hides
    assert posture.examined is (hides == "medium")
    assert {f.rule for f in posture.findings} <= {f.rule for f in before.findings}


def test_a_last_use_that_may_not_be_read_is_told_for_the_old_key(
    services: Container, world: World, deny: Callable[..., None]
) -> None:
    deny("kms:GetKeyLastUsage")
    reason = f"{world.old_key.arn}: last use: kms:GetKeyLastUsage is not allowed"
    assert gap_of(services.services.posture.examine_keys(), reason).hides is Severity.MEDIUM


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("action", "where"),
    [
        ("cloudtrail:DescribeTrails", "eu-west-1: trails"),
        ("cloudtrail:GetTrailStatus", "trail/account-trail: status"),
        ("cloudtrail:GetEventSelectors", "trail/account-trail: event selectors"),
    ],
)
def test_trails_that_may_not_be_looked_at_are_no_trails_in_order(
    services: Container, deny: Callable[..., None], action: str, where: str
) -> None:
    assert services.services.posture.examine_keys().examined
    deny(action)
    posture = services.services.posture.examine_keys()
    assert gap_of(posture, where, f"{action} is not allowed").hides is Severity.HIGH
    assert not posture.well
    assert not [f for f in posture.findings if f.rule.startswith("trail-")]


def test_keys_that_may_not_be_listed_leave_those_that_are_known(
    services: Container, world: World, deny: Callable[..., None]
) -> None:
    deny("kms:ListKeys")
    posture = services.services.posture.examine_keys()
    assert rules(posture, world.current_key.arn) == {"kms-material-old", "kms-single-region"}
    assert gap_of(posture, "eu-west-1: other keys", "kms:ListKeys is not allowed").hides is Severity.MEDIUM


def test_a_region_that_is_down_is_a_gap_and_the_others_are_examined(
    environment: dict[str, str], world: World, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYDECK_REGIONS", "eu-west-1,us-east-1")
    sandbox.control.add_fault(Fault("*", "reset", region="us-east-1"))
    try:
        with closing(Container(load().settings)) as container:
            posture = container.services.posture.examine_keys()
    finally:
        sandbox.control.clear()
    assert rules(posture, world.current_key.arn) == {"kms-material-old", "kms-single-region"}
    assert gap_of(posture, "us-east-1: keys", "No answer").hides is Severity.HIGH
    assert gap_of(posture, "us-east-1: trails", "No answer").hides is Severity.HIGH
    assert not posture.well


def test_a_key_that_tokens_were_found_under_is_examined_though_nobody_named_it(
    environment: dict[str, str], world: World, deny: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEYDECK_TRUSTED_KEYS")
    deny("kms:ListKeys")
    container = Container(load().settings)
    posture = container.services.posture.examine_keys()
    container.close()
    assert "kms-material-old" in rules(posture, world.old_key.arn)


def test_without_the_database_the_keys_are_examined_and_tokens_are_not_counted(
    services: Container, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://operator@127.0.0.1:1/tokens")
    container = Container(load().settings)
    posture = container.services.posture.examine_keys()
    container.close()
    assert gap_of(posture, "Tokens are not counted").hides is Severity.CRITICAL
    (found,) = [f for f in posture.findings if f.subject == world.current_key.arn]
    assert found.rule == "kms-single-region"
    assert "tokens under it could not be counted" in found.evidence
    assert not posture.examined


def test_without_aws_there_is_no_posture(services: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    container = Container(load().settings)
    with pytest.raises(KmsUnreachableError):
        container.services.posture.examine_keys()
    container.close()


def test_a_cloudtrail_that_fails_is_a_gap_in_its_own_name(services: Container, sandbox: Sandbox) -> None:
    sandbox.control.add_fault(Fault("DescribeTrails", "InternalFailure"))
    found = gap_of(services.services.posture.examine_keys(), "eu-west-1: trails")
    assert "CloudTrail failed internally at DescribeTrails" in found.reason


def test_it_can_be_cancelled(services: Container) -> None:
    cancelled = Event()
    cancelled.set()
    with pytest.raises(InterruptedRunError):
        services.services.posture.examine_keys(cancelled=cancelled)
    status = services.services.status.take_census()
    with pytest.raises(InterruptedRunError):
        services.services.posture.examine_keys(status=status, cancelled=cancelled)


def test_it_changes_nothing_and_asks_only_what_may_be_asked(
    environment: dict[str, str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYDECK_READ_ONLY", "true")
    before = dict(sandbox.control.stats().calls)
    container = Container(load().settings)
    assert container.services.posture.examine_keys().examined
    container.close()
    called = {name for name, n in sandbox.control.stats().calls.items() if n > before.get(name, 0)}
    verbs = {name.partition(":")[2] for name in called}
    assert {"ListKeys", "GetKeyPolicy", "DescribeTrails", "GetEventSelectors", "GetTrailStatus"} <= verbs
    assert not {v for v in verbs if not v.startswith(("Describe", "Get", "List", "Decrypt"))}


def test_what_a_status_does_not_cover_may_hide_anything(
    services: Container, deny: Callable[..., None]
) -> None:
    deny("kms:Decrypt")
    posture = services.services.posture.examine_keys()
    reasons = services.services.status.take_census().coverage.reasons
    assert reasons
    assert set(reasons) <= set(posture.coverage.reasons)
    assert not posture.examined


@SANDBOX
def test_grants_are_examined_where_the_policy_may_not_be_read(
    aws: Endpoint, deny: Callable[..., None]
) -> None:
    key = aws.key()
    opened = {"Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"}
    root = "arn:aws:iam::123456789012:root"
    aws.put_policy(key, opened, opened | {"Principal": {"AWS": root}, "Action": "kms:*"})
    aws.kms.create_grant(KeyId=key_id(key), GranteePrincipal=root, Operations=["Decrypt"])
    aws.configure(TOKEN_ENCRYPTION_KEY_ID=key)
    worst_first = [f.rule for f in aws.examine().findings if f.subject == key]
    assert worst_first == ["kms-key-public", "kms-grant-wide", "kms-rotation-off", "kms-single-region"]
    deny("kms:GetKeyPolicy", resource=key)
    assert set(aws.findings(key)) == {"kms-grant-wide", "kms-rotation-off", "kms-single-region"}


@SANDBOX
def test_data_keys_made_under_the_old_key_are_told(aws: Endpoint, sandbox: Sandbox) -> None:
    old, new = aws.key(), aws.key()
    now = datetime.now(UTC)
    for key, days in ((old, 400), (new, 100)):
        sandbox.control.backdate(key, created=now - timedelta(days=days))
    aws.configure(TOKEN_ENCRYPTION_KEY_ID=new, KEYDECK_TRUSTED_KEYS=old)

    def used(operation: str, days: int) -> None:
        moment = now - timedelta(days=days)
        sandbox.control.history([PastCall(moment, access_keys.PLATFORM, operation, old)])

    used("GenerateDataKey", 40)
    assert "kms-old-key-in-use" not in aws.findings(old)
    used("GenerateDataKey", 3)
    assert "GenerateDataKey at" in aws.findings(old)["kms-old-key-in-use"].evidence
    used("Decrypt", 2)
    assert "kms-old-key-in-use" not in aws.findings(old)


@SANDBOX
def test_a_write_key_named_by_its_alias_is_found(aws: Endpoint) -> None:
    key, alias = aws.key(), "alias/posture-write"
    aws.kms.create_alias(AliasName=alias, TargetKeyId=key_id(key))
    aws.configure(TOKEN_ENCRYPTION_KEY_ID=alias)
    assert "kms-single-region" in aws.findings(key)
    aws.kms.delete_alias(AliasName=alias)
    assert gap_of(aws.examine(), f"{alias}: which key it names").hides is Severity.HIGH


@SANDBOX
@pytest.mark.parametrize("size", [40_000, 10_000_000])
def test_a_policy_too_large_to_be_one_is_a_gap(aws: Endpoint, size: int) -> None:
    key = aws.key()
    aws.answer_policy(key, {"Sid": "x" * size, "Effect": "Allow", "Principal": "*", "Action": "kms:*"})
    posture = aws.examine()
    assert "larger than 32,768 bytes" in gap_of(posture, f"{key}: policy").reason
    assert "kms-key-public" not in rules(posture, key)


def test_what_is_not_covered_decides_whether_all_is_well() -> None:
    now = datetime.now(UTC)

    def said(severity: Severity) -> Finding:
        return Finding("rule", severity, "subject", "title", "evidence", "remedy")

    assert Posture(now, ()).well
    for severity, well in zip(Severity, (False, False, True, True, True), strict=True):
        assert Posture(now, (said(severity),)).well is well
        assert Posture(now, (), (Gap("why", severity),)).well is well
        assert Posture(now, (said(severity),)).examined


def test_the_pace_lets_through_so_many_a_second() -> None:
    moment, rested = [0.0], []

    def rest(_: Event, seconds: float) -> None:
        rested.append(seconds)

    pace = CallerPace(50, clock=lambda: moment[0], rest=rest)
    for _ in range(3):
        pace.wait()
    assert rested == pytest.approx([0.02, 0.04])
    moment[0] = 5.0
    pace.wait()
    assert len(rested) == 2
    cancelled = Event()
    cancelled.set()
    with pytest.raises(InterruptedRunError):
        pace.wait(cancelled)


def test_grants_that_are_known_are_not_asked_again(
    services: Container, sandbox: Sandbox, world: World
) -> None:
    state = services.services.keys.show(world.current_key.arn)
    before = dict(sandbox.control.stats().calls).get("kms:ListGrants", 0)
    policy = services.services.policies.of(replace(state, grants=()))
    assert (policy.grants, policy.missing) == ((), {})
    assert dict(sandbox.control.stats().calls).get("kms:ListGrants", 0) == before
