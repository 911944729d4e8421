"""A trail's files and its buckets: delivered, from every Region, with digests, under a KMS key, read by whom?

AWS CloudTrail User Guide, "Validating CloudTrail log file integrity" and "Encrypting CloudTrail log files
with AWS KMS keys"; API reference, GetTrailStatus; Amazon S3 User Guide, "Blocking public access to your
Amazon S3 storage" and "Logging requests with server access logging". A trail's files tell who opens what and
when; they open nothing, so a public bucket is medium. The block of the account counts as the bucket's own; it
is asked for where that one doesn't restrict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crypto_core.findings import standards
from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.findings.registry import Facts, Said, rule
from crypto_core.keys.posture.trails import ACCOUNT_BLOCK, ACL, BLOCK, LOGGING, POLICY, BucketState, Trail
from crypto_core.values.clean_text import NO_TEXT


@rule(
    "trail-undelivered",
    "Trail whose files are not delivered",
    Severity.HIGH,
    Facts.TRAILS,
    about="low where another trail delivers KMS's events of the same Regions, medium where only digests fail",
    controls=(standards.AUDIT_FAILURES, standards.AUDIT_RECORDS),
)
def undelivered(trails: Sequence[Trail], _: Sequence[str]) -> Said:
    for trail in trails:
        if not trail.logging:
            continue
        others = [
            t
            for t in trails
            if t is not trail and t.covers and not t.delivery_error and trail.regions <= t.regions
        ]
        last = (
            f"; the last file came at {trail.delivered_at:%Y-%m-%d %H:%M} UTC" if trail.delivered_at else ""
        )
        where = f" in bucket {trail.bucket.name}" if trail.bucket else ""
        for what, field, error, severity in (
            ("files", "LatestDeliveryError", trail.delivery_error, Severity.HIGH),
            ("digests", "LatestDigestDeliveryError", trail.digest_error, Severity.MEDIUM),
        ):
            if error:
                yield trail.finding(
                    Severity.LOW if others else severity,
                    f"S3 refuses the {what} of trail {trail.name}",
                    f"GetTrailStatus: {field} {error}{last if what == 'files' else ''}"
                    + ("; another trail delivers KMS's events" if others else ""),
                    f"Let CloudTrail write{where}: its policy, and the key's where they are encrypted. "
                    "For 90 days, CloudTrail's event history has what is missing: keydeck events pull.",
                )


@rule(
    "trail-unvalidated",
    "Trail without log file validation",
    Severity.MEDIUM,
    Facts.TRAILS,
    about="no digests: files can be changed or deleted unseen",
    controls=(standards.CIS_VALIDATION, standards.HUB_VALIDATION, standards.AUDIT_PROTECTION),
)
def unvalidated(trails: Sequence[Trail], _: Sequence[str]) -> Said:
    for trail in trails:
        if trail.validated is None:
            yield Gap(f"{trail.arn}: log file validation: CloudTrail does not say", Severity.MEDIUM)
        elif not trail.validated:
            yield trail.finding(
                Severity.MEDIUM,
                f"Trail {trail.name} makes no digests of its files",
                "DescribeTrails: LogFileValidationEnabled false; whoever may write to its bucket can change "
                "what is recorded, and nothing shows it",
                f"aws cloudtrail update-trail --name {trail.arn} --region {trail.home} "
                "--enable-log-file-validation; then keydeck events pull --from s3 --validate checks them.",
            )


@rule(
    "trail-unencrypted",
    "Trail whose files are not under a KMS key",
    Severity.LOW,
    Facts.TRAILS,
    about="S3 encrypts them with keys of its own: the bucket's policy alone decides who reads them",
    controls=(standards.CIS_TRAIL_ENCRYPTION, standards.HUB_TRAIL_ENCRYPTION, standards.AT_REST),
)
def unencrypted(trails: Sequence[Trail], _: Sequence[str]) -> Said:
    """Yield trails without a KMS key. Whether a bucket has one by default, the trail doesn't say."""
    for trail in trails:
        if not trail.key:
            yield trail.finding(
                Severity.LOW,
                f"The files of trail {trail.name} are under no KMS key of the trail",
                "DescribeTrails: no KmsKeyId",
                "Give it a key of its own, none that guards tokens: aws cloudtrail update-trail --name "
                f"{trail.arn} --region {trail.home} --kms-key-id KEY.",
            )


@rule(
    "trail-one-region",
    "No trail that is logging in all Regions",
    Severity.MEDIUM,
    Facts.TRAILS,
    about="each trail records its own Region alone; what is done elsewhere leaves no record that lasts",
    controls=(standards.CIS_TRAIL, standards.HUB_TRAIL, standards.AUDIT_RECORDS),
)
def one_region(trails: Sequence[Trail], _: Sequence[str]) -> Said:
    if any(trail.multi_region and trail.logging is not False for trail in trails):
        return
    for trail in trails:
        if trail.logging and not trail.multi_region:
            yield trail.finding(
                Severity.MEDIUM,
                f"Trail {trail.name} records {trail.home} alone, and no trail all Regions",
                "DescribeTrails: IsMultiRegionTrail false; a key elsewhere can be made and used unseen",
                f"aws cloudtrail update-trail --name {trail.arn} --region {trail.home} "
                "--is-multi-region-trail",
            )


_LETS = "does not restrict it"


def _buckets(trails: Sequence[Trail]) -> Iterator[tuple[BucketState, str, str]]:
    found: dict[str, tuple[BucketState, str, list[str]]] = {}
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
    controls=(standards.HUB_BUCKET_PUBLIC, standards.CIS_PUBLIC, standards.AUDIT_PROTECTION),
)
def public(trails: Sequence[Trail], _: Sequence[str]) -> Said:
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
    controls=(standards.CIS_BUCKET_LOGGING, standards.HUB_BUCKET_LOGGING, standards.AUDIT_PROTECTION),
)
def unlogged(trails: Sequence[Trail], _: Sequence[str]) -> Said:
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
