"""Trails that deliver KMS's events, and all the ways in which they are left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.findings.registry import Facts, rules_about
from crypto_core.keys.posture.trails import Recorded, Trail, recorded
from tests.crypto_core.keys.posture.samples import ACCOUNT, HOSTILE

KMS = "kms.amazonaws.com"
MANAGEMENT = {"Field": "eventCategory", "Equals": ["Management"]}
WHOLE = Recorded(True, True)


def classic(**selector: Any) -> dict[str, Any]:
    return {"EventSelectors": [selector]}


def advanced(*selectors: list[dict[str, Any]]) -> dict[str, Any]:
    return {"AdvancedEventSelectors": [{"Name": "x", "FieldSelectors": fields} for fields in selectors]}


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"EventSelectors": [], "AdvancedEventSelectors": []},
        classic(ReadWriteType="All", IncludeManagementEvents=True, DataResources=[]),
        classic(ExcludeManagementEventSources=[]),
        classic(ExcludeManagementEventSources=["rdsdata.amazonaws.com"]),
        {"EventSelectors": [{"ReadWriteType": "ReadOnly"}, {"ReadWriteType": "WriteOnly"}]},
        {"EventSelectors": [{"IncludeManagementEvents": False}, {"ReadWriteType": "All"}]},
        advanced([MANAGEMENT]),
        advanced([MANAGEMENT, {"Field": "eventSource", "NotEquals": ["rdsdata.amazonaws.com"]}]),
        advanced([MANAGEMENT, {"Field": "eventSource", "Equals": [KMS, "s3.amazonaws.com"]}]),
        advanced([MANAGEMENT, {"Field": "eventSource", "StartsWith": ["kms."]}]),
        advanced([MANAGEMENT, {"Field": "readOnly", "Equals": ["true", "false"]}]),
        advanced(
            [MANAGEMENT, {"Field": "readOnly", "Equals": ["true"]}],
            [MANAGEMENT, {"Field": "readOnly", "NotEquals": ["true"]}],
        ),
        advanced([{"Field": "eventCategory", "Equals": ["Data"]}], [MANAGEMENT]),
    ],
)
def test_selectors_that_take_all_of_kms(answer: dict[str, Any]) -> None:
    assert recorded(answer) == WHOLE


@pytest.mark.parametrize(
    ("answer", "reads", "writes", "limits"),
    [
        (
            classic(ExcludeManagementEventSources=[KMS]),
            False,
            False,
            f"ExcludeManagementEventSources {KMS}",
        ),
        (classic(IncludeManagementEvents=False), False, False, "IncludeManagementEvents false"),
        (classic(ReadWriteType="WriteOnly"), False, True, "ReadWriteType WriteOnly"),
        (classic(ReadWriteType="ReadOnly"), True, False, "ReadWriteType ReadOnly"),
        (
            advanced([MANAGEMENT, {"Field": "eventSource", "NotEquals": [KMS]}]),
            False,
            False,
            f"eventSource NotEquals {KMS}",
        ),
        (
            advanced([MANAGEMENT, {"Field": "eventSource", "Equals": ["s3.amazonaws.com"]}]),
            False,
            False,
            "eventSource Equals s3.amazonaws.com",
        ),
        (
            advanced([MANAGEMENT, {"Field": "eventSource", "NotStartsWith": ["kms"]}]),
            False,
            False,
            "eventSource NotStartsWith kms",
        ),
        (
            advanced([MANAGEMENT, {"Field": "eventSource", "NotEndsWith": [".amazonaws.com"]}]),
            False,
            False,
            "eventSource NotEndsWith .amazonaws.com",
        ),
        (
            advanced([MANAGEMENT, {"Field": "readOnly", "Equals": ["false"]}]),
            False,
            True,
            "readOnly Equals false",
        ),
        (
            advanced([{"Field": "eventCategory", "Equals": ["Data"]}]),
            False,
            False,
            "eventCategory Equals Data",
        ),
        (
            advanced([MANAGEMENT, {"Field": "eventName", "NotEquals": ["Decrypt"]}]),
            False,
            False,
            "eventName NotEquals Decrypt",
        ),
        (
            advanced([MANAGEMENT, {"Field": "userIdentity.arn", "NotStartsWith": ["arn:aws:sts::"]}]),
            False,
            False,
            "userIdentity.arn NotStartsWith arn:aws:sts::",
        ),
    ],
)
def test_selectors_that_leave_kms_out(answer: dict[str, Any], reads: bool, writes: bool, limits: str) -> None:
    assert recorded(answer) == Recorded(reads, writes, limits)


def trail(name: str, *regions: str, **fields: Any) -> Trail:
    arn = f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:trail/{name}"
    whole: dict[str, Any] = {
        "logging": True,
        "recorded": WHOLE,
        "multi_region": True,
        "validated": True,
        "key": "arn:aws:kms:eu-west-1:210987654321:key/logs",
    }
    return Trail(arn, name, "eu-west-1", frozenset(regions or ("eu-west-1",)), **(whole | fields))


EXCLUDES: dict[str, Any] = {"recorded": recorded(classic(ExcludeManagementEventSources=[KMS]))}
STOPPED: dict[str, Any] = {"logging": False}
UNKNOWN: dict[str, Any] = {
    "recorded": None,
    "missing": {"event selectors": "cloudtrail:GetEventSelectors is not allowed"},
}


def judge(trails: Sequence[Trail], regions: Sequence[str]) -> list[Finding | Gap]:
    """What the rules about trails say, in the order of the rules."""
    return [said for rule in rules_about(Facts.TRAILS) for said in rule(trails, regions)]


def judged(*trails: Trail, regions: tuple[str, ...] = ("eu-west-1",)) -> list[tuple[str, str]]:
    said = []
    for found in judge(trails, regions):
        hidden = isinstance(found, Gap)
        said.append(("gap", found.hides.value) if hidden else (found.rule, found.severity.value))  # type: ignore[union-attr]
    return said


def test_a_trail_that_takes_all_is_no_finding() -> None:
    assert judged(trail("all")) == []


def test_a_region_without_a_trail_is_high() -> None:
    (found,) = judge([], ["eu-west-1"])
    assert isinstance(found, Finding)
    assert (found.rule, found.severity, found.subject) == ("trail-none", Severity.HIGH, "eu-west-1")
    assert "CIS AWS Foundations v7.0.0 4.1" in found.controls
    assert judged(trail("all"), regions=("eu-west-1", "us-east-1")) == [("trail-none", "high")]


@pytest.mark.parametrize(
    ("trails", "said"),
    [
        ([trail("a", **EXCLUDES)], [("trail-excludes-kms", "high")]),
        ([trail("a", **STOPPED)], [("trail-stopped", "high")]),
        ([trail("a", **EXCLUDES), trail("b")], [("trail-excludes-kms", "low")]),
        ([trail("a", **STOPPED), trail("b")], [("trail-stopped", "low")]),
        ([trail("a", **UNKNOWN)], [("gap", "high")]),
        ([trail("a", **UNKNOWN), trail("b")], [("gap", "low")]),
        (
            [trail("a", **EXCLUDES), trail("b", **UNKNOWN)],
            [("trail-excludes-kms", "medium"), ("gap", "high")],
        ),
        ([trail("a", **(UNKNOWN | STOPPED))], [("trail-stopped", "high")]),
        ([trail("a", **(EXCLUDES | {"logging": None}))], [("trail-excludes-kms", "high")]),
        ([trail("a", logging=None, missing={"status": "x"})], [("gap", "high")]),
    ],
)
def test_what_is_said_of_trails(trails: list[Trail], said: list[tuple[str, str]]) -> None:
    assert judged(*trails) == said


def test_a_trail_of_many_regions_is_told_once_and_as_bad_as_where_it_is_worst() -> None:
    both = ("eu-west-1", "us-east-1")
    assert judged(trail("a", *both, **EXCLUDES), trail("b"), regions=both) == [("trail-excludes-kms", "high")]


@pytest.mark.parametrize("half", [Recorded(True, False, "x"), Recorded(False, True, "x")])
def test_a_trail_that_takes_half_of_kms_does_not_cover_it(half: Recorded) -> None:
    assert judged(trail("a", recorded=half)) == [("trail-excludes-kms", "high")]


def test_it_is_said_whether_another_trail_records_them() -> None:
    (found,) = judge([trail("a", **EXCLUDES), trail("b")], ["eu-west-1"])
    assert isinstance(found, Finding)
    assert found.evidence.endswith("another trail records them")
    (found,) = judge([trail("a", **EXCLUDES)], ["eu-west-1"])
    assert isinstance(found, Finding)
    assert found.evidence.endswith("no other trail is known to in eu-west-1")
    regions = ("us-east-1", "eu-west-1")
    (found,) = judge([trail("a", *regions, **EXCLUDES), trail("b", "eu-west-1")], regions)
    assert isinstance(found, Finding)
    assert found.evidence.endswith("no other trail is known to in us-east-1")


def test_evidence_names_what_leaves_kms_out_and_the_remedy_the_trail() -> None:
    (found,) = judge([trail("a", **EXCLUDES)], ["eu-west-1"])
    assert isinstance(found, Finding)
    assert f"ExcludeManagementEventSources {KMS}" in found.evidence
    assert found.subject in found.remedy
    (found,) = judge([trail("a", **UNKNOWN)], ["eu-west-1"])
    assert isinstance(found, Gap)
    assert found.reason.endswith("trail/a: event selectors: cloudtrail:GetEventSelectors is not allowed")


def test_hostile_selectors_are_data() -> None:
    found = recorded(advanced([MANAGEMENT, {"Field": HOSTILE, "NotEquals": [HOSTILE, 5]}]))
    assert not found.whole
    assert found.limits.isprintable()
    assert "[/red]" in found.limits
