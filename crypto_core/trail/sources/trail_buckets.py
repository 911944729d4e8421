"""The buckets whose changes are fetched: those of the trails, from their own settings, and those of before.

A bucket's changes are recorded in its own account and Region, which S3 says. One that a trail delivered to is
followed when the trail is gone or delivers elsewhere: its files are still evidence. API reference:
DescribeTrails, GetBucketLocation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from threading import Event

from crypto_core.aws.kms import KmsApi
from crypto_core.cancelling import stop_if
from crypto_core.errors import KmsError
from crypto_core.keys.posture.trail_reading import describe_trails
from crypto_core.text.cleaning import clean
from crypto_core.trail.sources.answers import why
from crypto_core.trail.store.pulls import DeliveryBucket, PullBook

_NOT_NAMED = {"": "us-east-1", "EU": "eu-west-1"}
"""What GetBucketLocation says of buckets in the oldest Regions."""


@dataclass(frozen=True, slots=True)
class DeliveryBuckets:
    """The buckets to follow, and what is not known of them."""

    known: tuple[DeliveryBucket, ...] = ()
    gaps: tuple[str, ...] = ()


def find_buckets(
    kms: KmsApi, book: PullBook, regions: Iterable[str], account: str, cancelled: Event | None
) -> DeliveryBuckets:
    """Return the buckets of the trails that cover these Regions, and those that are followed already.

    `account` is the caller's, "" if that isn't known. Raises InterruptedRunError, EventStoreError.
    """
    before = {bucket.name: bucket for bucket, windows in book.followed().items() if any(windows.values())}
    described = describe_trails(kms, regions, cancelled=cancelled)
    gaps = [
        f"{region}: which buckets trails deliver to: {why(error)}"
        for region, error in described.failures.items()
    ]
    found = dict(before)
    homes = {
        str(raw["S3BucketName"]): str(raw.get("HomeRegion") or min(covered))
        for raw, covered in described.trails.values()
        if raw.get("S3BucketName")
    }
    for name, home in homes.items():
        stop_if(cancelled)
        try:
            found[name] = DeliveryBucket(name, _region_of(kms, name, home, account), account)
        except KmsError as error:
            if name in before:
                continue
            found[name] = DeliveryBucket(name, home, account, located=False)
            gaps.append(
                f"Changes of the trail's bucket {clean(name, 63)} are looked for in {clean(home, 40)} alone: "
                f"where and whose it is, is not known: {why(error)}"
            )
    return DeliveryBuckets(tuple(found.values()), tuple(gaps))


def _region_of(kms: KmsApi, name: str, home: str, account: str) -> str:
    """The Region of a bucket of the account's. Raises KmsError, also for a bucket of another account."""
    owner = {"ExpectedBucketOwner": account} if account else {}
    answer = kms.read("s3", "GetBucketLocation", region=home, Bucket=name, **owner)
    region = clean(answer.get("LocationConstraint"), 40)
    return _NOT_NAMED.get(region, region)
