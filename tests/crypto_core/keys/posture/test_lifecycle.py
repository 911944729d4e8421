"""Keys that tokens may lose, and keys that nothing depends on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from crypto_core.findings.finding import Finding, Severity
from crypto_core.keys.posture.lifecycle import (
    disabled,
    pending_deletion,
    single_region,
    state_unknown,
    unusable,
)
from tests.crypto_core.keys.posture.samples import NOW, arn, ask, facts, finding, gap

PENDING: dict[str, Any] = {"state": "PendingDeletion", "deletion_at": NOW + timedelta(days=9, hours=1)}


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        ({"tokens": 4}, Severity.CRITICAL),
        ({"tokens": 0, "writes": True}, Severity.CRITICAL),
        ({"tokens": None}, Severity.HIGH),
        ({"tokens": 0}, Severity.LOW),
        ({"tokens": 0, "trusted": True}, Severity.LOW),
        ({"tokens": 4, "primary_arn": arn(9)}, Severity.HIGH),
        ({"tokens": 4, "state": "PendingReplicaDeletion"}, Severity.CRITICAL),
    ],
)
def test_a_key_pending_deletion_is_as_bad_as_what_is_lost(fields: dict[str, Any], severity: Severity) -> None:
    found = finding(pending_deletion, facts(**(PENDING | fields)))
    assert (found.rule, found.severity) == ("kms-key-pending-deletion", severity)
    assert "deleted on 2026-12-04, in 9 days" in found.evidence
    assert ("while it guards tokens" in found.title) is (severity is not Severity.LOW)
    assert found.remedy.startswith("Cancel the deletion") is (severity is not Severity.LOW)
    assert ask(disabled, facts(**(PENDING | fields))) == []
    assert ask(unusable, facts(**(PENDING | fields))) == []


@pytest.mark.parametrize(
    ("state", "tokens", "rule", "severity", "remedy"),
    [
        ("Disabled", 1, "kms-key-disabled", Severity.HIGH, "Enable it"),
        ("Disabled", None, "kms-key-disabled", Severity.HIGH, "Enable it"),
        ("Disabled", 0, "kms-key-disabled", Severity.LOW, "Schedule its deletion"),
        ("Creating", 1, "kms-key-unusable", Severity.HIGH, "KMS is still making it"),
        ("Unavailable", 1, "kms-key-unusable", Severity.HIGH, "Bring the key back"),
        ("PendingImport", 1, "kms-key-unusable", Severity.HIGH, "Bring the key back"),
        ("NotFound", 1, "kms-key-unusable", Severity.CRITICAL, "Look for the key"),
        ("NotFound", None, "kms-key-unusable", Severity.HIGH, "Look for the key"),
    ],
)
def test_a_key_that_does_not_open_is_told(
    state: str, tokens: int | None, rule: str, severity: Severity, remedy: str
) -> None:
    about = facts(state=state, tokens=tokens)
    (found,) = (*ask(disabled, about), *ask(unusable, about))
    assert isinstance(found, Finding)
    assert found.remedy.startswith(remedy)
    assert ("not used" in found.title) is (tokens == 0)
    assert ("does not exist" in found.title) is (state == "NotFound")
    assert (found.rule, found.severity, found.subject) == (rule, severity, arn())
    assert state in found.evidence


@pytest.mark.parametrize(
    ("state", "tokens"),
    [("Enabled", 9), ("Creating", 0), ("Updating", 9), ("Unavailable", 0), ("PendingImport", 0)],
)
def test_other_states_are_no_finding(state: str, tokens: int) -> None:
    assert ask(disabled, facts(state=state, tokens=tokens)) == []
    assert ask(unusable, facts(state=state, tokens=tokens)) == []
    assert ask(pending_deletion, facts(state=state, tokens=tokens)) == []


def test_keys_of_aws_come_and_go_by_themselves() -> None:
    assert ask(pending_deletion, facts(**PENDING, tokens=0, manager="AWS")) == []
    assert ask(disabled, facts(state="Disabled", tokens=0, manager="AWS")) == []


def test_a_key_that_may_not_be_described_is_a_gap_as_bad_as_its_tokens() -> None:
    about = facts(state=None, tokens=2)
    about.key.missing["state"] = "kms:DescribeKey is not allowed"
    (found,) = state_unknown(about)
    assert found.reason == f"{arn()}: state: kms:DescribeKey is not allowed"
    assert found.hides is Severity.CRITICAL
    assert [g.hides for g in state_unknown(facts(state=None, tokens=0))] == [Severity.MEDIUM]
    for rule in (pending_deletion, disabled, unusable):
        assert ask(rule, about) == []


PRIMARY = arn(multi=True)
REPLICA = arn(1, "us-east-1", multi=True)


def test_tokens_under_a_single_region_key_are_told_as_low() -> None:
    found = finding(single_region, facts(tokens=6))
    assert (found.rule, found.severity) == ("kms-single-region", Severity.LOW)
    assert "a single-Region key in eu-west-1; 6 tokens" in found.evidence
    assert "can't become one" in found.remedy


def test_a_primary_without_a_replica_is_alone_too() -> None:
    found = finding(single_region, facts(key_arn=PRIMARY, multi_region=True, primary_arn=PRIMARY, tokens=1))
    assert "a multi-Region primary without a replica" in found.evidence
    assert "keydeck keys replicate" in found.remedy


@pytest.mark.parametrize(
    "fields",
    [
        {"key_arn": PRIMARY, "multi_region": True, "primary_arn": PRIMARY, "replica_arns": (REPLICA,)},
        {"key_arn": REPLICA, "multi_region": True, "primary_arn": PRIMARY, "region": "us-east-1"},
        {"tokens": 0},
        {"manager": "AWS"},
        {"state": "Disabled"},
    ],
)
def test_keys_with_replicas_or_without_tokens_are_not(fields: dict[str, Any]) -> None:
    assert ask(single_region, facts(**({"tokens": 3} | fields))) == []


def test_a_multi_region_key_of_unknown_relations_is_a_gap() -> None:
    found = gap(single_region, facts(key_arn=PRIMARY, multi_region=True, tokens=1))
    assert found.hides is Severity.LOW
    assert PRIMARY in found.reason
