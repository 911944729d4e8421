"""Findings as OCSF has them."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from typing import Any

import pytest

from crypto_core.findings.finding import Finding, Severity
from crypto_core.findings.registry import Rule, rule_by_id, rules_about
from crypto_core.findings.standards import CIS_ROTATION, HUB_ROTATION
from crypto_core.trail.rules.ocsf import finding_uid, ocsf_finding
from crypto_core.trail.rules.sigma import sigma_id
from tests.crypto_core.trail.records import ACCOUNT, KEY, NOW, OTHER_KEY, denied, event, read

Shape = dict[str, Any]

BASE: Shape = {
    "activity_id!": {1, 2, 3},
    "activity_name": str,
    "category_uid!": {2},
    "category_name": str,
    "class_uid!": {2003, 2004},
    "class_name": str,
    "cloud!": "cloud",
    "comment": str,
    "end_time": int,
    "evidences": ["evidences"],
    "finding_info!": "finding_info",
    "message": str,
    "metadata!": "metadata",
    "remediation": "remediation",
    "resources": ["resource_details"],
    "severity": str,
    "severity_id!": {1, 2, 3, 4, 5},
    "start_time": int,
    "status": str,
    "status_id": {1, 2, 3, 4, 5, 6},
    "time!": int,
    "type_name": str,
    "type_uid!": {200301, 200401},
}
RULE: Shape = {"name": str, "type": str, "type_id!": set(range(12)) | {99}, "uid": str}
NAMED: Shape = {"name": str, "uid": str}
SCHEMA: dict[str, Shape] = {
    "2003": {**BASE, "compliance!": "compliance"},
    "2004": {**BASE, "is_alert": bool},
    "account": {"type": str, "type_id": set(range(20)) | {99}, "uid": str},
    "actor": {"user": "user"},
    "analytic": RULE,
    "api": {"operation!": str, "request": "request", "response": "response", "service": "service"},
    "attack": {"sub_technique": "named", "tactics": ["named"], "technique": "named", "version": str},
    "cloud": {"account": "account", "provider!": str, "region": str},
    "compliance": {
        "control": str,
        "desc": str,
        "requirements": [str],
        "standards": [str],
        "status": str,
        "status_details": [str],
        "status_id": {0, 1, 2, 3, 99},
    },
    "evidences": {
        "actor": "actor",
        "api": "api",
        "data": dict,
        "resources": ["resource_details"],
        "src_endpoint": "network_endpoint",
    },
    "finding_info": {
        "analytic": "analytic",
        "attacks": ["attack"],
        "created_time": int,
        "data_sources": [str],
        "desc": str,
        "first_seen_time": int,
        "last_seen_time": int,
        "related_analytics": ["analytic"],
        "related_events": ["related_event"],
        "title": str,
        "types": [str],
        "uid!": str,
    },
    "metadata": {"product!": "product", "profiles": [str], "version!": str},
    "named": NAMED,
    "network_endpoint": {"hostname": str, "ip": str},
    "product": {"name": str, "vendor_name": str, "version": str},
    "related_event": {"uid!": str},
    "remediation": {"desc!": str},
    "request": {"uid!": str},
    "resource_details": {"name": str, "type": str, "uid": str},
    "response": {"error": str, "error_message": str},
    "service": {"name": str},
    "user": {"name": str, "type": str, "type_id": {0, 1, 2, 3, 4, 99}, "uid": str},
}
"""OCSF 1.8.0, of its classes and objects what is exported: ! for what is required, sets for enumerations."""
ONE_OF = {
    "attack": {"tactic", "technique", "sub_technique"},
    "evidences": {"actor", "api", "data", "resources", "src_endpoint"},
    "actor": {"user"},
    "network_endpoint": {"hostname", "ip"},
    **{
        name: {"name", "uid"}
        for name in ("account", "analytic", "named", "product", "resource_details", "service", "user")
    },
}
"""Objects of which one of these must be there."""
CAPTIONS = {
    "severity_id": {1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical"},
    "status_id": {1: "New", 3: "Suppressed"},
    "class_uid": {2003: "Compliance Finding", 2004: "Detection Finding"},
}
"""What the text beside a number must be."""


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
    """The document is what the schema says: nothing required is missing, nothing unknown is there."""
    assert_shape(document, str(document["class_uid"]))
    assert document["type_uid"] == document["class_uid"] * 100 + document["activity_id"]
    for name, captions in CAPTIONS.items():
        text = {"severity_id": "severity", "status_id": "status", "class_uid": "class_name"}[name]
        assert document[text] == captions[document[name]]
    assert document["metadata"]["version"] == "1.8.0"
    assert document["metadata"]["profiles"] == ["cloud"]
    json.dumps(document)


def assert_shape(value: dict[str, Any], name: str) -> None:
    shape = {key.rstrip("!"): kind for key, kind in SCHEMA[name].items()}
    assert {key.rstrip("!") for key in SCHEMA[name] if key.endswith("!")} <= set(value), name
    assert not ONE_OF.get(name) or ONE_OF[name] & set(value), name
    assert set(value) <= set(shape), name
    for key, one in value.items():
        kind = shape[key]
        if isinstance(kind, list):
            assert isinstance(one, list), key
            for part in one:
                assert_value(part, kind[0], f"{name}.{key}")
        else:
            assert_value(one, kind, f"{name}.{key}")


def assert_value(value: Any, kind: Any, where: str) -> None:
    if isinstance(kind, set):
        assert type(value) is int, where
        assert value in kind, where
    elif isinstance(kind, str):
        assert_shape(value, kind)
    else:
        assert type(value) is kind or (kind is str and isinstance(value, str) and value), where


@pytest.mark.parametrize("rule", [one.id for one in rules_about()])
def test_a_finding_of_every_rule_is_valid(rule: str) -> None:
    about_events = rule.startswith(("event-", "decrypt-"))
    events = [event(), read(denied()), event(who={}, key=None, sourceIPAddress="")]
    document = ocsf_finding(finding(rule), NOW, events, product_version="1")
    assert_ocsf(document)
    assert document["class_uid"] == (2004 if about_events else 2003)
    assert document["severity_id"] == 4
    assert document["time"] == 1_795_608_000_000
    assert ("attacks" in document["finding_info"]) == about_events


def test_a_detection_finding_names_key_actor_address_error_and_events() -> None:
    failed = read(denied(sourceIPAddress="198.51.100.7"))
    document = ocsf_finding(finding(), NOW, [failed], product_version="1")
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
    host = ocsf_finding(finding(), NOW, [event(sourceIPAddress="s3.amazonaws.com")], product_version="1")
    assert host["evidences"][0]["src_endpoint"] == {"hostname": "s3.amazonaws.com"}


def test_a_finding_of_posture_names_the_controls_that_fail() -> None:
    document = ocsf_finding(
        finding("kms-rotation-off", controls=(CIS_ROTATION, HUB_ROTATION)), NOW, product_version="1"
    )
    assert document["compliance"] == {
        "control": "4.6",
        "desc": "KMS key without rotation",
        "requirements": ["CIS AWS Foundations v7.0.0 4.6", "AWS Security Hub KMS.4"],
        "standards": ["CIS AWS Foundations v7.0.0", "AWS Security Hub"],
        "status": "Fail",
        "status_details": ["role/x disabled it"],
        "status_id": 3,
    }


@pytest.mark.parametrize(
    ("subject", "kind"),
    [
        (KEY, "AWS::KMS::Key"),
        ("alias/tokens", "AWS::KMS::Alias"),
        (f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:trail/x", "AWS::CloudTrail::Trail"),
        (f"arn:aws:iam::{ACCOUNT}:policy/x", "AWS::IAM::Policy"),
        ("arn:aws:s3:::trail-bucket", "AWS::S3::Bucket"),
        (f"arn:aws-cn:cloudtrail:cn-north-1:{ACCOUNT}:trail/x", "AWS::CloudTrail::Trail"),
        ("arn:aws-us-gov:s3:::trail-bucket", "AWS::S3::Bucket"),
        ("eu-west-1", "Other"),
    ],
)
def test_resources_have_the_type_that_aws_config_gives_them(subject: str, kind: str) -> None:
    document = ocsf_finding(replace(finding(), subject=subject), NOW, product_version="1")
    assert document["resources"][0]["type"] == kind


def test_the_same_finding_has_the_same_uid_and_another_one_another() -> None:
    assert finding_uid(finding()) == finding_uid(finding(last_at=None))
    assert finding_uid(finding()) != finding_uid(finding("event-key-deletion"))
    assert str(uuid.UUID(finding_uid(finding()))) == finding_uid(finding())


def test_what_is_suppressed_says_so() -> None:
    document = ocsf_finding(finding(), NOW, product_version="1", suppressed="planned (ana)")
    assert_ocsf(document)
    assert (document["status_id"], document["comment"]) == (3, "planned (ana)")


def test_sub_techniques_come_with_their_technique() -> None:
    info = ocsf_finding(finding("event-trail-stopped"), NOW, product_version="1")["finding_info"]
    (attack,) = info["attacks"]
    assert attack["technique"] == {"uid": "T1685", "name": "Disable or Modify Tools"}
    assert attack["sub_technique"] == {"uid": "T1685.002", "name": "Disable or Modify Cloud Log"}
    assert attack["tactics"] == [{"uid": "TA0112", "name": "Defense Impairment"}]


def test_a_finding_of_events_has_more_in_its_document_than_one_of_keys() -> None:
    document = finding().as_json()
    assert document["techniques"] == ["T1490"]
    assert document["events"] == ["e-1", "e-2"]
    assert document["first_at"] == document["last_at"] == NOW.isoformat()
    plain = Finding("r", Severity.LOW, OTHER_KEY, "t", "e", "r").as_json()
    assert plain.keys() == document.keys()
    assert not any(plain[name] for name in ("techniques", "events", "first_at", "last_at"))
