"""Rules as Sigma rules, for searching CloudTrail elsewhere.

Sigma specification 2.0: rules, correlations. A document here is JSON, which is YAML as well. What Sigma
can't express, such as a baseline, its description says.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from crypto_core.findings.registry import Facts, Rule, Sigma, rules_about
from crypto_core.findings.techniques import TECHNIQUES

_NAMESPACE = uuid.UUID("5e4a3a4e-0c55-5b8e-9d6c-6c2f7f1f5a11")
_LOGSOURCE = {"product": "aws", "service": "cloudtrail"}


def sigma_id(rule: Rule[...]) -> str:
    """Return the id of a rule's Sigma rule: always the same."""
    return str(uuid.uuid5(_NAMESPACE, rule.id))


def documents() -> Iterator[dict[str, Any]]:
    """Yield the rules about events as Sigma rules; for one that counts, its events' rule, then the count."""
    for rule in rules_about(Facts.EVENTS):
        if rule.sigma is None:
            continue
        detection = _detection(rule.sigma)
        correlation = rule.sigma.correlation
        if correlation is None:
            yield _document(rule, rule.sigma, sigma_id(rule), rule.title, detection)
            continue
        name = rule.id.replace("-", "_") + "_events"
        events = str(uuid.uuid5(_NAMESPACE, f"{rule.id}/events"))
        base = _document(rule, rule.sigma, events, f"{rule.title}: the events that are counted", detection)
        yield {**base, "name": name, "level": "informational"}
        counting = {
            "type": "value_count" if correlation.distinct else "event_count",
            "rules": [name],
            "group-by": list(correlation.group_by),
            "timespan": correlation.timespan,
            "condition": {"gte": correlation.at_least}
            | ({"field": correlation.distinct} if correlation.distinct else {}),
        }
        yield _document(rule, rule.sigma, sigma_id(rule), rule.title, {"correlation": counting})


def _detection(sigma: Sigma) -> dict[str, Any]:
    detection: dict[str, Any] = {"selection": dict(sigma.selection), "condition": "selection"}
    if sigma.filters:
        detection |= {"filter": dict(sigma.filters), "condition": "selection and not filter"}
    return {"logsource": dict(_LOGSOURCE), "detection": detection}


def _document(rule: Rule[...], sigma: Sigma, id_: str, title: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": title,
        "id": id_,
        "status": "experimental",
        "description": f"{rule.title}. {sigma.limits}".strip() + f" Keydeck rule {rule.id}.",
        "author": "Keydeck",
        "tags": list(_tags(rule)),
        **body,
        "falsepositives": list(sigma.falsepositives) or ["Unknown"],
        "level": rule.severity.value,
    }


def _tags(rule: Rule[...]) -> Iterator[str]:
    tactics: dict[str, None] = {}
    for id_ in rule.techniques:
        for _, tactic in TECHNIQUES[id_].tactics:
            tactics[f"attack.{tactic.lower().replace(' ', '-')}"] = None
    yield from tactics
    for id_ in rule.techniques:
        yield f"attack.{id_.lower()}"
