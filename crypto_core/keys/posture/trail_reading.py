"""Reads how trails and their buckets are set up.

API reference: DescribeTrails, GetTrailStatus, GetEventSelectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.cancelling import stop_if
from crypto_core.errors import KmsError
from crypto_core.findings.finding import Gap
from crypto_core.findings.severity import Severity
from crypto_core.keys.posture.bucket import TrailBucket
from crypto_core.keys.posture.bucket_reading import read_bucket
from crypto_core.keys.posture.trails import Trail, recorded
from crypto_core.text.cleaning import clean


@dataclass(frozen=True, slots=True)
class DescribedTrails:
    """Trails by ARN: what DescribeTrails says of each, and which of the Regions that were asked it covers.

    `asked` are the Regions that answered, `failures` why others did not.
    """

    trails: Mapping[str, tuple[Mapping[str, Any], frozenset[str]]]
    asked: tuple[str, ...]
    failures: Mapping[str, KmsError]


def describe_trails(
    kms: KmsApi, regions: Iterable[str], *, cancelled: Event | None = None
) -> DescribedTrails:
    """Return the trails that cover these Regions, those of other Regions among them.

    Raises InterruptedRunError.
    """
    described: dict[str, Mapping[str, Any]] = {}
    covering: dict[str, set[str]] = {}
    asked: list[str] = []
    failures: dict[str, KmsError] = {}
    for region in regions:
        stop_if(cancelled)
        try:
            answer = kms.read("cloudtrail", "DescribeTrails", region=region, includeShadowTrails=True)
        except KmsError as error:
            failures[region] = error
            continue
        asked.append(region)
        for raw in answer.get("trailList") or ():
            arn = str(raw.get("TrailARN") or "")
            if arn and (raw.get("IsMultiRegionTrail") or (raw.get("HomeRegion") or region) == region):
                described.setdefault(arn, raw)
                covering.setdefault(arn, set()).add(region)
    trails = {arn: (raw, frozenset(covering[arn])) for arn, raw in described.items()}
    return DescribedTrails(trails, tuple(asked), failures)


def read_trails(
    kms: KmsApi, regions: Iterable[str], *, cancelled: Event | None = None
) -> tuple[tuple[Trail, ...], tuple[str, ...], tuple[Gap, ...]]:
    """Return the trails of these Regions, the Regions that could be asked, and a gap for each other one.

    Trails of other Regions that cover one of these are among them. Raises InterruptedRunError.
    """
    described = describe_trails(kms, regions, cancelled=cancelled)
    gaps = [
        Gap(f"{region}: trails: {error.why}", Severity.HIGH) for region, error in described.failures.items()
    ]
    found = []
    buckets: dict[str, TrailBucket] = {}
    for arn, (raw, regions_) in described.trails.items():
        stop_if(cancelled)
        home = clean(raw.get("HomeRegion") or min(regions_), 40)
        validated = raw.get("LogFileValidationEnabled")
        trail = Trail(
            clean(arn, 300),
            clean(raw.get("Name"), 128),
            home,
            regions_,
            multi_region=raw.get("IsMultiRegionTrail") is True,
            validated=validated if isinstance(validated, bool) else None,
            key=clean(raw.get("KmsKeyId"), 300),
        )
        trail = _with_selectors(kms, _with_status(kms, trail, arn), arn)
        name = str(raw.get("S3BucketName") or "")
        if name and name not in buckets:
            buckets[name] = read_bucket(kms, name, home, cancelled)
        found.append(replace(trail, bucket=buckets.get(name)))
    return tuple(found), described.asked, tuple(gaps)


def _with_status(kms: KmsApi, trail: Trail, arn: str) -> Trail:
    try:
        answer = kms.read("cloudtrail", "GetTrailStatus", region=trail.home, Name=arn)
    except KmsError as error:
        return replace(trail, missing={**trail.missing, "status": error.why})
    logging = answer.get("IsLogging")
    if logging is None:
        return replace(trail, missing={**trail.missing, "status": "CloudTrail does not say"})
    delivered = answer.get("LatestDeliveryTime")
    return replace(
        trail,
        logging=bool(logging),
        delivery_error=clean(answer.get("LatestDeliveryError"), 120),
        digest_error=clean(answer.get("LatestDigestDeliveryError"), 120),
        delivered_at=delivered if isinstance(delivered, datetime) else None,
    )


def _with_selectors(kms: KmsApi, trail: Trail, arn: str) -> Trail:
    try:
        answer = kms.read("cloudtrail", "GetEventSelectors", region=trail.home, TrailName=arn)
    except KmsError as error:
        return replace(trail, missing={**trail.missing, "event selectors": error.why})
    return replace(trail, recorded=recorded(answer))
