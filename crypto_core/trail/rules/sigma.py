"""Rules as Sigma rules, for whoever searches CloudTrail elsewhere.

Sigma specification 2.0: rules, correlations. A document here is JSON, which is YAML as well. What Sigma
can't express, such as a baseline, its description says.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from crypto_core.findings.severity import Severity
from crypto_core.findings.techniques import TECHNIQUES
from crypto_core.trail.rules.rule import Rule

_NAMESPACE = uuid.UUID("5e4a3a4e-0c55-5b8e-9d6c-6c2f7f1f5a11")
_LOGSOURCE = {"product": "aws", "service": "cloudtrail"}
_LEVELS = {
    Severity.CRITICAL: "critical",
    Severity.HIGH: "high",
    Severity.MEDIUM: "medium",
    Severity.LOW: "low",
}


def sigma_id(rule: Rule) -> str:
    """Return the id of a rule's Sigma rule: always the same."""
    return str(uuid.uuid5(_NAMESPACE, rule.id))


def documents(rules: Iterable[Rule]) -> Iterator[dict[str, Any]]:
    """Yield the Sigma rules of rules; for one that counts, the rule of its events and then the count."""
    for rule in rules:
        correlation = rule.sigma.correlation
        if correlation is None:
            yield _document(rule, sigma_id(rule), rule.title)
            continue
        name = rule.id.replace("-", "_") + "_events"
        events = str(uuid.uuid5(_NAMESPACE, f"{rule.id}/events"))
        base = _document(rule, events, f"{rule.title}: the events that are counted")
        yield {**base, "name": name, "level": "informational"}
        condition: dict[str, Any] = {"gte": correlation.at_least}
        if correlation.distinct:
            condition["field"] = correlation.distinct
        yield {
            "title": rule.title,
            "id": sigma_id(rule),
            "status": "experimental",
            "description": _description(rule),
            "author": "Keydeck",
            "tags": list(_tags(rule)),
            "correlation": {
                "type": "value_count" if correlation.distinct else "event_count",
                "rules": [name],
                "group-by": list(correlation.group_by),
                "timespan": correlation.timespan,
                "condition": condition,
            },
            "falsepositives": list(rule.sigma.falsepositives) or ["Unknown"],
            "level": _LEVELS[rule.severity],
        }


def _document(rule: Rule, id_: str, title: str) -> dict[str, Any]:
    detection: dict[str, Any] = {"selection": dict(rule.sigma.selection)}
    if rule.sigma.filters:
        detection["filter"] = dict(rule.sigma.filters)
    detection["condition"] = "selection and not filter" if rule.sigma.filters else "selection"
    return {
        "title": title,
        "id": id_,
        "status": "experimental",
        "description": _description(rule),
        "author": "Keydeck",
        "tags": list(_tags(rule)),
        "logsource": dict(_LOGSOURCE),
        "detection": detection,
        "falsepositives": list(rule.sigma.falsepositives) or ["Unknown"],
        "level": _LEVELS[rule.severity],
    }


def _description(rule: Rule) -> str:
    return f"{rule.title}. {rule.sigma.limits}".strip() + f" Keydeck rule {rule.id}."


def _tags(rule: Rule) -> Iterator[str]:
    tactics: dict[str, None] = {}
    for id_ in rule.techniques:
        for _, tactic in TECHNIQUES[id_].tactics:
            tactics[f"attack.{tactic.lower().replace(' ', '-')}"] = None
    yield from tactics
    for id_ in rule.techniques:
        yield f"attack.{id_.lower()}"
