"""The account's trail: it delivers every KMS call to a bucket, as accounts should have it."""

from __future__ import annotations

from typing import Any

TRAIL = "account-trail"
TRAIL_BUCKET = "keydeck-sandbox-trail"
ACCESS_LOG_BUCKET = "keydeck-sandbox-access-logs"
LOG_ARCHIVE_KEY = "arn:aws:kms:{region}:210987654321:key/5c3a1f8e-70d2-4b7f-9a46-2f8f0f3b9d11"
"""The key that files of the trail are under: of the account that archives logs."""
_LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"


def create_trail(s3: Any, cloudtrail: Any, region: str) -> None:
    for bucket in (TRAIL_BUCKET, ACCESS_LOG_BUCKET):
        if region == "us-east-1":  # S3 takes no location constraint for it
            s3.create_bucket(Bucket=bucket)
        else:
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
    secure_bucket(s3, TRAIL_BUCKET, ACCESS_LOG_BUCKET)
    cloudtrail.create_trail(
        Name=TRAIL,
        S3BucketName=TRAIL_BUCKET,
        IsMultiRegionTrail=True,
        EnableLogFileValidation=True,
        KmsKeyId=LOG_ARCHIVE_KEY.format(region=region),
    )
    cloudtrail.start_logging(Name=TRAIL)


def secure_bucket(s3: Any, bucket: str, access_logs: str) -> None:
    """Let nobody make a bucket public, and have its accesses logged in another one."""
    s3.put_bucket_acl(
        Bucket=access_logs, GrantWrite=f"uri={_LOG_DELIVERY}", GrantReadACP=f"uri={_LOG_DELIVERY}"
    )
    blocked = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=blocked)
    s3.put_bucket_logging(
        Bucket=bucket,
        BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": access_logs, "TargetPrefix": "trail/"}},
    )
