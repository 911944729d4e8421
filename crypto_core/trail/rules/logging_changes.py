"""Changes that blind CloudTrail: stopped, deleted, redirected, or set to leave KMS out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from crypto_core.findings.finding import Severity
from crypto_core.findings.standards import CLOUD_LOGS
from crypto_core.keys.posture.trails import recorded
from crypto_core.trail.event import CLOUDTRAIL, TrailEvent
from crypto_core.trail.rules.change_findings import Judgement, change_rule
from crypto_core.trail.rules.rule_context import RuleContext, listed, request, text
from crypto_core.values.clean_text import clean
from crypto_core.values.key_names import account_of, partition_of


def _trail(event: TrailEvent) -> str:
    given = request(event)
    name = text(given.get("name"), 300) or text(given.get("trailName"), 300)
    if not name or name.startswith("arn:"):
        return name or "a trail"
    return f"arn:{partition_of(event.region)}:cloudtrail:{event.region}:{event.account}:trail/{name}"


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
def changed(context: RuleContext, event: TrailEvent) -> Judgement:
    given = request(event)
    off = [words for name, words in _OFF.items() if given.get(name) is False]
    keys = {a for a in [account_of(text(given.get("kmsKeyId"), 256))] if a}
    foreign = (
        keys - context.keys.accounts - {event.account} if context.keys.accounts else keys - {event.account}
    )
    moved = [f"{name} {text(given[name], 120) or 'none'}" for name in _MOVED if name in given]
    if foreign:
        off.append(f"its files are encrypted under a key of account {listed(sorted(foreign))}")
    grave = bool(off) or "s3BucketName" in given
    severity = Severity.HIGH if grave else Severity.MEDIUM
    return (
        Severity.CRITICAL if foreign else severity,
        f"changed trail {_short(event)}",
        ", ".join([*off, *moved]),
    )


@_trail_rule(
    "event-trail-hides-kms",
    "Trail set to leave KMS events out",
    Severity.CRITICAL,
    names=("PutEventSelectors",),
    undo="PutEventSelectors",
    remedy="Let the trail take all management events again, reads and writes: aws cloudtrail "
    "put-event-selectors. CloudTrail's event history still has them for 90 days.",
    no_sigma="a list of selectors has to be added up to know whether KMS's events are still taken",
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


def _of_data_store(event: TrailEvent) -> str:
    return text(request(event).get("eventDataStore"), 300) or "an event data store"


_STORE_WORDS = {
    "StopEventDataStoreIngestion": "stopped event data store {}",
    "DeleteEventDataStore": "deleted event data store {}",
}


@_trail_rule(
    "event-data-store-stopped",
    "Event data store stopped or deleted",
    Severity.HIGH,
    names=tuple(_STORE_WORDS),
    undo="StartEventDataStoreIngestion",
    subject=_of_data_store,
    remedy="A deleted one can be restored for seven days: aws cloudtrail restore-event-data-store, then "
    "start-event-data-store-ingestion. Fetch what is missing with keydeck events pull.",
)
def data_store_stopped(_: RuleContext, event: TrailEvent) -> Judgement:
    name = clean(_of_data_store(event).rsplit("/", 1)[-1], 60)
    return Severity.HIGH, _STORE_WORDS[event.name].format(name), ""


@_trail_rule(
    "event-trail-made",
    "Trail created",
    Severity.LOW,
    names=("CreateTrail",),
    remedy="Whoever reads its bucket reads what this account does: see that bucket and key are yours.",
)
def made(_: RuleContext, event: TrailEvent) -> Judgement:
    bucket = text(request(event).get("s3BucketName"), 120)
    return Severity.LOW, f"created trail {_short(event)}", f"delivers to {bucket}" if bucket else ""


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
