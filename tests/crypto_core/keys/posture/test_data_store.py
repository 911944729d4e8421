"""The event data store that settings name: what it lacks, how long it keeps it, under which key."""

from __future__ import annotations

from typing import Any

import pytest

from console.container import Container
from crypto_core.errors import KmsAccessDeniedError
from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.registry import Facts, rules_about
from crypto_core.findings.severity import Severity
from crypto_core.keys.posture.data_store import read_data_store
from crypto_core.keys.posture.examination import PostureService
from tests.crypto_core.keys.posture.samples import ACCOUNT, HOSTILE

ARN = f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:eventdatastore/0a1b2c3d-0000-4000-8000-0123456789ab"
MANAGEMENT = {"Field": "eventCategory", "Equals": ["Management"]}
IN_ORDER = {
    "Name": "audit",
    "Status": "ENABLED",
    "RetentionPeriod": 2_557,
    "TerminationProtectionEnabled": True,
    "MultiRegionEnabled": True,
    "KmsKeyId": f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "AdvancedEventSelectors": [{"FieldSelectors": [MANAGEMENT]}],
}


class Answers:
    """CloudTrail's answer."""

    regions = ("eu-west-1",)

    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    def read(self, _service: str, _operation: str, **parameters: Any) -> Any:
        """Answer as KmsApi does."""
        self.asked.append((parameters["region"], parameters["EventDataStore"]))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def told(answer: dict[str, Any] | Exception, arn: str = ARN) -> list[Finding | Gap]:
    """What the rules say of a store as CloudTrail describes it."""
    store, gaps = read_data_store(Answers(answer), arn)  # type: ignore[arg-type]
    rules = rules_about(Facts.DATA_STORE) if store is not None else ()
    return [*gaps, *(said for rule in rules for said in rule(store))]


def test_a_store_in_order_is_no_finding_and_none_is_asked_where_none_is_named() -> None:
    assert told(IN_ORDER) == []
    nobody = Answers(AssertionError("asked"))
    assert read_data_store(nobody, "") == (None, ())  # type: ignore[arg-type]
    assert nobody.asked == []


@pytest.mark.parametrize(
    ("more", "rule", "severity", "evidence"),
    [
        ({"Status": "STOPPED_INGESTION"}, "trail-store-incomplete", "medium", "Status STOPPED_INGESTION"),
        ({"MultiRegionEnabled": False}, "trail-store-incomplete", "medium", "MultiRegionEnabled false"),
        (
            {
                "AdvancedEventSelectors": [
                    {"FieldSelectors": [{"Field": "eventSource", "NotEquals": ["kms.amazonaws.com"]}]}
                ]
            },
            *("trail-store-incomplete", "medium", "eventSource NotEquals kms.amazonaws.com"),
        ),
        ({"RetentionPeriod": 7}, "trail-store-fleeting", "medium", "RetentionPeriod 7 days"),
        ({"TerminationProtectionEnabled": False}, "trail-store-fleeting", "low", "Protection"),
        ({"KmsKeyId": None}, "trail-store-unencrypted", "low", "no KmsKeyId"),
    ],
    ids=range(6),
)  # fmt: skip
def test_what_is_not_in_order_is_told(more: dict[str, Any], rule: str, severity: str, evidence: str) -> None:
    (found,) = told(IN_ORDER | more)
    assert isinstance(found, Finding)
    assert (found.rule, found.severity.value, found.subject) == (rule, severity, ARN)
    assert evidence in found.evidence


def test_a_refusal_is_a_gap_and_texts_from_outside_are_data() -> None:
    denied = KmsAccessDeniedError("no", action="cloudtrail:GetEventDataStore")
    reason = f"{ARN}: event data store: cloudtrail:GetEventDataStore is not allowed"
    assert told(denied) == [Gap(reason, Severity.MEDIUM)]
    for said in told({"Name": HOSTILE, "Status": HOSTILE, "RetentionPeriod": HOSTILE}):
        assert isinstance(said, Finding)
        assert (said.title + said.evidence + said.remedy).isprintable()


def test_the_posture_has_the_store_that_is_named(services: Container) -> None:
    made = PostureService(
        services.kms, services.keys, services.policies, services.status, write_key=None, lake_store=ARN
    )
    # The sandbox has no event data stores.
    assert any(f"{ARN}: event data store: " in gap.reason for gap in made.examine_keys().gaps)
