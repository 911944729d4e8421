"""The checks of others about KMS and CloudTrail, and what Keydeck has for each: the manual's matrix.

AWS Config: list of managed rules. AWS Security Hub: controls of AWS KMS and AWS CloudTrail. Prowler 5: checks
of its services kms and cloudtrail, and those of iam that are about KMS. CIS AWS Foundations Benchmark 7.0.0:
recommendations about keys, trails and what is to be monitored of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from crypto_core.findings.controls import CIS, FSBP


class Verdict(StrEnum):
    """What Keydeck has for a check."""

    COVERED = "covered"
    BETTER = "better"
    DIFFERS = "differs"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class PublicCheck:
    """One check of somebody else; `rules` are Keydeck's that look at the same, `why` the verdict's reason."""

    source: str
    name: str
    verdict: Verdict
    rules: tuple[str, ...]
    why: str


_C, _B, _D, _M = Verdict.COVERED, Verdict.BETTER, Verdict.DIFFERS, Verdict.MISSING
_CONFIG, _PROWLER = "AWS Config", "Prowler"

_ROTATION = ("kms-rotation-off", "kms-rotation-period", "kms-material-old")
_ROTATES = "Tells keys that KMS can't rotate and rotation by hand apart, and which tokens are on old material"
_DELETION = ("kms-key-pending-deletion", "event-key-deletion", "event-key-ransom")
_DELETED = "Says how many tokens are lost with the key, and who scheduled it"
_PUBLIC = ("kms-key-public", "kms-key-cross-account", "kms-grant-wide", "event-key-policy")
_OPENED = "Reads conditions and grants as well, other accounts, and each change of a policy"
_DECRYPTS = (
    "Every action and resource pattern, NotAction, NotResource and Deny; low where a condition or "
    "permissions boundaries narrow it"
)
_TRAILS = ("trail-none", "trail-stopped", "trail-one-region", "trail-excludes-kms")
_RECORDED = (
    "By KMS's events: a trail that leaves them out, or has only reads or writes, is a finding by Region"
)
_DIGESTS = "keydeck events pull --validate checks the digests that this makes"
_WATCHED = (
    *("event-trail-stopped", "event-trail-deleted", "event-trail-changed"),
    *("event-trail-hides-kms", "event-trail-made", "event-data-store-stopped"),
)
_OF_BUCKET = (
    *("event-trail-bucket-policy", "event-trail-bucket-expiry", "event-trail-bucket-opened"),
    *("event-trail-bucket-unprotected", "event-trail-bucket-deleted"),
)
_NO_LOGS = "Keydeck reads trails itself; alarms elsewhere are not looked at"
_DATA = "What is done with keys are management events; objects of S3 are none of Keydeck's business"
_ENCLAVES = "About Nitro Enclaves, in which no platform that Keydeck serves opens tokens"
_TAGS = "Tags say nothing of who can open tokens; a change of a key's tags is event-key-tagged"

_TABLE: tuple[tuple[str, str, Verdict, tuple[str, ...], str], ...] = (
    (FSBP, "KMS.1", _C, ("kms-decrypt-all-managed",), _DECRYPTS),
    (FSBP, "KMS.2", _C, ("kms-decrypt-all-inline",), _DECRYPTS),
    (FSBP, "KMS.3", _B, _DELETION, _DELETED),
    (FSBP, "KMS.4", _B, _ROTATION, _ROTATES),
    (FSBP, "KMS.5", _B, _PUBLIC, _OPENED),
    (FSBP, "CloudTrail.1", _B, _TRAILS, _RECORDED),
    (FSBP, "CloudTrail.2", _C, ("trail-unencrypted",), ""),
    (FSBP, "CloudTrail.3", _B, _TRAILS, _RECORDED),
    (FSBP, "CloudTrail.4", _B, ("trail-unvalidated", "trail-undelivered"), _DIGESTS),
    (FSBP, "CloudTrail.5", _D, _WATCHED, _NO_LOGS),
    (FSBP, "CloudTrail.6", _C, ("trail-bucket-public",), "The block of the whole account counts, too"),
    (FSBP, "CloudTrail.7", _C, ("trail-bucket-unlogged",), ""),
    (FSBP, "CloudTrail.9", _M, (), _TAGS),
    (
        FSBP,
        "CloudTrail.10",
        _D,
        (
            "trail-store-unencrypted",
            "trail-store-incomplete",
            "trail-store-fleeting",
            "event-data-store-stopped",
        ),
        "Of the store that KEYDECK_LAKE_STORE names alone, but also what it leaves out and how long it lasts",
    ),
    (_CONFIG, "cmk-backing-key-rotation-enabled", _B, _ROTATION, _ROTATES),
    (_CONFIG, "kms-cmk-not-scheduled-for-deletion", _B, _DELETION, _DELETED),
    (_CONFIG, "kms-key-policy-no-public-access", _B, _PUBLIC, _OPENED),
    (_CONFIG, "kms-key-tagged", _M, (), _TAGS),
    (_CONFIG, "iam-customer-policy-blocked-kms-actions", _C, ("kms-decrypt-all-managed",), _DECRYPTS),
    (_CONFIG, "iam-inline-policy-blocked-kms-actions", _C, ("kms-decrypt-all-inline",), _DECRYPTS),
    (_CONFIG, "cloudtrail-enabled", _B, _TRAILS, _RECORDED),
    (_CONFIG, "multi-region-cloudtrail-enabled", _B, _TRAILS, _RECORDED),
    (
        _CONFIG,
        "cloudtrail-security-trail-enabled",
        _D,
        (*_TRAILS, "trail-unvalidated", "trail-unencrypted"),
        "One finding for each of what that rule asks of a single trail",
    ),
    (_CONFIG, "cloud-trail-encryption-enabled", _C, ("trail-unencrypted",), ""),
    (_CONFIG, "cloud-trail-log-file-validation-enabled", _B, ("trail-unvalidated",), _DIGESTS),
    (_CONFIG, "cloud-trail-cloud-watch-logs-enabled", _D, _WATCHED, _NO_LOGS),
    (_CONFIG, "cloudtrail-s3-bucket-access-logging", _C, ("trail-bucket-unlogged",), ""),
    (_CONFIG, "cloudtrail-s3-bucket-public-access-prohibited", _C, ("trail-bucket-public",), ""),
    (_CONFIG, "cloudtrail-s3-dataevents-enabled", _M, (), _DATA),
    (
        _PROWLER,
        "kms_cmk_are_used",
        _B,
        ("kms-unused", "kms-key-disabled"),
        "By KMS's own last use; there, any enabled key counts as used",
    ),
    (_PROWLER, "kms_cmk_not_deleted_unintentionally", _B, _DELETION, _DELETED),
    (
        _PROWLER,
        "kms_cmk_not_multi_region",
        _D,
        ("kms-single-region", "event-key-replicated"),
        "The other way round: no replica, no token while the Region is down; a new one is a finding",
    ),
    (_PROWLER, "kms_cmk_rotation_enabled", _B, _ROTATION, _ROTATES),
    (_PROWLER, "kms_key_not_publicly_accessible", _B, _PUBLIC, _OPENED),
    (
        _PROWLER,
        "kms_key_enclave_attestation_*, kms_key_enclave_debug_attestation_detected",
        _M,
        (),
        _ENCLAVES,
    ),
    (
        _PROWLER,
        "iam_policy_no_full_access_to_kms",
        _B,
        ("kms-decrypt-all-managed",),
        "Decrypt alone is enough",
    ),
    (
        _PROWLER,
        "iam_inline_policy_no_full_access_to_kms",
        _B,
        ("kms-decrypt-all-inline",),
        "Decrypt alone is enough",
    ),
    (_PROWLER, "cloudtrail_multi_region_enabled", _B, _TRAILS, _RECORDED),
    (_PROWLER, "cloudtrail_multi_region_enabled_logging_management_events", _B, _TRAILS, _RECORDED),
    (_PROWLER, "cloudtrail_kms_encryption_enabled", _C, ("trail-unencrypted",), ""),
    (_PROWLER, "cloudtrail_log_file_validation_enabled", _B, ("trail-unvalidated",), _DIGESTS),
    (_PROWLER, "cloudtrail_logs_s3_bucket_access_logging_enabled", _C, ("trail-bucket-unlogged",), ""),
    (
        _PROWLER,
        "cloudtrail_logs_s3_bucket_is_not_publicly_accessible",
        _B,
        ("trail-bucket-public",),
        "By policy too",
    ),
    (
        _PROWLER,
        "cloudtrail_bucket_requires_mfa_delete",
        _D,
        ("trail-unvalidated", "event-trail-files-deleted", "event-trail-bucket-unprotected"),
        "Digests show what was deleted or changed, events who did it; MFA delete is not read",
    ),
    (_PROWLER, "cloudtrail_cloudwatch_logging_enabled", _D, _WATCHED, _NO_LOGS),
    (_PROWLER, "cloudtrail_insights_exist", _M, (), "Keydeck's own baselines look at what keys are used for"),
    (
        _PROWLER,
        "cloudtrail_s3_dataevents_read_enabled, cloudtrail_s3_dataevents_write_enabled",
        _M,
        (),
        _DATA,
    ),
    (_PROWLER, "cloudtrail_bedrock_logging_enabled", _M, (), "Not about keys"),
    (_PROWLER, "cloudtrail_threat_detection_llm_jacking", _M, (), "Not about keys"),
    (
        _PROWLER,
        "cloudtrail_threat_detection_enumeration",
        _D,
        ("event-failed-burst",),
        "Of KMS alone: who is refused one operation after another",
    ),
    (
        _PROWLER,
        "cloudtrail_threat_detection_privilege_escalation",
        _D,
        ("event-key-policy", "event-key-grant", "event-key-made-open"),
        "Rights on keys alone, and what each change lets through",
    ),
    (CIS, "2.14", _D, ("kms-decrypt-all-managed",), "Administrators are reported for what they can decrypt"),
    (CIS, "2.21", _D, ("kms-key-public", "trail-bucket-public"), "Of keys and of trails' buckets alone"),
    (CIS, "4.1", _B, _TRAILS, _RECORDED),
    (CIS, "4.2", _B, ("trail-unvalidated", "trail-undelivered"), _DIGESTS),
    (CIS, "4.4", _C, ("trail-bucket-unlogged",), ""),
    (CIS, "4.5", _C, ("trail-unencrypted",), ""),
    (CIS, "4.6", _B, _ROTATION, _ROTATES),
    (CIS, "4.8, 4.9", _M, (), _DATA),
    (CIS, "5.1", _D, ("event-failed-burst",), "Of KMS alone, and against what the same principal did before"),
    (CIS, "5.3", _D, ("event-root-use",), "Of KMS alone"),
    (CIS, "5.5", _B, _WATCHED, "Tells which change blinds a trail, and whether it was undone"),
    (
        CIS,
        "5.7",
        _B,
        ("event-key-disabled", "event-key-deletion", "event-key-ransom", "event-material-deleted"),
        "By the tokens that depend on the key; imported material and both together count as well",
    ),
    (CIS, "5.8", _D, _OF_BUCKET, "Of the buckets that trails deliver to alone"),
)

PUBLIC_CHECKS: tuple[PublicCheck, ...] = tuple(PublicCheck(*row) for row in _TABLE)
