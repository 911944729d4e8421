"""CloudTrail's LookupEvents, served from the trail's memory.

https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html: 90 days back, newest
first, one attribute, at most 50 events a page, and a NextToken that demands the same parameters.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from console.sandbox.endpoint.errors import ServiceError
from console.sandbox.endpoint.records import S3, Record, as_uuid
from console.sandbox.endpoint.trail import Position, SandboxTrail

PAGE = 50
_WINDOW = 90 * 86_400.0

_MATCHERS: dict[str, Callable[[Record, str], bool]] = {
    "EventId": lambda record, value: as_uuid(record.event_id) == value,
    "EventName": lambda record, value: record.name == value,
    "ReadOnly": lambda record, value: ("true" if record.read_only else "false") == value,
    "Username": lambda record, value: record.identity is not None and record.identity.user_name == value,
    "ResourceType": lambda record, value: any(kind == value for kind, _ in _resources(record)),
    "ResourceName": lambda record, value: any(name == value for _, name in _resources(record)),
    "EventSource": lambda record, value: record.source == value,
    "AccessKeyId": lambda record, value: record.identity is not None and record.access_key_id == value,
}


def lookup_events(trail: SandboxTrail, region: str, request: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return one page of a Region's events, as asked at `now` (epoch seconds).

    Raises InvalidLookupAttributesException, InvalidTimeRangeException, InvalidMaxResultsException and
    InvalidNextTokenException as CloudTrail does.
    """
    matches = _matcher(request.get("LookupAttributes"))
    end = min(float(request.get("EndTime", now)), now)
    start = float(request.get("StartTime", now - _WINDOW))
    if "StartTime" in request and "EndTime" in request and start > float(request["EndTime"]):
        raise ServiceError(
            "InvalidTimeRangeException", "The specified start time must be before the specified end time."
        )
    limit = request.get("MaxResults", PAGE)
    if not isinstance(limit, int) or not 1 <= limit <= PAGE:
        raise ServiceError("InvalidMaxResultsException", f"MaxResults must be between 1 and {PAGE}.")
    digest = _digest(request)
    after = _read_token(request["NextToken"], digest) if "NextToken" in request else None

    events: list[Record] = []
    for record in trail.newest_first(max(start, now - _WINDOW), end, after):
        if record.region == region and matches(record):
            if len(events) == limit:
                return {
                    "Events": [_event(one) for one in events],
                    "NextToken": _write_token(events[-1], digest),
                }
            events.append(record)
    return {"Events": [_event(one) for one in events]}


def _resources(record: Record) -> Iterator[tuple[str, str]]:
    for arn in record.resources:
        yield "AWS::KMS::Key", arn
    if record.source == S3 and record.request and record.request.get("bucketName"):
        yield "AWS::S3::Bucket", str(record.request["bucketName"])


def _event(record: Record) -> dict[str, Any]:
    event: dict[str, Any] = {
        "EventId": as_uuid(record.event_id),
        "EventName": record.name,
        "ReadOnly": "true" if record.read_only else "false",
        "EventTime": int(record.time),
        "EventSource": record.source,
        "Resources": [
            {"ResourceType": kind, "ResourceName": resource} for kind, resource in _resources(record)
        ],
        "CloudTrailEvent": json.dumps(record.as_cloudtrail(), separators=(",", ":")),
    }
    if record.identity is not None:
        event["AccessKeyId"] = record.access_key_id
        event["Username"] = record.identity.user_name
    return event


def _matcher(attributes: Any) -> Callable[[Record], bool]:
    if not attributes:
        return lambda _record: True
    if len(attributes) > 1:
        raise ServiceError(
            "InvalidLookupAttributesException", "You can specify only one lookup attribute in a request."
        )
    name, value = attributes[0].get("AttributeKey"), attributes[0].get("AttributeValue")
    if name not in _MATCHERS or not isinstance(value, str) or not value:
        raise ServiceError("InvalidLookupAttributesException", "The lookup attribute is not valid.")
    match = _MATCHERS[name]
    return lambda record: match(record, value)


def _digest(request: Mapping[str, Any]) -> str:
    asked = {name: value for name, value in request.items() if name != "NextToken"}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def _write_token(last: Record, digest: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([digest, last.time, last.sequence]).encode()).decode()


def _read_token(token: object, digest: str) -> Position:
    try:
        written_for, moment, sequence = json.loads(base64.urlsafe_b64decode(str(token)))
    except (binascii.Error, ValueError) as error:
        raise ServiceError("InvalidNextTokenException", "The NextToken is not valid.") from error
    if written_for != digest:
        raise ServiceError(
            "InvalidNextTokenException", "The NextToken was issued for a request with other parameters."
        )
    return float(moment), int(sequence)
