"""The account's trail: it delivers every KMS call to a bucket, as accounts should have it."""

from __future__ import annotations

from typing import Any

TRAIL = "account-trail"
TRAIL_BUCKET = "keydeck-sandbox-trail"


def create_trail(s3: Any, cloudtrail: Any, region: str) -> None:
    """Create the bucket and the trail with boto3 clients, and start logging."""
    if region == "us-east-1":  # S3 takes no location constraint for it
        s3.create_bucket(Bucket=TRAIL_BUCKET)
    else:
        s3.create_bucket(Bucket=TRAIL_BUCKET, CreateBucketConfiguration={"LocationConstraint": region})
    cloudtrail.create_trail(
        Name=TRAIL, S3BucketName=TRAIL_BUCKET, IsMultiRegionTrail=True, EnableLogFileValidation=True
    )
    cloudtrail.start_logging(Name=TRAIL)
