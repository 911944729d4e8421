"""Which causes are about the same thing, which changes begin and end it, and which tests would tell.

Data alone. A posture rule, a rule about events and a control's test that speak of one aspect of one subject
speak of one thing: rotation that was turned off is a finding, an event, and a control that is not met.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from crypto_core.compliance.facts import ChangeFact
from crypto_core.findings.finding import Finding


class Aspect(StrEnum):
    ROTATION = "rotation"
    ACCESS = "access"
    STATE = "state"
    ALIAS = "alias"
    STORAGE = "storage"
    RECORDING = "recording"
    FILES = "files"
    OTHER = "other"
    """Anything else: known by its kind."""


@dataclass(frozen=True, slots=True)
class AspectTable:
    """What belongs to an aspect.

    `kinds` are those of causes. `begins` and `ends` are the changes that certainly begin and end it,
    `concerns` those that may, by CloudTrail's names and the journal's. `tests` are those that a record of the
    time would have failed.
    """

    kinds: frozenset[str]
    begins: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    concerns: frozenset[str] = frozenset()
    tests: tuple[str, ...] = ()


_TABLE: dict[Aspect, AspectTable] = {
    Aspect.ROTATION: AspectTable(
        frozenset({"kms-rotation-off", "kms-rotation-period", "event-rotation-off"}),
        frozenset({"DisableKeyRotation", "keys disable-rotation"}),
        frozenset({"EnableKeyRotation", "keys enable-rotation"}),
        tests=("keys-rotate",),
    ),
    Aspect.ACCESS: AspectTable(
        frozenset(
            {"kms-key-public", "kms-key-cross-account", "kms-key-full-control", "kms-grant-wide"}
            | {"event-key-policy", "event-key-grant", "event-key-made-open", "event-key-replicated"}
        ),
        concerns=frozenset(
            {"PutKeyPolicy", "CreateGrant", "RevokeGrant", "RetireGrant", "ReplicateKey", "CreateKey"}
            | {"keys put-policy", "keys block", "keys unblock", "keys revoke-grant", "keys retire-grant"}
            | {"keys create", "keys replicate"}
        ),
        tests=("key-access-narrow", "posture-well"),
    ),
    Aspect.STATE: AspectTable(
        frozenset(
            {"kms-key-disabled", "kms-key-pending-deletion", "kms-key-unusable"}
            | {"tokens-key-not-enabled", "tokens-key-pending-deletion"}
            | {"event-key-disabled", "event-key-deletion", "event-key-ransom", "event-material-deleted"}
        ),
        frozenset({"DisableKey", "ScheduleKeyDeletion", "DeleteImportedKeyMaterial"})
        | {"keys disable", "keys schedule-deletion"},
        frozenset({"EnableKey", "CancelKeyDeletion", "ImportKeyMaterial"})
        | {"keys enable", "keys cancel-deletion"},
        tests=("keys-usable",),
    ),
    Aspect.ALIAS: AspectTable(
        frozenset({"kms-alias-elsewhere", "event-alias-changed"}),
        concerns=frozenset({"UpdateAlias", "DeleteAlias", "CreateAlias", "keys alias"}),
        tests=("keys-not-substituted",),
    ),
    Aspect.STORAGE: AspectTable(
        frozenset(
            {"tokens-plaintext", "tokens-dev", "tokens-unrecognised", "tokens-unprotected"}
            | {"column-unguarded", "columns-unguarded"}
        ),
        concerns=frozenset(
            {"encrypt", "reencrypt", "enter token", "guard", "jobs restore", "backups restore"}
        ),
        tests=("tokens-encrypted",),
    ),
    Aspect.RECORDING: AspectTable(
        frozenset(
            {"trail-none", "trail-stopped", "trail-one-region", "trail-excludes-kms", "event-trail-stopped"}
            | {"event-trail-deleted", "event-trail-changed", "event-trail-hides-kms"}
        ),
        frozenset({"StopLogging", "DeleteTrail"}),
        frozenset({"StartLogging", "CreateTrail"}),
        frozenset({"UpdateTrail", "PutEventSelectors"}),
        tests=("trail-records-keys",),
    ),
    Aspect.FILES: AspectTable(
        frozenset(
            {"trail-bucket-public", "trail-bucket-unlogged", "trail-unencrypted", "trail-unvalidated"}
            | {"event-trail-bucket-opened", "event-trail-bucket-policy", "event-trail-bucket-unprotected"}
        ),
        concerns=frozenset({"PutBucketPolicy", "PutBucketAcl", "PutBucketPublicAccessBlock"}),
        tests=("trail-files-protected",),
    ),
    Aspect.OTHER: AspectTable(frozenset()),
}
_BY_KIND = {kind: aspect for aspect, table in _TABLE.items() for kind in table.kinds}
_OVER_SUBJECTS = frozenset({"tokens-plaintext", "tokens-dev", "tokens-unrecognised", "column-unguarded"})
"""Kinds that are one thing in several columns where they come and go together."""
CHANGED_ASPECTS = (Aspect.ROTATION, Aspect.ACCESS, Aspect.STATE, Aspect.RECORDING)
"""What changes certainly begin and end: events alone tell of it, too."""
OF_GUARDING_KEYS = (Aspect.ROTATION, Aspect.STATE)
"""What is wrong only with a key that guards tokens."""
DONE = "done"
"""The outcome of a change that took effect; any other is an attempt."""


def table_of(aspect: Aspect) -> AspectTable:
    return _TABLE[aspect]


def aspect_of(kind: str) -> Aspect:
    return _BY_KIND.get(kind, Aspect.OTHER)


def thing_of(cause: Finding, subject: str, *, together: bool = False) -> tuple[str, str]:
    """Return what a cause is about, in a form to compare: aspect and subject, or rule and subject.

    `together`: several columns are one thing, for what comes and goes with the same records.
    """
    aspect = aspect_of(cause.rule)
    if together and cause.rule in _OVER_SUBJECTS:
        return aspect.value, ""
    return (cause.rule if aspect is Aspect.OTHER else aspect.value), subject


def begins(change: ChangeFact, aspect: Aspect) -> bool:
    if change.outcome != DONE:
        return False
    return change.what in table_of(aspect).begins or (aspect is Aspect.ACCESS and bool(change.opens))


def ends(change: ChangeFact, aspect: Aspect) -> bool:
    if change.outcome != DONE:
        return False
    return change.what in table_of(aspect).ends or (aspect is Aspect.ACCESS and change.closes)


def stays_open(change: ChangeFact) -> bool:
    """Return whether what a change opened is not known to end with the policy that is set later: a grant."""
    return change.what == "CreateGrant"


def concerns(change: ChangeFact, aspect: Aspect) -> bool:
    return change.outcome == DONE and change.what in table_of(aspect).concerns
