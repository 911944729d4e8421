"""Reads how trails and their buckets are set up.

API reference: DescribeTrails, GetTrailStatus, GetEventSelectors, GetBucketPolicyStatus,
GetPublicAccessBlock, …
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.cancelling import stop_if
from crypto_core.errors import KmsError, NotConfiguredError
from crypto_core.findings.finding import Gap
from crypto_core.findings.severity import Severity
from crypto_core.keys.posture.trails import (
    ACCOUNT_BLOCK,
    ACL,
    BLOCK,
    LOGGING,
    POLICY,
    Trail,
    TrailBucket,
    recorded,
)
from crypto_core.text.cleaning import clean

_EVERYBODY = (
    "http://acs.amazonaws.com/groups/global/AllUsers",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
)


def read_bucket(kms: KmsApi, name: str, region: str, cancelled: Event | None = None) -> TrailBucket:
    """Return a bucket with what may be read of it. Raises InterruptedRunError."""
    missing: dict[str, str] = {}

    def read(part: str, operation: str) -> Mapping[str, Any] | None:
        """The answer, nothing in it where nothing is set, None where it may not be read."""
        stop_if(cancelled)
        try:
            return kms.read("s3", operation, region=region, Bucket=name)
        except NotConfiguredError:
            return {}
        except KmsError as error:
            missing[part] = error.why
            return None

    policy = read(POLICY, "GetBucketPolicyStatus")
    block = read(BLOCK, "GetPublicAccessBlock")
    blocks = (block or {}).get("PublicAccessBlockConfiguration") or {}
    ignored = blocks.get("IgnorePublicAcls") is True
    acl = {} if ignored else read(ACL, "GetBucketAcl")
    logging = read(LOGGING, "GetBucketLogging")
    found = TrailBucket(
        clean(name, 63),
        None if policy is None else (policy.get("PolicyStatus") or {}).get("IsPublic") is True,
        None if block is None else blocks.get("RestrictPublicBuckets") is True,
        None if acl is None else _is_public(acl),
        None if logging is None else clean((logging.get("LoggingEnabled") or {}).get("TargetBucket"), 63),
        missing,
    )
    return _behind_account(kms, name, region, found) if found.public_by else found


def _behind_account(kms: KmsApi, name: str, region: str, found: TrailBucket) -> TrailBucket:
    """What the block of the caller's account leaves of a public bucket, if the bucket is its own."""
    try:
        account = kms.identity().account
        kms.read("s3", "GetBucketLocation", region=region, Bucket=name, ExpectedBucketOwner=account)
        answer = kms.read("s3control", "GetPublicAccessBlock", region=region, AccountId=account)
    except NotConfiguredError:
        return found
    except KmsError as error:
        return replace(found, missing={**found.missing, ACCOUNT_BLOCK: error.why})
    blocks = answer.get("PublicAccessBlockConfiguration") or {}
    return replace(
        found,
        policy_restricted=found.policy_restricted or blocks.get("RestrictPublicBuckets") is True,
        acl_public=found.acl_public and blocks.get("IgnorePublicAcls") is not True,
    )


def _is_public(acl: Mapping[str, Any]) -> bool:
    return any((grant.get("Grantee") or {}).get("URI") in _EVERYBODY for grant in acl.get("Grants") or ())


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
    """Return the trails that cover these Regions, wherever their home is. Raises InterruptedRunError."""
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
