"""Changes that blind CloudTrail: stopped, deleted, redirected, or set to leave KMS out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from crypto_core.findings.severity import Severity
from crypto_core.findings.techniques import CLOUD_LOGS
from crypto_core.keys.posture.trails import recorded
from crypto_core.text.cleaning import clean
from crypto_core.trail.event import CLOUDTRAIL, TrailEvent
from crypto_core.trail.rules.change_findings import Judgement, change_rule
from crypto_core.trail.rules.rule_context import RuleContext, request, text


def _trail(event: TrailEvent) -> str:
    given = request(event)
    return text(given.get("name"), 300) or text(given.get("trailName"), 300) or "a trail"


def _short(event: TrailEvent) -> str:
    return clean(_trail(event).rsplit("/", 1)[-1], 60)


_trail_rule = partial(
    change_rule,
    techniques=(CLOUD_LOGS,),
    source=CLOUDTRAIL,
    subject=_trail,
    about_keys=False,
    falsepositives=("A planned change of the trail",),
)


@_trail_rule(
    "event-trail-stopped",
    "CloudTrail stopped",
    Severity.CRITICAL,
    names=("StopLogging",),
    remedy="Start it: aws cloudtrail start-logging. What happened meanwhile is in CloudTrail's event "
    "history for 90 days: keydeck events pull.",
    undo="StartLogging",
)
def stopped(_: RuleContext, event: TrailEvent) -> Judgement:
    return Severity.CRITICAL, f"stopped trail {_short(event)}", ""


@_trail_rule(
    "event-trail-deleted",
    "Trail deleted",
    Severity.CRITICAL,
    names=("DeleteTrail",),
    remedy="Create it again with log file validation; its files stay in the bucket. Fetch what is missing "
    "with keydeck events pull.",
    undo="CreateTrail",
)
def deleted(_: RuleContext, event: TrailEvent) -> Judgement:
    return Severity.CRITICAL, f"deleted trail {_short(event)}", ""


_OFF = {
    "isMultiRegionTrail": "no longer in all Regions",
    "includeGlobalServiceEvents": "global services left out",
    "enableLogFileValidation": "no digests any more, so that files can be forged",
}
_MOVED = ("s3BucketName", "s3KeyPrefix", "kmsKeyId", "snsTopicName", "cloudWatchLogsLogGroupArn")


@_trail_rule(
    "event-trail-changed",
    "Trail changed",
    Severity.HIGH,
    names=("UpdateTrail",),
    remedy="Compare with how the trail should be, and change it back: aws cloudtrail update-trail.",
)
def changed(_: RuleContext, event: TrailEvent) -> Judgement:
    given = request(event)
    off = [words for name, words in _OFF.items() if given.get(name) is False]
    moved = [f"{name} {text(given[name], 120) or 'none'}" for name in _MOVED if name in given]
    grave = bool(off) or "s3BucketName" in given
    return (
        Severity.HIGH if grave else Severity.MEDIUM,
        f"changed trail {_short(event)}",
        ", ".join([*off, *moved]),
    )


@_trail_rule(
    "event-trail-hides-kms",
    "Trail set to leave KMS events out",
    Severity.CRITICAL,
    names=("PutEventSelectors",),
    remedy="Let the trail take all management events again, reads and writes: aws cloudtrail "
    "put-event-selectors. CloudTrail's event history still has them for 90 days.",
    limits="Keydeck reads basic and advanced selectors, and reports only those that leave KMS out.",
)
def hides_kms(_: RuleContext, event: TrailEvent) -> Judgement | None:
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
