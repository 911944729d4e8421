"""Every operation that Keydeck has: its words and danger, what it changes, the rights that it needs.

What actions on screen and commands say of it and ask before it, what can be made to need a second identity,
the privileges that `keydeck doctor` looks for and what `keydeck grants` prints all come from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from crypto_core.guard.consent import Danger

Tables = tuple[tuple[str, tuple[str, ...]], ...]

READ = ("SELECT",)
APPEND = ("SELECT", "INSERT")
WRITE = ("SELECT", "INSERT", "UPDATE")
CALL = ("SELECT", "EXECUTE")
"""EXECUTE is on the function that writes about the table: see database.schema.FUNCTIONS."""

_INSPECTED = (
    *("kms:ListKeys", "kms:ListAliases", "kms:DescribeKey", "kms:GetKeyRotationStatus"),
    *("kms:ListKeyRotations", "kms:GetKeyLastUsage", "kms:GetKeyPolicy", "kms:ListGrants"),
    "kms:ListResourceTags",
    *("cloudtrail:DescribeTrails", "cloudtrail:GetTrailStatus", "cloudtrail:GetEventSelectors"),
    "cloudtrail:LookupEvents",
    *("s3:GetBucketAcl", "s3:GetBucketLocation", "s3:GetBucketLogging", "s3:GetBucketPolicyStatus"),
    *("s3:GetAccountPublicAccessBlock", "s3:GetBucketPublicAccessBlock"),
    "iam:GetAccountAuthorizationDetails",
)

JOURNAL = (("journal", CALL), ("journal_checkpoint", CALL))
APPROVAL = (("approval", CALL),)
JOBS = (("job", (*WRITE, "EXECUTE")), *((name, WRITE) for name in ("job_chunk", "job_runner", "job_token")))
TOKENS = (("envelope_backup", CALL), ("key_answer", WRITE), ("sweep", APPEND), ("receipt", CALL))
INCIDENTS = (
    *((name, WRITE) for name in ("incident", "incident_step", "incident_presence")),
    ("incident_lease", CALL),
    *(("incident_evidence", CALL), ("incident_entry", APPEND)),
)
FORGETTABLE = ("SELECT", "INSERT", "DELETE")
INDEX = (("fingerprint", FORGETTABLE), ("fingerprint_key", FORGETTABLE))
COPIES = (("registered_copy", WRITE),)
NOTICES = (("duty", CALL), ("notice", WRITE))
TRIPWIRES = (("tripwire", CALL),)
RECORDS = (("evidence_record", CALL),)


class KeydeckRole(StrEnum):
    """Who works with Keydeck. Of the first three each may do all that the one before may.

    An approver decides requests and reads no token. A signer inspects, and signs the journal and records.
    """

    INSPECTOR = "inspector"
    OPERATOR = "operator"
    RESPONDER = "responder"
    APPROVER = "approver"
    SIGNER = "signer"

    @property
    def includes(self) -> tuple[KeydeckRole, ...]:
        if self is KeydeckRole.APPROVER:
            return (self,)
        if self is KeydeckRole.SIGNER:
            return (KeydeckRole.INSPECTOR, self)
        roles = tuple(KeydeckRole)
        return roles[: roles.index(self) + 1]


class ChangeKind(StrEnum):
    ROTATE = "rotate"
    ENABLE_ROTATION = "enable-rotation"
    DISABLE_ROTATION = "disable-rotation"
    POINT_ALIAS = "alias"
    ENABLE = "enable"
    DISABLE = "disable"
    SCHEDULE_DELETION = "schedule-deletion"
    CANCEL_DELETION = "cancel-deletion"
    PUT_POLICY = "put-policy"
    BLOCK = "block"
    UNBLOCK = "unblock"
    REVOKE_GRANT = "revoke-grant"
    REPLICATE = "replicate"
    CREATE = "create"

    @property
    def operation(self) -> Operation:
        return BY_NAME[f"keys {self.value}"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `name` is what commands and the setting `approvals` call it.

    `words` are short, for a footer; `effect` says in a sentence or two, without the last full stop, what
    comes of it. `iam` are the actions it calls, `tables` the privileges
    on Keydeck's own tables, `role` is the least that it takes.
    """

    name: str
    words: str
    effect: str
    iam: tuple[str, ...] = ()
    role: KeydeckRole = KeydeckRole.RESPONDER
    tables: Tables = JOURNAL
    changes: str = ""
    """As in "This changes …"; "" for what only looks."""
    danger: Danger = Danger.NONE
    """At least: a plan may ask for more."""
    planned: bool = False
    """Whether its service shows a plan first, and refuses without a consent to it."""
    second_person: bool = False
    """Whether another identity's approval can be demanded."""
    also: KeydeckRole | None = None
    journal_name: str = ""
    """"" where that is its name."""
    key: str = ""
    """The letter that does it on the console's screens of KMS keys; "" for what has no place there."""
    takes: str = ""
    """What may follow that command, such as DAYS; "" for nothing."""

    @property
    def writes_tokens(self) -> bool:
        return self.changes == TOKENS_CHANGED

    @property
    def runs_code(self) -> bool:
        """Whether code that others attached to the platform's tables may run in it."""
        return self.planned and (
            self.writes_tokens or self.changes in (DECOYS_CHANGED, "a table's constraints")
        )

    @property
    def kms_calls(self) -> tuple[str, ...]:
        """As in KMS's API reference."""
        return tuple(action.removeprefix("kms:") for action in self.iam if action.startswith("kms:"))

    @property
    def journaled_as(self) -> str:
        return self.journal_name or self.name


TOKENS_CHANGED = "tokens"
DECOYS_CHANGED = "decoys in the platform's tables"


def _planned(
    name: str,
    effect: str,
    changes: str,
    *iam: str,
    words: str = "",
    role: KeydeckRole = KeydeckRole.RESPONDER,
    tables: Tables = (),
    danger: Danger = Danger.CONFIRM,
    **more: Any,
) -> Operation:
    return Operation(
        name,
        words or name,
        effect,
        iam,
        role,
        (*JOURNAL, *APPROVAL, *tables),
        changes=changes,
        danger=danger,
        planned=True,
        second_person=True,
        **more,
    )


def _of_tokens(
    name: str, effect: str, *iam: str, role: KeydeckRole = KeydeckRole.OPERATOR, **more: Any
) -> Operation:
    return _planned(name, effect, TOKENS_CHANGED, *iam, role=role, tables=(*TOKENS, *JOBS), **more)


def _of_keys(kind: ChangeKind, key: str, effect: str, *calls: str, words: str = "", **more: Any) -> Operation:
    iam = (f"kms:{call}" for call in calls)
    words = words or kind.value.replace("-", " ")
    return _planned(f"keys {kind.value}", effect, "a key", *iam, words=words, key=key, **more)


def _confirmed(
    name: str, words: str, effect: str, changes: str, *iam: str, tables: Tables = (), **more: Any
) -> Operation:
    """An operator's operation without a plan."""
    of = {"role": KeydeckRole.OPERATOR, "changes": changes, "danger": Danger.CONFIRM} | more
    return Operation(name, words, effect, iam, tables=(*JOURNAL, *tables), **of)


def _of_jobs(name: str, effect: str, words: str = "") -> Operation:
    return _confirmed(f"jobs {name}", words or name, effect, "a job", tables=JOBS)


def _of_incidents(name: str, effect: str, *iam: str, words: str = "", **more: Any) -> Operation:
    words = words or name.replace("-", " ")
    more |= {"role": KeydeckRole.RESPONDER, "tables": (*APPROVAL, *INCIDENTS)}
    return _confirmed(f"incident {name}", words, effect, "an incident", *iam, **more)


def _of_findings(word: str, effect: str) -> Operation:
    return _confirmed(f"findings {word}", word, effect, "what findings are shown")


def _of_copies(word: str, words: str, effect: str) -> Operation:
    return _confirmed(f"copies {word}", words, effect, "the register of copies", tables=COPIES)


_SIGNING = ("kms:Sign", "kms:Verify", "kms:GenerateMac", "kms:VerifyMac")
APPROVAL_CALL = "kms:GenerateDataKeyWithoutPlaintext"
"""The call by which somebody asks and approves: each role is granted it for its own purposes alone."""


def _of_approvals(word: str, effect: str) -> Operation:
    calls = (APPROVAL_CALL, "cloudtrail:LookupEvents")
    also = KeydeckRole.APPROVER
    return _confirmed(f"approvals {word}", word, effect, "a request", *calls, tables=APPROVAL, also=also)


def _of_tripwires(verb: str, effect: str, *iam: str, role: KeydeckRole = KeydeckRole.OPERATOR) -> Operation:
    reseals = verb == "reseal"
    return _planned(
        f"tripwire {verb}",
        effect,
        "the list of tripwires" if reseals else DECOYS_CHANGED,
        *("kms:Decrypt", "kms:GenerateDataKey"),
        *iam,
        words="reseal the list of tripwires" if reseals else f"{verb} tripwire",
        role=role,
        tables=TRIPWIRES,
    )


VERBS = (
    _of_tokens(
        "rewrap",
        "Same data keys under another KMS key; no recovery",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
        "kms:Decrypt",
    ),
    _of_tokens(
        "reencrypt",
        "New data keys and ciphertexts under a KMS key",
        "kms:Decrypt",
        "kms:GenerateDataKey",
        words="re-encrypt",
    ),
    _of_tokens(
        "encrypt",
        "Seal tokens that are stored in plaintext or dev format",
        "kms:GenerateDataKey",
        "kms:Decrypt",
        words="encrypt in place",
    ),
)
"""The ways to write tokens anew."""

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "inspect",
        "inspect",
        "Read what is stored, and what AWS reports about it",
        _INSPECTED,
        KeydeckRole.INSPECTOR,
        (),
    ),
    Operation(
        "verify",
        "verify",
        "Open the tokens; say only whether they opened",
        ("kms:Decrypt",),
        KeydeckRole.INSPECTOR,
        (),
    ),
    Operation(
        "watch",
        "watch",
        "Fetch events, look for findings, count tokens, record evidence and notify, each at its interval",
        role=KeydeckRole.OPERATOR,
        tables=(*NOTICES, *RECORDS),
    ),
    _of_keys(
        ChangeKind.ENABLE_ROTATION,
        "a",
        "Turn automatic rotation on, with a period in days",
        "EnableKeyRotation",
        takes="DAYS",
    ),
    _of_keys(ChangeKind.DISABLE_ROTATION, "z", "Turn automatic rotation off", "DisableKeyRotation"),
    _of_keys(
        ChangeKind.ROTATE,
        "n",
        "New key material now, one of 25 times. Re-encrypts nothing",
        "RotateKeyOnDemand",
        words="rotate now",
        danger=Danger.TYPED,
    ),
    _of_keys(
        ChangeKind.CREATE,
        "N",
        "Create a key whose policy gives each role the least it needs",
        "CreateKey",
        "CreateAlias",
        "EnableKeyRotation",
        "TagResource",
        words="new key",
    ),
    _of_keys(
        ChangeKind.POINT_ALIAS,
        "L",
        "Point an alias at the key; a platform configured with the alias then writes under this key",
        "CreateAlias",
        "UpdateAlias",
        words="point alias",
        takes="NAME",
    ),
    _of_keys(ChangeKind.ENABLE, "e", "Enable the key: it can be used again", "EnableKey"),
    _of_keys(
        ChangeKind.DISABLE,
        "d",
        "Disable the key. Refused while there are tokens under it",
        "DisableKey",
        danger=Danger.TYPED,
    ),
    _of_keys(
        ChangeKind.SCHEDULE_DELETION,
        "D",
        "Schedule the key's deletion; what is under it can never be opened again",
        "ScheduleKeyDeletion",
        danger=Danger.TYPED,
        takes="DAYS",
    ),
    _of_keys(
        ChangeKind.CANCEL_DELETION,
        "C",
        "Cancel the key's deletion. It stays disabled until it is enabled",
        "CancelKeyDeletion",
    ),
    _of_keys(
        ChangeKind.PUT_POLICY,
        "f",
        "Replace the key policy from a file, after showing the difference",
        "PutKeyPolicy",
        danger=Danger.TYPED,
        takes="FILE",
    ),
    _of_keys(
        ChangeKind.BLOCK,
        "O",
        "Refuse one principal the use of the key at once; undone by its name",
        "PutKeyPolicy",
        takes="ARN",
    ),
    _of_keys(
        ChangeKind.UNBLOCK,
        "U",
        "Let a blocked principal use the key again, as far as its policy, grants and IAM allow",
        "PutKeyPolicy",
        danger=Danger.TYPED,
        takes="ARN",
    ),
    _of_keys(
        ChangeKind.REVOKE_GRANT, "v", "Revoke a grant", "RevokeGrant", danger=Danger.TYPED, takes="GRANT"
    ),
    _of_keys(
        ChangeKind.REPLICATE,
        "M",
        "A replica of a multi-Region key in another Region",
        "ReplicateKey",
        "CreateKey",
        "TagResource",
        takes="REGION",
    ),
    *VERBS,
    _of_tokens(
        "jobs restore",
        "Restore what an ended job replaced, unless it changed since; this runs as a job",
        "kms:Decrypt",
        words="restore",
        danger=Danger.TYPED,
    ),
    _of_tokens(
        "backups restore",
        "Restore replaced envelopes that open, unless the present value opens and holds another token",
        "kms:Decrypt",
        words="restore",
        danger=Danger.TYPED,
    ),
    _planned(
        "backups purge",
        "Purge replaced envelopes: what they replaced can no longer be restored",
        "replaced envelopes",
        words="purge",
        role=KeydeckRole.OPERATOR,
        tables=TOKENS,
        danger=Danger.TYPED,
    ),
    _planned(
        "whose index build",
        "Open envelopes that the index of tokens does not know, and note fingerprints of their tokens",
        "the index of tokens",
        "kms:Decrypt",
        "kms:GenerateDataKey",
        words="fill index",
        role=KeydeckRole.OPERATOR,
        tables=INDEX,
    ),
    _planned(
        "whose index drop",
        "Forget the index of tokens and its key; searches open what is stored again",
        "the index of tokens",
        words="drop index",
        role=KeydeckRole.OPERATOR,
        tables=INDEX,
    ),
    _of_tripwires(
        "add",
        "Add decoys: rows that nobody legitimate opens, and that tell of whoever does",
        "kms:CreateKey",
        "kms:DescribeKey",
        "kms:GetKeyPolicy",
        role=KeydeckRole.RESPONDER,
    ),
    _of_tripwires("remove", "Remove a tripwire's decoys, if they are as they were made"),
    _of_tripwires("reseal", "Seal the list of tripwires anew, under the key that is written under"),
    _of_tokens(
        "enter token",
        "Replace a token by a new one: checked with its provider, then sealed",
        "kms:GenerateDataKey",
        "kms:Decrypt",
        role=KeydeckRole.RESPONDER,
    ),
    _planned(
        "revoke",
        "Tokens revoked at their providers",
        "tokens at their providers",
        "kms:Decrypt",
        danger=Danger.TYPED,
        journal_name="revoke tokens",
    ),
    _of_jobs("pause", "Stop calling KMS until the job is resumed; sealed tokens are still written"),
    _of_jobs("resume", "Resume a paused or failed job"),
    _of_jobs("retry", "Retry the tokens that could not be written"),
    _of_jobs("cancel", "Cancel the job for good; what is written stays"),
    _of_jobs(
        "join",
        "Work on a running job with processes on this host, until it ends or you quit",
        words="work here",
    ),
    _of_incidents(
        "declare", "Open an incident by a runbook, about a key, tokens or a database", words="incident"
    ),
    _of_incidents("run", "Run a step's action, once its plan was shown", words="act", planned=True),
    _of_incidents(
        "finish",
        "Capture the step's evidence, run its check, and end the step if it passes",
        journal_name="incident done",
    ),
    _of_incidents("answer", "Answer a step's question"),
    _of_incidents(
        "capture",
        "Capture the step's evidence, again if it was captured before",
        journal_name="incident evidence",
    ),
    _of_incidents("skip", "End the step without doing it, with a reason"),
    _of_incidents("reopen", "Reopen an ended step, with a reason"),
    _of_incidents("note", "Write a note into the timeline"),
    _of_incidents(
        "accept-lost",
        "Accept as unrecoverable what is left under the key and opens for nobody: named, its number typed",
        "kms:Decrypt",
        danger=Danger.TYPED,
        planned=True,
        second_person=True,
    ),
    _of_incidents(
        "assign",
        "Give a role in the incident to somebody: lead, operations, communications",
        words="roles",
        journal_name="incident role",
    ),
    _of_incidents(
        "follow-up add",
        "Keep what is to be done after the incident, by whom and until when",
        words="new follow-up",
        journal_name="incident follow-up",
    ),
    _of_incidents("follow-up done", "Note that a follow-up is done, and what came of it", words="done"),
    _of_incidents("close", "Close the incident, and say how it ended"),
    _of_approvals("approve", "Approve another person's request: this exact plan, once, before it expires"),
    _of_approvals("deny", "Deny a request, or withdraw an approval that was not used yet"),
    _of_findings(
        "suppress",
        "Suppress a rule's findings about a subject for some days, with a reason; they are still counted",
    ),
    _of_copies(
        "add",
        "register a copy",
        "Register a dump, backup or export that was scanned, so that whoever takes a key away is told of it",
    ),
    _of_copies("remove", "take a copy out", "Note that a registered copy is gone"),
    _of_findings("unsuppress", "Remove a suppression by its number: what it hid is shown again"),
    _confirmed(
        "journal checkpoint",
        "sign the journal",
        "The journal's end signed with a KMS key",
        "the journal",
        *_SIGNING,
        also=KeydeckRole.SIGNER,
    ),
    _confirmed(
        "evidence record",
        "record evidence",
        "Measure everything that controls are about, and keep that, signed, as the record of this day",
        "the records of evidence",
        *_SIGNING,
        tables=RECORDS,
        also=KeydeckRole.SIGNER,
    ),
    _confirmed(
        "evidence review",
        "review access",
        "Note that you looked at who may use the keys and who did, with the digest of what you looked at",
        "the journal",
    ),
    _planned(
        "journal break",
        "Acknowledge that the journal is damaged or lacks entries, and have it begin anew, signed",
        "the journal",
        *_SIGNING,
        words="begin the journal anew",
        danger=Danger.TYPED,
        journal_name="acknowledge journal break",
    ),
    _planned(
        "guard",
        "Have the database refuse whatever is no envelope in token columns, or take that back",
        "a table's constraints",
        words="guard columns",
    ),
    Operation(
        "init",
        "set up",
        "Create Keydeck's own schema `keydeck`: envelope backups, KMS's answers, the journal",
        changes="the database",
        danger=Danger.CONFIRM,
    ),
)
"""In the order in which settings and messages name them."""

BY_NAME: Mapping[str, Operation] = {operation.name: operation for operation in OPERATIONS}
_BY_JOURNAL = {operation.journaled_as: operation for operation in OPERATIONS}


def operation_of(action: str) -> Operation | None:
    """By its name, or the journal's."""
    return BY_NAME.get(action) or _BY_JOURNAL.get(action)


def of_role(role: KeydeckRole) -> tuple[Operation, ...]:
    return tuple(one for one in OPERATIONS if one.role in role.includes or one.also is role)


def own_tables(role: KeydeckRole) -> dict[str, tuple[str, ...]]:
    needed: dict[str, tuple[str, ...]] = {}
    for operation in of_role(role):
        for table, privileges in operation.tables:
            needed[table] = max(needed.get(table, ()), privileges, key=len)
    return needed


def token_login_tables(role: KeydeckRole) -> dict[str, tuple[str, ...]]:
    """Return what a login that writes tokens needs beside one of its own for the journal.

    Nothing that a decision rests on: of functions the one that backs up what is written, alone.
    """
    beside = {*dict(JOBS), *dict(TOKENS), *dict(INDEX)}
    needed = {name: rights for name, rights in own_tables(role).items() if name in beside}
    rights = {name: tuple(r for r in given if r != "EXECUTE") for name, given in needed.items()}
    return rights | {name: CALL for name in needed if name == "envelope_backup"}
