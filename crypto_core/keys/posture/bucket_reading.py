"""Reads how a trail's bucket is set up. API reference: GetBucketPolicyStatus, GetPublicAccessBlock, …"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from threading import Event
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.cancelling import stop_if
from crypto_core.errors import KmsError, NotConfiguredError
from crypto_core.keys.posture.bucket import ACCOUNT_BLOCK, ACL, BLOCK, LOGGING, POLICY, TrailBucket
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
