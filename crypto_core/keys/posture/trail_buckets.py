"""The buckets that trails deliver to: who may read them, and whether it is logged that somebody does.

Amazon S3 User Guide, "Blocking public access to your Amazon S3 storage" and "Logging requests with server
access logging". A trail's files tell who opens what and when; they open nothing, so that a public bucket is
medium. The block of the account counts as the bucket's own; it is asked for where that one doesn't restrict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crypto_core.findings import controls
from crypto_core.findings.finding import Finding, Gap
from crypto_core.findings.registry import Facts, Said, rule
from crypto_core.findings.severity import Severity
from crypto_core.keys.posture.trails import ACCOUNT_BLOCK, ACL, BLOCK, LOGGING, POLICY, Trail, TrailBucket
from crypto_core.text.cleaning import NO_TEXT

_LETS = "does not restrict it"


def _buckets(trails: Sequence[Trail]) -> Iterator[tuple[TrailBucket, str, str]]:
    found: dict[str, tuple[TrailBucket, str, list[str]]] = {}
    for trail in trails:
        if trail.bucket is not None:
            arn = f"arn:{trail.arn.split(':')[1]}:s3:::{trail.bucket.name}"
            found.setdefault(arn, (trail.bucket, arn, []))[2].append(trail.name)
    for bucket, arn, names in found.values():
        yield bucket, arn, f"trail {', '.join(names)}"


@rule(
    "trail-bucket-public",
    "Bucket of a trail open to everybody",
    Severity.MEDIUM,
    Facts.TRAILS,
    about="by its policy or its access list, unless its public access block or the account's restricts them",
    controls=(controls.HUB_BUCKET_PUBLIC, controls.CIS_PUBLIC, controls.AUDIT_PROTECTION),
)
def public(trails: Sequence[Trail], _: Sequence[str]) -> Said:
    """Yield buckets that everybody may use, and gaps where that could not be seen."""
    for bucket, arn, of_trails in _buckets(trails):
        if bucket.public_by:
            blocks = [f"{part}: {bucket.missing.get(part, _LETS)}" for part in (BLOCK, ACCOUNT_BLOCK)]
            yield Finding(
                "",
                Severity.MEDIUM,
                arn,
                f"Bucket {bucket.name} of {of_trails} is open to everybody",
                "; ".join([*bucket.public_by, *blocks]),
                f"aws s3api put-public-access-block --bucket {bucket.name} "
                "--public-access-block-configuration "
                "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true",
            )
            continue
        for part in (POLICY, BLOCK, ACL):
            if part in bucket.missing:
                yield Gap(f"{arn}: {part}: {bucket.missing[part]}", Severity.MEDIUM)


@rule(
    "trail-bucket-unlogged",
    "Bucket of a trail without access logging",
    Severity.LOW,
    Facts.TRAILS,
    about="nobody sees who reads or deletes the trail's files, unless a trail records its data events",
    controls=(controls.CIS_BUCKET_LOGGING, controls.HUB_BUCKET_LOGGING, controls.AUDIT_PROTECTION),
)
def unlogged(trails: Sequence[Trail], _: Sequence[str]) -> Said:
    """Yield buckets whose accesses are not logged, and gaps where that could not be seen."""
    for bucket, arn, of_trails in _buckets(trails):
        if LOGGING in bucket.missing:
            yield Gap(f"{arn}: {LOGGING}: {bucket.missing[LOGGING]}", Severity.LOW)
        elif bucket.logged_to == NO_TEXT:
            yield Finding(
                "",
                Severity.LOW,
                arn,
                f"Who reads bucket {bucket.name} of {of_trails} is not logged",
                "GetBucketLogging: server access logging is off; data events are not looked at",
                f"Log its accesses in another bucket: aws s3api put-bucket-logging --bucket {bucket.name} …",
            )
