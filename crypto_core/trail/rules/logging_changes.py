"""Changes that blind CloudTrail: stopped, deleted, sent elsewhere, or told to leave KMS out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.severity import Severity
from crypto_core.findings.techniques import CLOUD_LOGS
from crypto_core.keys.posture.trails import recorded
from crypto_core.text.cleaning import clean
from crypto_core.trail.event import CLOUDTRAIL, TrailEvent
from crypto_core.trail.rules.change_findings import JudgedChange, Say, findings_for_changes
from crypto_core.trail.rules.rule import Rule, Sigma
from crypto_core.trail.rules.rule_context import RuleContext, request, text

_RULES = {
    "event-trail-stopped": ("StopLogging",),
    "event-trail-deleted": ("DeleteTrail",),
    "event-trail-changed": ("UpdateTrail",),
    "event-trail-hides-kms": ("PutEventSelectors",),
}


def _trail(event: TrailEvent) -> str:
    given = request(event)
    return text(given.get("name"), 300) or text(given.get("trailName"), 300) or "a trail"


def _short(event: TrailEvent) -> str:
    return clean(_trail(event).rsplit("/", 1)[-1], 60)


def _stopped(_: RuleContext, event: TrailEvent) -> Say:
    return Severity.CRITICAL, f"stopped trail {_short(event)}", ""


def _deleted(_: RuleContext, event: TrailEvent) -> Say:
    return Severity.CRITICAL, f"deleted trail {_short(event)}", ""


_OFF = {
    "isMultiRegionTrail": "no longer in all Regions",
    "includeGlobalServiceEvents": "global services left out",
    "enableLogFileValidation": "no digests any more, so that files can be forged",
}
_MOVED = ("s3BucketName", "s3KeyPrefix", "kmsKeyId", "snsTopicName", "cloudWatchLogsLogGroupArn")


def _updated(_: RuleContext, event: TrailEvent) -> Say:
    given = request(event)
    off = [words for name, words in _OFF.items() if given.get(name) is False]
    moved = [f"{name} {text(given[name], 120) or 'none'}" for name in _MOVED if name in given]
    grave = bool(off) or "s3BucketName" in given
    return (
        Severity.HIGH if grave else Severity.MEDIUM,
        f"changed trail {_short(event)}",
        ", ".join([*off, *moved]),
    )


def _selectors(_: RuleContext, event: TrailEvent) -> Say | None:
    """None where all of KMS's events are still taken."""
    given = request(event)
    name = _short(event)
    if event.failed and not given:
        return Severity.HIGH, f"changed which events trail {name} takes", ""
    said = recorded(
        {
            "EventSelectors": _objects(given.get("eventSelectors")),
            "AdvancedEventSelectors": [
                {"FieldSelectors": _objects(one.get("FieldSelectors"))}
                for one in _objects(given.get("advancedEventSelectors"))
            ],
        }
    )
    if said.whole:
        return None
    return (
        Severity.CRITICAL if not said.reads else Severity.HIGH,
        f"made trail {name} leave out KMS events",
        said.limits,
    )


def _objects(value: object) -> list[Mapping[str, Any]]:
    """A list of objects with names as AWS's answers have them; what is of another type is dropped."""
    if not isinstance(value, list):
        return []
    return [
        {name[:1].upper() + name[1:]: _value(part) for name, part in one.items() if isinstance(name, str)}
        for one in value
        if isinstance(one, dict)
    ]


def _value(value: object) -> Any:
    if isinstance(value, list):
        return [one for one in value if isinstance(one, str | dict)]
    return value if isinstance(value, bool) else text(value)


_KINDS = {
    kind.rule: kind
    for kind in (
        JudgedChange(
            "event-trail-stopped",
            _stopped,
            "Start it: aws cloudtrail start-logging. What happened meanwhile is in CloudTrail's event "
            "history for 90 days: keydeck events pull.",
            "StartLogging",
            subject=_trail,
            about_keys=False,
        ),
        JudgedChange(
            "event-trail-deleted",
            _deleted,
            "Create it again with log file validation; its files stay in the bucket. Fetch what is missing "
            "with keydeck events pull.",
            "CreateTrail",
            subject=_trail,
            about_keys=False,
        ),
        JudgedChange(
            "event-trail-changed",
            _updated,
            "Compare with how the trail should be, and change it back: aws cloudtrail update-trail.",
            subject=_trail,
            about_keys=False,
        ),
        JudgedChange(
            "event-trail-hides-kms",
            _selectors,
            "Let the trail take all management events again, reads and writes: aws cloudtrail "
            "put-event-selectors. CloudTrail's event history still has them for 90 days.",
            subject=_trail,
            about_keys=False,
        ),
    )
}


def _changes(watched: RuleContext, rule: str) -> Iterator[Finding | Gap]:
    events, gaps = watched.changes(CLOUDTRAIL, *_RULES[rule])
    yield from gaps
    yield from findings_for_changes(watched, events, _KINDS[rule])


def _rule(rule: str, title: str, severity: Severity, limits: str = "") -> Rule:
    return Rule(
        rule,
        title,
        severity,
        (CLOUD_LOGS,),
        Sigma(
            {"eventSource": CLOUDTRAIL, "eventName": list(_RULES[rule])},
            limits=limits,
            falsepositives=("A planned change of the trail",),
        ),
        lambda watched: _changes(watched, rule),
    )


RULES = (
    _rule("event-trail-stopped", "CloudTrail stopped", Severity.CRITICAL),
    _rule("event-trail-deleted", "Trail deleted", Severity.CRITICAL),
    _rule("event-trail-changed", "Trail changed", Severity.HIGH),
    _rule(
        "event-trail-hides-kms",
        "Trail told to leave KMS events out",
        Severity.CRITICAL,
        "Keydeck reads the selectors, basic and advanced, and tells only those that leave KMS out.",
    ),
)
