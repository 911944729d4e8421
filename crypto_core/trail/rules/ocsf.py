"""Findings in the Open Cybersecurity Schema Framework: what events show as class 2004, posture as class 2003.

OCSF 1.8.0: classes Detection Finding and Compliance Finding with profile Cloud; objects Finding Information,
Compliance, Metadata, Evidence Artifacts, Resource Details, MITRE ATT&CK, Analytic. Required are activity_id,
category_uid, class_uid, cloud, finding_info, metadata, severity_id, time and type_uid, and of a Compliance
Finding compliance.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from crypto_core.findings.finding import Finding, Severity
from crypto_core.findings.registry import Facts, Rule, Sigma, rule_by_id
from crypto_core.findings.standards import CONTROLS, TECHNIQUES, VERSION
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.rules.sigma import sigma_id
from crypto_core.values.key_names import account_of, is_key_arn, region_of

SCHEMA = "1.8.0"
_POSTURE = ("Key posture", ["AWS KMS", "AWS CloudTrail"])
_SOURCES = dict.fromkeys(Facts, _POSTURE) | {
    Facts.EVENTS: ("CloudTrail", ["AWS CloudTrail"]),
    Facts.PROVIDERS: ("Provider audit log", ["Provider audit logs", "AWS CloudTrail"]),
}
DETECTION = (2004, "Detection Finding")
COMPLIANCE = (2003, "Compliance Finding")
CATEGORY, CREATE = 2, 1
NEW, SUPPRESSED = 1, 3
RULE_ANALYTIC = 1
FAIL = (3, "Fail")
_USERS = {"IAMUser": (1, "User"), "Root": (2, "Admin"), "AWSService": (4, "Service")}
_OTHER = 99
_RESOURCES = (
    (":cloudtrail:", "AWS::CloudTrail::Trail"),
    (":s3:::", "AWS::S3::Bucket"),
    (":policy/", "AWS::IAM::Policy"),
    (":role/", "AWS::IAM::Role"),
    (":user/", "AWS::IAM::User"),
    (":group/", "AWS::IAM::Group"),
    ("alias/", "AWS::KMS::Alias"),
)

_SEVERITY = {
    Severity.NONE: (1, "Informational"),
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


def ocsf_finding(
    finding: Finding,
    at: datetime,
    events: Sequence[TrailEvent] = (),
    *,
    product_version: str,
    suppressed: str = "",
) -> dict[str, Any]:
    """Return a finding as OCSF has it. `at` is when it was made, `suppressed` why it isn't told, if so."""
    rule = rule_by_id(finding.rule)
    of_events = rule is not None and _SOURCES[rule.facts] is not _POSTURE
    class_uid, class_name = DETECTION if of_events else COMPLIANCE
    number, caption = _SEVERITY[finding.severity]
    document: dict[str, Any] = {
        "activity_id": CREATE,
        "activity_name": "Create",
        "category_uid": CATEGORY,
        "category_name": "Findings",
        "class_uid": class_uid,
        "class_name": class_name,
        "type_uid": class_uid * 100 + CREATE,
        "type_name": f"{class_name}: Create",
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
        "finding_info": _info(finding, rule, at),
        "resources": [_resource(finding.subject)],
        "remediation": {"desc": finding.remedy},
    }
    document |= {"is_alert": not suppressed} if of_events else {"compliance": _compliance(finding, rule)}
    if suppressed:
        document["comment"] = suppressed
    for name, moment in (("start_time", finding.first_at), ("end_time", finding.last_at)):
        if moment is not None:
            document[name] = milliseconds(moment)
    if events:
        document["evidences"] = [_evidence(event) for event in events]
    return document


def _info(finding: Finding, rule: Rule[...] | None, at: datetime) -> dict[str, Any]:
    kind, sources = _SOURCES[rule.facts] if rule else _POSTURE
    analytic = {"uid": finding.rule, "name": rule.title if rule else finding.rule}
    info: dict[str, Any] = {
        "uid": finding_uid(finding),
        "title": finding.title,
        "desc": finding.evidence,
        "types": [kind],
        "created_time": milliseconds(at),
        "analytic": {**analytic, "type_id": RULE_ANALYTIC, "type": "Rule"},
        "data_sources": sources,
    }
    if rule and isinstance(rule.sigma, Sigma):
        info["related_analytics"] = [
            {"uid": sigma_id(rule), "name": f"Sigma: {rule.title}", "type_id": RULE_ANALYTIC, "type": "Rule"}
        ]
    if finding.techniques:
        info["attacks"] = list(_attacks(finding.techniques))
    if finding.events:
        info["related_events"] = [{"uid": event_id} for event_id in finding.events]
    for name, moment in (("first_seen_time", finding.first_at), ("last_seen_time", finding.last_at)):
        if moment is not None:
            info[name] = milliseconds(moment)
    return info


def _compliance(finding: Finding, rule: Rule[...] | None) -> dict[str, Any]:
    """Which controls fail: the first one by its number, all of them with their standards."""
    known = [CONTROLS[words] for words in finding.controls if words in CONTROLS]
    compliance: dict[str, Any] = {
        "status_id": FAIL[0],
        "status": FAIL[1],
        "status_details": [finding.title],
        "desc": rule.title if rule else finding.rule,
        "standards": list(dict.fromkeys(control.standard for control in known)),
        "requirements": [control.words for control in known],
    }
    return compliance | ({"control": known[0].number} if known else {})


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


def _resource(subject: str) -> dict[str, Any]:
    kind = next((kind for part, kind in _RESOURCES if part in subject), "Other")
    return {
        "uid": subject,
        "name": subject.rsplit("/", 1)[-1],
        "type": "AWS::KMS::Key" if is_key_arn(subject) else kind,
    }


def _attacks(ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    for id_ in ids:
        known = TECHNIQUES.get(id_)
        if known is None:
            continue
        named = {"uid": known.id, "name": known.name}
        whole = {"uid": known.id.partition(".")[0], "name": known.parent}
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
    principal = event.principal
    type_id, kind = _USERS.get(principal.kind, (_OTHER, str(principal.kind) or "Other"))
    name = principal.name or "unknown"
    evidence: dict[str, Any] = {
        "api": api,
        "actor": {"user": {"uid": principal.arn or name, "name": name, "type_id": type_id, "type": kind}},
        "data": {"event_id": event.event_id, "time": event.time.isoformat() if event.dated else None},
    }
    if event.source_ip:
        try:
            ipaddress.ip_address(event.source_ip)
            evidence["src_endpoint"] = {"ip": event.source_ip}
        except ValueError:
            evidence["src_endpoint"] = {"hostname": event.source_ip}
    if event.key_arns:
        evidence["resources"] = [_resource(arn) for arn in event.key_arns]
    return evidence
