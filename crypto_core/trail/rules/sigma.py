"""Rules as Sigma rules, for searching CloudTrail elsewhere, with the keys that settings name filled in.

Sigma specification 2.0: rules, correlations. A document here is JSON, which is YAML as well. A rule that
Sigma can't state, such as one that compares with what was before, is left out with its reason.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crypto_core.findings.finding import Severity
from crypto_core.findings.registry import Correlation, Facts, NoSigma, Rule, Sigma, SigmaKeys, rules_about
from crypto_core.findings.standards import TECHNIQUES
from crypto_core.keys.key_uses import OPENS
from crypto_core.trail.event import OURS
from crypto_core.trail.rules.watched_keys import Keys, patterns

_NAMESPACE = uuid.UUID("5e4a3a4e-0c55-5b8e-9d6c-6c2f7f1f5a11")
_LOGSOURCE = {"product": "aws", "service": "cloudtrail"}
_SERVICES = [
    {"eventType": "AwsServiceEvent"},
    {"userIdentity.type": "AWSService"},
    {"userIdentity.invokedBy|endswith": ".amazonaws.com"},
    {"userIdentity.invokedBy": "AWS Internal"},
    {"sourceIPAddress|endswith": ".amazonaws.com"},
    {"sourceIPAddress": "AWS Internal"},
]
_CONTEXT = "requestParameters.encryptionContext"
_OPENED = [
    {"eventName": sorted(OPENS), "errorCode|exists": False, f"{_CONTEXT}|exists": False},
    {"eventName": sorted(OPENS), "errorCode|exists": False, f"{_CONTEXT}.{OURS}id|exists": True},
]
"""What can have opened a token: it counts, whichever service somebody did it through."""
_FAILED = {"errorCode|exists": True}

Detection = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SigmaExport:
    """The documents, and why which rules are not among them, by their ids."""

    documents: tuple[dict[str, Any], ...]
    left_out: Mapping[str, str]


def sigma_id(rule: Rule[...]) -> str:
    """Return the id of a rule's Sigma rule: always the same."""
    return _uuid(rule.id)


def export_sigma(keys: Keys) -> SigmaExport:
    """Return the rules about events as Sigma rules for these keys; of a correlation, its parts come first."""
    documents: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for rule in rules_about(Facts.EVENTS):
        sigma = rule.sigma
        if sigma is None or isinstance(sigma, NoSigma):
            left_out[rule.id] = sigma.reason if sigma else "nothing says how Sigma would state it"
            continue
        about = _ABOUT[sigma.keys](keys)
        if isinstance(about, str):
            left_out[rule.id] = about
        else:
            documents += _documents(rule, sigma, about)
    return SigmaExport(tuple(documents), left_out)


@dataclass(frozen=True, slots=True)
class _About:
    """Which keys: what must hold of an event, what must not, and both in words."""

    must: Sequence[Mapping[str, Any]] = ()
    must_not: Sequence[Mapping[str, Any]] = ()
    words: str = ""


def _any(_: Keys) -> _About:
    return _About()


def _guarding(keys: Keys) -> _About:
    if not keys.guarding:
        return _About(words="Settings name no key: of any key.")
    return _About(_named(keys.guarding, keys), words="Only of keys that guard tokens, as settings name them.")


def _retired(keys: Keys) -> _About | str:
    if not keys.retired:
        return "KEYDECK_RETIRED_KEYS names no key"
    return _About(_named(keys.retired, keys), words="Only of keys in KEYDECK_RETIRED_KEYS.")


def _aliases(keys: Keys) -> _About | str:
    if keys.aliases:
        names = sorted(keys.aliases)
        return _About(
            [{"requestParameters.aliasName": names}],
            words="Only of aliases that settings name, or of keys that guard tokens.",
        )
    if keys.guarding:
        return "no alias is known of the keys that guard tokens"
    return _About(words="Settings name no key: of any alias.")


def _elsewhere(keys: Keys) -> _About | str:
    if not keys.guarding:
        return "settings name no key"
    destination = "requestParameters.destinationKeyId"
    return _About(
        [{**block, f"{destination}|exists": True} for block in _named(keys.guarding, keys)],
        [{destination: _names(sorted(keys.guarding | keys.aliases))}],
        "From keys that guard tokens to others.",
    )


_ABOUT: Mapping[SigmaKeys, Callable[[Keys], _About | str]] = {
    SigmaKeys.ANY: _any,
    SigmaKeys.GUARDING: _guarding,
    SigmaKeys.RETIRED: _retired,
    SigmaKeys.ALIASES: _aliases,
    SigmaKeys.ELSEWHERE: _elsewhere,
}


def _named(keys: frozenset[str], known: Keys) -> list[dict[str, Any]]:
    """One of these holds of an event about one of the keys: by its ARN, its alias, or in a refusal's text."""
    names = patterns(keys, known.names or {})
    arns = [name for name in names if name.startswith("arn:")]
    found = [{"resources.ARN": arns}, {"errorMessage|contains": arns}] if arns else []
    return [*found, {"requestParameters.keyId": _names(names)}]


def _names(keys: Sequence[str]) -> list[str]:
    found: dict[str, None] = {}
    for key in keys:
        found[key] = None
        found[f"*:{key}" if key.startswith("alias/") else f"*{key.rsplit('/', 1)[-1]}"] = None
    return list(found)


def _documents(rule: Rule[...], sigma: Sigma, about: _About) -> Iterator[dict[str, Any]]:
    correlation = sigma.correlation
    words = " ".join(part for part in (f"{rule.title}.", about.words, sigma.limits) if part)
    if correlation is None:
        yield _document(rule, sigma, sigma_id(rule), rule.title, words, _detection(sigma, about))
        return
    names: list[str] = []
    for step in correlation.steps or ("events",):
        selection = {**sigma.selection, "eventName": step} if correlation.steps else sigma.selection
        name = f"{rule.id}-{step}".lower().replace("-", "_")
        names.append(name)
        title = f"{rule.title}: {step if correlation.steps else 'the events that are counted'}"
        id_ = _uuid(f"{rule.id}/{step}")
        part = _document(rule, sigma, id_, title, words, _detection(sigma, about, selection))
        yield {**part, "name": name, "level": "informational"}
    yield _document(rule, sigma, sigma_id(rule), rule.title, words, _correlation(correlation, names))


def _correlation(correlation: Correlation, names: list[str]) -> Detection:
    counting: Detection = {
        "type": "temporal_ordered" if correlation.steps else "value_count",
        "rules": names,
        "group-by": list(correlation.group_by),
        "timespan": correlation.timespan,
    }
    if correlation.distinct:
        counting["condition"] = {"gte": correlation.at_least, "field": correlation.distinct}
    return {"correlation": counting}


def _detection(sigma: Sigma, about: _About, selection: Mapping[str, Any] | None = None) -> Detection:
    parts: Detection = {"selection": dict(selection or sigma.selection)}
    for name, blocks in (("keys", about.must), ("either", sigma.either)):
        if blocks:
            parts[name] = [dict(block) for block in blocks]
    musts = list(parts)
    filters: Detection = {
        **({"filter_keys": [dict(block) for block in about.must_not]} if about.must_not else {}),
        **({} if sigma.failed else {"filter_failed": dict(_FAILED)}),
    }
    terms = [*musts, *(f"not {name}" for name in filters)]
    if not sigma.services:
        filters["filter_services"] = [dict(block) for block in _SERVICES]
        filters["opened"] = [dict(block) for block in _OPENED]
        terms.append("not (filter_services and not opened)")
    detection = {**parts, **filters, "condition": " and ".join(terms)}
    return {"logsource": dict(_LOGSOURCE), "detection": detection}


def _document(
    rule: Rule[...], sigma: Sigma, id_: str, title: str, words: str, body: Detection
) -> dict[str, Any]:
    level: Severity = sigma.level or rule.severity
    return {
        "title": title,
        "id": id_,
        "status": "experimental",
        "description": f"{words} Keydeck rule {rule.id}.",
        "author": "Keydeck",
        "tags": list(_tags(rule)),
        **body,
        "falsepositives": list(sigma.falsepositives) or ["Unknown"],
        "level": level.value,
    }


def _tags(rule: Rule[...]) -> Iterator[str]:
    tactics: dict[str, None] = {}
    for id_ in rule.techniques:
        for _, tactic in TECHNIQUES[id_].tactics:
            tactics[f"attack.{tactic.lower().replace(' ', '-')}"] = None
    yield from tactics
    for id_ in rule.techniques:
        yield f"attack.{id_.lower()}"


def _uuid(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, name))
