"""What the steps of a runbook may name: the subjects, actions, checks and kinds of evidence that there are.

A runbook is data, and teams write their own: whatever it names is one of these, with options of these types,
or it is not taken. What carries them out is made elsewhere and looked up by the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class SubjectKind(StrEnum):
    """What an incident is about."""

    KEY = "key"
    """One KMS key, by its ARN."""
    TOKENS = "tokens"
    """Tokens, by reference or filter."""
    DATABASE = "database"
    """A restored database, by its name in the settings."""


class PhaseKind(StrEnum):
    """What a phase is for (NIST SP 800-61 Rev. 2, section 3): the report's times are counted by it."""

    DETECT = "detect"
    CONTAIN = "contain"
    ERADICATE = "eradicate"
    RECOVER = "recover"
    CLOSE = "close"


class ActionKind(StrEnum):
    """What can be done from a step."""

    CREATE_KEY = "create-key"
    """Make the key that takes the old one's place, or choose one that there is; becomes value `new_key`."""
    LOCK_DOWN_KEY = "lock-down-key"
    """Leave of the old key's policy and grants only Decrypt for the responder, and its administration."""
    REENCRYPT = "reencrypt"
    """Re-encrypt every token under the old key, as a job; becomes value `job`."""
    ENCRYPT_UNPROTECTED = "encrypt-unprotected"
    """Encrypt in place what is stored in plaintext or dev format, as a job; becomes value `encrypt_job`."""
    DISABLE_KEY = "disable-key"
    SCHEDULE_DELETION = "schedule-deletion"
    CANCEL_DELETION = "cancel-deletion"
    ENABLE_KEY = "enable-key"
    REPLICATE_KEY = "replicate-key"
    VERIFY_TOKENS = "verify-tokens"
    """Open a sample of the tokens, or all, and say only whether they opened."""
    VERIFY_RESTORED = "verify-restored"
    """The same in a restored database."""
    ASK_LIVENESS = "ask-liveness"
    """Ask the providers whether the tokens are alive."""
    REVOKE_TOKENS = "revoke-tokens"
    """Revoke the tokens at their providers, and prove it by liveness."""
    ENTER_TOKEN = "enter-token"  # noqa: S105 - a name of an action
    """Take a new token from the operator, masked, checked alive, sealed and written over the old one."""


class CheckKind(StrEnum):
    """What proves the effect of a step."""

    SCOPE_KNOWN = "scope-known"
    """What the incident is about is there and counted."""
    EVIDENCE_CAPTURED = "evidence-captured"
    """Every piece that the step names was captured."""
    NEW_KEY_READY = "new-key-ready"
    """The new key is enabled, another one, and whoever reads under the old one may read under it."""
    PLATFORM_SWITCHED = "platform-switched"
    """CloudTrail shows the platform generating data keys under the new key."""
    KEY_LOCKED_DOWN = "key-locked-down"
    NOTHING_UNDER_KEY = "nothing-under-key"
    """The census finds no token under the old key, twice."""
    NOTHING_UNPROTECTED = "nothing-unprotected"
    KEY_QUIET = "key-quiet"
    """Nobody has used the old key for a time; option `minutes`."""
    KEY_STATE = "key-state"
    """The key is in the state of option `state`."""
    TOKENS_OPEN = "tokens-open"
    """Every token that was tried opened."""
    TOKENS_DEAD = "tokens-dead"
    """The providers say of every old token that it is dead."""
    TOKENS_REPLACED = "tokens-replaced"
    """Every row in scope holds another token than when the incident was declared, sealed."""
    REPLICA_ANSWERS = "replica-answers"
    """A replica in another Region opens what the key sealed."""
    DRILL_RECORDED = "drill-recorded"


class CaptureKind(StrEnum):
    """What can be kept as evidence."""

    KEY = "key"
    POLICY = "policy"
    GRANTS = "grants"
    KEY_USE = "key-use"
    CENSUS = "census"
    EVENTS = "events"
    TOKENS = "tokens"
    """The rows in scope, field by field; never an envelope."""
    BLAST_RADIUS = "blast-radius"
    """Who opened the tokens, and who could have."""
    HASHED_QUERY = "hashed-query"
    """GitHub's audit log query for each token: the SHA-256 of a token, never the token."""
    JOB = "job"
    VERIFICATION = "verification"
    LIVENESS = "liveness"
    FINDINGS = "findings"


Options = Mapping[str, type[int] | type[str]]
"""The options that a step may give: their names and types."""

ACTION_OPTIONS: Mapping[ActionKind, Options] = {
    ActionKind.SCHEDULE_DELETION: {"days": int},
    ActionKind.VERIFY_TOKENS: {"sample": int},
    ActionKind.VERIFY_RESTORED: {"sample": int},
    ActionKind.REPLICATE_KEY: {"region": str},
}
"""The options of actions; those that aren't here have none. `sample` 0 is all tokens."""

CHECK_OPTIONS: Mapping[CheckKind, Options] = {
    CheckKind.KEY_QUIET: {"minutes": int},
    CheckKind.KEY_STATE: {"state": str},
}
"""The options of checks; those that aren't here have none."""
