"""Findings as OCSF has them."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest

from crypto_core.findings.finding import Finding
from crypto_core.findings.registry import Rule, rule_by_id, rules_about
from crypto_core.findings.severity import Severity
from crypto_core.trail.rules.ocsf import detection, finding_uid
from crypto_core.trail.rules.sigma import sigma_id
from tests.crypto_core.trail.records import ACCOUNT, KEY, NOW, OTHER_KEY, denied, event, read

REQUIRED: dict[str, type] = {
    "activity_id": int,
    "category_uid": int,
    "class_uid": int,
    "cloud": dict,
    "finding_info": dict,
    "metadata": dict,
    "severity_id": int,
    "time": int,
    "type_uid": int,
}
"""Of class Detection Finding with profile Cloud, OCSF 1.4.0."""
EVIDENCE = {"actor", "api", "connection_info", "data", "resources", "src_endpoint", "user"}
"""Of Evidence Artifacts at least one of these must be there; those that could be here."""


def the_rule(id_: str) -> Rule[...]:
    found = rule_by_id(id_)
    assert found
    return found


def finding(rule: str = "event-key-disabled", **more: Any) -> Finding:
    """A finding of a rule."""
    known = rule_by_id(rule)
    fields: dict[str, Any] = {
        "techniques": known.techniques if known else (),
        "events": ("e-1", "e-2"),
        "first_at": NOW,
        "last_at": NOW,
    }
    return Finding(rule, Severity.HIGH, KEY, "role/x disabled it", "evidence", "remedy", **(fields | more))


def assert_ocsf(document: dict[str, Any]) -> None:
    """What the schema requires is there and of its type."""
    for name, kind in REQUIRED.items():
        assert type(document[name]) is kind, name
    assert document["class_uid"] == 2004
    assert document["category_uid"] == 2
    assert document["type_uid"] == 2004 * 100 + document["activity_id"]
    assert document["severity_id"] in (1, 2, 3, 4, 5)
    assert document["status_id"] in (1, 3)
    assert document["metadata"]["version"] == "1.4.0"
    assert document["metadata"]["product"]["vendor_name"]
    assert document["metadata"]["product"]["name"]
    assert document["metadata"]["profiles"] == ["cloud"]
    assert document["cloud"]["provider"] == "AWS"
    info = document["finding_info"]
    assert info["uid"]
    assert info["title"]
    assert info["analytic"]["type_id"] == 1
    assert info["analytic"]["uid"]
    for attack in info.get("attacks", ()):
        assert attack.keys() & {"tactic", "technique", "sub_technique"}
        assert re.fullmatch(r"T\d{4}", attack["technique"]["uid"])
    for related in info.get("related_events", ()):
        assert related["uid"]
    for evidence in document.get("evidences", ()):
        assert evidence.keys() & EVIDENCE
        assert evidence["api"]["operation"]
    json.dumps(document)


@pytest.mark.parametrize("rule", [one.id for one in rules_about()])
def test_a_finding_of_every_rule_is_a_detection_finding(rule: str) -> None:
    document = detection(finding(rule), NOW, [event(), read(denied())], product_version="1")
    assert_ocsf(document)
    assert document["severity_id"] == 4
    assert document["time"] == 1_795_608_000_000
    assert ("attacks" in document["finding_info"]) == rule.startswith("event-")


def test_a_detection_finding_names_key_actor_address_error_and_events() -> None:
    failed = read(denied(sourceIPAddress="198.51.100.7"))
    document = detection(finding(), NOW, [failed], product_version="1")
    assert document["resources"][0] == {"uid": KEY, "name": KEY.rsplit("/", 1)[-1], "type": "AWS::KMS::Key"}
    assert document["cloud"] == {
        "provider": "AWS",
        "region": "eu-west-1",
        "account": {"uid": ACCOUNT, "type": "AWS Account", "type_id": 10},
    }
    (evidence,) = document["evidences"]
    assert evidence["actor"]["user"]["uid"] == f"arn:aws:iam::{ACCOUNT}:user/intruder"
    assert evidence["src_endpoint"] == {"ip": "198.51.100.7"}
    assert evidence["api"]["response"]["error"] == "AccessDenied"
    assert evidence["data"]["event_id"] == failed.event_id
    assert [one["uid"] for one in document["finding_info"]["related_events"]] == ["e-1", "e-2"]
    assert document["finding_info"]["related_analytics"][0]["uid"] == sigma_id(the_rule("event-key-disabled"))
    assert document["start_time"] == document["end_time"] == document["time"]
    host = detection(finding(), NOW, [event(sourceIPAddress="s3.amazonaws.com")], product_version="1")
    assert host["evidences"][0]["src_endpoint"] == {"hostname": "s3.amazonaws.com"}


def test_the_same_finding_has_the_same_uid_and_another_one_another() -> None:
    assert finding_uid(finding()) == finding_uid(finding(last_at=None))
    assert finding_uid(finding()) != finding_uid(finding("event-key-deletion"))
    assert str(uuid.UUID(finding_uid(finding()))) == finding_uid(finding())


def test_what_is_suppressed_says_so() -> None:
    document = detection(finding(), NOW, product_version="1", suppressed="planned (ana)")
    assert_ocsf(document)
    assert (document["status_id"], document["comment"]) == (3, "planned (ana)")


def test_sub_techniques_come_with_their_technique() -> None:
    info = detection(finding("event-trail-stopped"), NOW, product_version="1")["finding_info"]
    (attack,) = info["attacks"]
    assert attack["technique"] == {"uid": "T1685", "name": "Disable or Modify Tools"}
    assert attack["sub_technique"] == {"uid": "T1685.002", "name": "Disable or Modify Cloud Log"}
    assert attack["tactics"] == [{"uid": "TA0112", "name": "Defense Impairment"}]


def test_a_finding_of_events_has_more_in_its_document_and_one_of_keys_has_not() -> None:
    document = finding().as_json()
    assert document["techniques"] == ["T1490"]
    assert document["events"] == ["e-1", "e-2"]
    assert document["first_at"] == document["last_at"] == NOW.isoformat()
    plain = Finding("r", Severity.LOW, OTHER_KEY, "t", "e", "r").as_json()
    assert not plain.keys() & {"techniques", "events", "first_at", "last_at"}
