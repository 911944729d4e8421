"""What the steps of a runbook may name: the subjects, actions, checks and kinds of evidence that there are.

A runbook is data, and teams write their own: whatever it names is one of these, with options of these types,
or it is not taken. What carries them out is made elsewhere and looked up by the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from crypto_core.guard.consent import DANGERS, Danger
from crypto_core.guard.operations import BY_NAME, Operation
from crypto_core.values.json_records import JsonRecord, made, shape


class SubjectKind(StrEnum):
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
    CREATE_KEY = "create-key"
    """Make the key that takes the old one's place, or choose one that there is; becomes value `new_key`."""
    BLOCK_SUSPECTS = "block-suspects"
    """Refuse the suspects the key, and the platform's own role but from where it works; `blocked`."""
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
    ASK_ABILITIES = "ask-abilities"
    """Ask the providers what the tokens can do, so that the worst are revoked first."""
    REVOKE_TOKENS = "revoke-tokens"
    """Revoke the tokens at their providers, and prove it by liveness."""
    ENTER_TOKEN = "enter-token"  # noqa: S105 - a name of an action
    """Take a new token from the operator, masked, checked alive, sealed and written over the old one."""

    @property
    def does(self) -> StepAction:
        return STEP_ACTIONS[self]


class CheckKind(StrEnum):
    SCOPE_KNOWN = "scope-known"
    """What the incident is about is there and counted."""
    EVIDENCE_CAPTURED = "evidence-captured"
    """Every piece that the step names was captured."""
    SUSPECTS_BLOCKED = "suspects-blocked"
    """The key's policy refuses every suspect, but for those that were left out on purpose."""
    NEW_KEY_READY = "new-key-ready"
    """The new key is enabled, differs from the old one, and allows every reader of the old one."""
    KEY_PERMITTED = "key-permitted"
    """KMS would let this identity make and open data keys under the new key, by its dry run."""
    NAMES_SWITCHED = "names-switched"
    """The configured names, TOKEN_ENCRYPTION_KEY_ID and KEYDECK_WRITE_ALIAS, mean the new key."""
    PLATFORM_SWITCHED = "platform-switched"
    """CloudTrail shows the platform generating data keys under the new key."""
    KEY_LOCKED_DOWN = "key-locked-down"
    NOTHING_UNDER_KEY = "nothing-under-key"
    """The census finds no token under the old key, twice."""
    NOTHING_UNPROTECTED = "nothing-unprotected"
    OLD_KEY_READABLE = "old-key-readable"
    """The old key is enabled and trusted for reading while tokens are under it."""
    KEY_QUIET = "key-quiet"
    """The old key has not been used for a time; option `minutes`."""
    KEY_STATE = "key-state"
    """The key is in the state of option `state`."""
    TOKENS_OPEN = "tokens-open"
    """Every token that was tried opened."""
    ABILITIES_ASKED = "abilities-asked"
    """Of every token in scope its provider was asked what it can do, or it is named as not known."""
    TOKENS_DEAD = "tokens-dead"
    """The providers say of every old token that it is dead."""
    TOKENS_REPLACED = "tokens-replaced"
    """Every row in scope holds another token than when the incident was declared, sealed."""
    PROVIDER_EVENTS_COVERED = "provider-events-covered"
    """The providers' audit logs in the store cover the time since the suspicion begins."""
    REPLICA_ANSWERS = "replica-answers"
    """A replica in another Region opens what the key sealed."""
    DRILL_RECORDED = "drill-recorded"
    COPIES_KNOWN = "copies-known"
    """No registered copy, such as a backup, needs the key; without registered ones it is not known."""
    TRIPWIRES_KNOWN = "tripwires-known"
    """Every decoy of a tripwire stands, and it is known whether one was opened; so if none is set."""


class CaptureKind(StrEnum):
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
    PROVIDER_EVENTS = "provider-events"
    """What the providers' audit logs say was done with the tokens, and who had opened them."""
    JOB = "job"
    VERIFICATION = "verification"
    LIVENESS = "liveness"
    ABILITIES = "abilities"
    """Of which tokens it is known what they can do; never what."""
    FINDINGS = "findings"
    TRIPWIRES = "tripwires"
    """Whether decoys stand, and who opened one; never which rows they are."""


Options = Mapping[str, type[int] | type[str]]
"""The options that a step may give: their names and types."""


@dataclass(frozen=True, slots=True)
class StepAction(JsonRecord):
    """What an action does. It performs the operations that it names, and no other passes the guard.

    `words` are short, for a hint.
    """

    words: str
    operations: tuple[Operation, ...]
    options: Options = field(default_factory=dict)
    """The options that a step may give it. `sample` 0 is all tokens."""

    json_shape = shape(
        "operations changes danger second_person iam",
        operations=made(tuple[str, ...], lambda action: [one.name for one in action.operations]),
    )

    @property
    def danger(self) -> Danger:
        """How much asking it takes at least, if it comes to the worst of what it does."""
        return max((operation.danger for operation in self.operations), key=DANGERS.index)

    @property
    def changes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(o.changes for o in self.operations if o.changes))

    @property
    def second_person(self) -> bool:
        """True if another identity's approval can be demanded."""
        return any(operation.second_person for operation in self.operations)

    @property
    def iam(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(action for operation in self.operations for action in operation.iam))


def _does(words: str, *operations: str, **options: type[int] | type[str]) -> StepAction:
    return StepAction(words, tuple(BY_NAME[name] for name in operations), options)


_AS_A_JOB = ("jobs resume", "jobs retry", "jobs join")

STEP_ACTIONS: Mapping[ActionKind, StepAction] = {
    ActionKind.CREATE_KEY: _does("create key", "keys create", "keys alias"),
    ActionKind.BLOCK_SUSPECTS: _does("block suspects", "keys block"),
    ActionKind.LOCK_DOWN_KEY: _does("lock down key", "keys put-policy", "keys revoke-grant"),
    ActionKind.REENCRYPT: _does("re-encrypt", "reencrypt", *_AS_A_JOB),
    ActionKind.ENCRYPT_UNPROTECTED: _does("encrypt unprotected", "encrypt", *_AS_A_JOB),
    ActionKind.DISABLE_KEY: _does("disable key", "keys disable"),
    ActionKind.SCHEDULE_DELETION: _does("schedule deletion", "keys schedule-deletion", days=int),
    ActionKind.CANCEL_DELETION: _does("cancel deletion", "keys cancel-deletion"),
    ActionKind.ENABLE_KEY: _does("enable key", "keys enable"),
    ActionKind.REPLICATE_KEY: _does("replicate key", "keys replicate", region=str),
    ActionKind.VERIFY_TOKENS: _does("verify tokens", "verify", sample=int),
    ActionKind.VERIFY_RESTORED: _does("verify restored", "verify", sample=int),
    ActionKind.ASK_LIVENESS: _does("ask liveness", "verify"),
    ActionKind.ASK_ABILITIES: _does("ask abilities", "verify"),
    ActionKind.REVOKE_TOKENS: _does("revoke tokens", "revoke"),
    ActionKind.ENTER_TOKEN: _does("enter token", "enter token"),
}
"""All actions. What is asked before a step's action and what it needs derives from here."""

_NO_OPTIONS: Options = {}
CHECK_OPTIONS: Mapping[CheckKind, Options] = dict.fromkeys(CheckKind, _NO_OPTIONS) | {
    CheckKind.KEY_QUIET: {"minutes": int},
    CheckKind.KEY_STATE: {"state": str},
}
"""The options of checks."""
