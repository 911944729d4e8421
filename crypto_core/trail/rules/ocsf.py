"""Findings as Detection Findings of the Open Cybersecurity Schema Framework, class 2004.

OCSF 1.4.0: class Detection Finding with profile Cloud; objects Finding Information, Metadata, Evidence
Artifacts, MITRE ATT&CK, Analytic. Required are activity_id, category_uid, class_uid, cloud, finding_info,
metadata, severity_id, time and type_uid.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from crypto_core.findings.finding import Finding
from crypto_core.findings.registry import Facts, Sigma, rule_by_id
from crypto_core.findings.severity import Severity
from crypto_core.findings.techniques import TECHNIQUES, VERSION
from crypto_core.key_names import account_of, is_key_arn, region_of
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.rules.sigma import sigma_id

SCHEMA = "1.4.0"
CLASS, CATEGORY, CREATE = 2004, 2, 1
NEW, SUPPRESSED = 1, 3
RULE_ANALYTIC = 1

_SEVERITY = {
    Severity.LOW: (2, "Low"),
    Severity.MEDIUM: (3, "Medium"),
    Severity.HIGH: (4, "High"),
    Severity.CRITICAL: (5, "Critical"),
}
_NAMESPACE = uuid.UUID("0d6cf1b9-6a58-53a9-8a3a-6a1b2f4c7e10")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def finding_uid(finding: Finding) -> str:
    """Return the same id for the same finding, however often it is exported."""
    return str(uuid.uuid5(_NAMESPACE, "\n".join((finding.rule, finding.subject, finding.title))))


def detection(
    finding: Finding,
    at: datetime,
    events: Sequence[TrailEvent] = (),
    *,
    product_version: str,
    suppressed: str = "",
) -> dict[str, Any]:
    """Return a finding as OCSF has it. `at` is when it was made, `suppressed` why it isn't told, if so."""
    rule = rule_by_id(finding.rule)
    of_events = rule is not None and rule.facts is Facts.EVENTS
    number, caption = _SEVERITY.get(finding.severity, (1, "Informational"))
    info: dict[str, Any] = {
        "uid": finding_uid(finding),
        "title": finding.title,
        "desc": finding.evidence,
        "types": ["CloudTrail" if of_events else "Key posture"],
        "created_time": milliseconds(at),
        "analytic": {
            "uid": finding.rule,
            "name": rule.title if rule else finding.rule,
            "type_id": RULE_ANALYTIC,
            "type": "Rule",
        },
        "data_sources": ["AWS CloudTrail"] if of_events else ["AWS KMS", "AWS CloudTrail"],
    }
    if rule and isinstance(rule.sigma, Sigma):
        info["related_analytics"] = [
            {"uid": sigma_id(rule), "name": f"Sigma: {rule.title}", "type_id": RULE_ANALYTIC, "type": "Rule"}
        ]
    if finding.techniques:
        info["attacks"] = list(_attacks(finding.techniques))
    if finding.events:
        info["related_events"] = [{"uid": event_id} for event_id in finding.events]
    document: dict[str, Any] = {
        "activity_id": CREATE,
        "activity_name": "Create",
        "category_uid": CATEGORY,
        "category_name": "Findings",
        "class_uid": CLASS,
        "class_name": "Detection Finding",
        "type_uid": CLASS * 100 + CREATE,
        "type_name": "Detection Finding: Create",
        "time": milliseconds(at),
        "severity_id": number,
        "severity": caption,
        "status_id": SUPPRESSED if suppressed else NEW,
        "status": "Suppressed" if suppressed else "New",
        "message": finding.title,
        "metadata": {
            "version": SCHEMA,
            "product": {"name": "Keydeck", "vendor_name": "Keydeck", "version": product_version},
            "profiles": ["cloud"],
        },
        "cloud": _cloud(finding, events),
        "finding_info": info,
        "resources": [_resource(finding)],
        "remediation": {"desc": finding.remedy},
    }
    if suppressed:
        document["comment"] = suppressed
    for name, info_name, moment in (
        ("start_time", "first_seen_time", finding.first_at),
        ("end_time", "last_seen_time", finding.last_at),
    ):
        if moment is not None:
            document[name] = info[info_name] = milliseconds(moment)
    if events:
        document["evidences"] = [_evidence(event) for event in events]
    return document


def milliseconds(moment: datetime) -> int:
    """A moment as OCSF counts it: milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _cloud(finding: Finding, events: Sequence[TrailEvent]) -> dict[str, Any]:
    about = finding.subject if finding.subject.startswith("arn:") else ""
    region = region_of(about) or next((e.region for e in events if e.region), "")
    account = account_of(about) or next((e.account for e in events if e.account), "")
    cloud: dict[str, Any] = {"provider": "AWS"}
    if region:
        cloud["region"] = region
    if account:
        cloud["account"] = {"uid": account, "type": "AWS Account", "type_id": 10}
    return cloud


def _resource(finding: Finding) -> dict[str, Any]:
    subject = finding.subject
    if is_key_arn(subject):
        kind = "AWS::KMS::Key"
    elif ":trail/" in subject or finding.rule.startswith(("trail-", "event-trail-")):
        kind = "AWS::CloudTrail::Trail"
    elif subject.rsplit(":", 1)[-1].startswith("alias/"):
        kind = "AWS::KMS::Alias"
    elif ":role/" in subject:
        kind = "AWS::IAM::Role"
    elif ":user/" in subject:
        kind = "AWS::IAM::User"
    else:
        kind = "Other"
    return {"uid": subject, "name": subject.rsplit("/", 1)[-1], "type": kind}


def _attacks(ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    for id_ in ids:
        known = TECHNIQUES.get(id_)
        if known is None:
            continue
        named = {"uid": known.id, "name": known.name}
        whole = {"uid": known.parent_id, "name": known.parent}
        yield {
            "version": VERSION,
            "tactics": [{"uid": uid, "name": name} for uid, name in known.tactics],
            **({"technique": whole, "sub_technique": named} if known.parent else {"technique": named}),
        }


def _evidence(event: TrailEvent) -> dict[str, Any]:
    api: dict[str, Any] = {"operation": event.name, "service": {"name": event.source}}
    if event.error_code:
        api["response"] = {"error": event.error_code, "error_message": event.error_message}
    if event.request_id:
        api["request"] = {"uid": event.request_id}
    evidence: dict[str, Any] = {
        "api": api,
        "actor": {
            "user": {"uid": event.principal.arn, "name": event.principal.name, "type": event.principal.kind}
        },
        "data": {"event_id": event.event_id, "time": event.time.isoformat() if event.dated else None},
    }
    if event.source_ip:
        try:
            ipaddress.ip_address(event.source_ip)
            evidence["src_endpoint"] = {"ip": event.source_ip}
        except ValueError:
            evidence["src_endpoint"] = {"hostname": event.source_ip}
    if event.key_arns:
        evidence["resources"] = [{"uid": arn, "type": "AWS::KMS::Key"} for arn in event.key_arns]
    return evidence
