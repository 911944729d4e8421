"""S3's calls that are about a trail's files: they change the bucket that has them, or delete them.

Amazon S3 User Guide, "Amazon S3 CloudTrail events": CloudTrail doesn't always call an operation as the API
does. Of S3's events these are fetched, for the buckets of trails alone; deletions of single files are data
events, which a trail records only if told to.
"""

from __future__ import annotations

from crypto_core.trail.event import S3, TrailEvent
from crypto_core.trail.record_reader import load
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean
from crypto_core.values.key_names import partition_of

MADE, GONE = ("CreateBucket",), ("DeleteBucket",)
LIFECYCLE = ("PutBucketLifecycle", "PutBucketLifecycleConfiguration")
NO_LIFECYCLE = ("DeleteBucketLifecycle",)
POLICY, NO_POLICY = ("PutBucketPolicy",), ("DeleteBucketPolicy",)
BLOCK = ("PutBucketPublicAccessBlock", "PutPublicAccessBlock")
NO_BLOCK = ("DeleteBucketPublicAccessBlock", "DeletePublicAccessBlock")
ACCESS_LIST = ("PutBucketAcl",)
OWNERSHIP, NO_OWNERSHIP = ("PutBucketOwnershipControls",), ("DeleteBucketOwnershipControls",)
VERSIONING = ("PutBucketVersioning",)
LOCK = ("PutBucketObjectLockConfiguration", "PutObjectLockConfiguration")
ENCRYPTION, NO_ENCRYPTION = ("PutBucketEncryption",), ("DeleteBucketEncryption",)
REPLICATION, NO_REPLICATION = ("PutBucketReplication",), ("DeleteBucketReplication",)
DELETIONS = ("DeleteObject", "DeleteObjects", "DeleteObjectVersion")

BUCKET_CALLS = frozenset(
    (
        *(*MADE, *GONE, *LIFECYCLE, *NO_LIFECYCLE, *POLICY, *NO_POLICY, *BLOCK, *NO_BLOCK, *ACCESS_LIST),
        *(*OWNERSHIP, *NO_OWNERSHIP, *VERSIONING, *LOCK, *ENCRYPTION, *NO_ENCRYPTION, *REPLICATION),
        *(*NO_REPLICATION, *DELETIONS),
    )
)


def bucket_of(event: TrailEvent) -> CleanText:
    """Return the bucket that a call of S3 names, "" for none."""
    if event.source != S3:
        return NO_TEXT
    try:
        request = load(event.raw).get("requestParameters")
    except (ValueError, AttributeError):
        return NO_TEXT
    name = request.get("bucketName") if isinstance(request, dict) else None
    return clean(name, 63) if isinstance(name, str) else NO_TEXT


def bucket_arn(name: str, region: str) -> str:
    return f"arn:{partition_of(region)}:s3:::{name}"
