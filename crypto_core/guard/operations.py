"""Every operation that Keydeck has: its name, the IAM actions and the privileges on its own tables it needs.

What can be made to need a second identity, the privileges that `keydeck doctor` looks for and what
`keydeck grants` prints all come from here. AWS's Service Authorization Reference says which actions know
resources.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from crypto_core.key_names import account_of, is_key_arn, is_multi_region, region_of

READ = ("SELECT",)
APPEND = ("SELECT", "INSERT")
WRITE = ("SELECT", "INSERT", "UPDATE")

_INSPECTED = (
    *("kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListKeyRotations"),
    *("kms:GetKeyLastUsage", "kms:ListGrants", "kms:ListResourceTags", "kms:ListKeys", "kms:ListAliases"),
    *("cloudtrail:DescribeTrails", "cloudtrail:GetTrailStatus", "cloudtrail:GetEventSelectors"),
    "cloudtrail:LookupEvents",
)
_CRYPTOGRAPHIC = frozenset(
    {"kms:Decrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"}
    | {"kms:Sign", "kms:Verify", "kms:GenerateMac", "kms:VerifyMac"}
)
_WITHOUT_RESOURCE = frozenset(
    {
        "kms:CreateKey",
        "kms:ListKeys",
        "kms:ListAliases",
        "cloudtrail:DescribeTrails",
        "cloudtrail:LookupEvents",
    }
)
_OF_ALIASES = frozenset({"kms:CreateAlias", "kms:UpdateAlias"})

JOURNAL = (("journal", APPEND), ("journal_checkpoint", APPEND))
APPROVAL = (("approval", WRITE),)
JOBS = tuple((name, WRITE) for name in ("job", "job_chunk", "job_runner", "job_token"))
TOKENS = (("envelope_backup", WRITE), ("key_answer", WRITE))
INCIDENTS = (
    *((name, WRITE) for name in ("incident", "incident_step", "incident_presence")),
    *((name, APPEND) for name in ("incident_evidence", "incident_entry")),
)


class KeydeckRole(StrEnum):
    """Who works with Keydeck; each may do all that the one before may."""

    INSPECTOR = "inspector"
    OPERATOR = "operator"
    RESPONDER = "responder"

    @property
    def includes(self) -> tuple[KeydeckRole, ...]:
        """The roles that this one is, too."""
        roles = tuple(KeydeckRole)
        return roles[: roles.index(self) + 1]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `name` is what commands, the journal and the setting `approvals` call it.

    `iam` are the actions it calls, `tables` the privileges on Keydeck's own tables, `role` is the least that
    it takes. `writes_tokens` is True if it changes the platform's columns, `second_person` if another
    identity's approval can be demanded for it.
    """

    name: str
    iam: tuple[str, ...]
    role: KeydeckRole
    tables: tuple[tuple[str, tuple[str, ...]], ...] = (*JOURNAL, *APPROVAL)
    writes_tokens: bool = False
    second_person: bool = True


def _of_tokens(name: str, *iam: str, role: KeydeckRole = KeydeckRole.OPERATOR) -> Operation:
    tables = (*JOURNAL, *APPROVAL, *TOKENS, *JOBS)
    return Operation(name, iam, role, tables, writes_tokens=True)


def _of_keys(name: str, *operations: str) -> Operation:
    return Operation(f"keys {name}", tuple(f"kms:{o}" for o in operations), KeydeckRole.RESPONDER)


OPERATIONS: tuple[Operation, ...] = (
    Operation("inspect", _INSPECTED, KeydeckRole.INSPECTOR, (), second_person=False),
    Operation("verify", ("kms:Decrypt",), KeydeckRole.INSPECTOR, (), second_person=False),
    _of_keys("enable-rotation", "EnableKeyRotation"),
    _of_keys("disable-rotation", "DisableKeyRotation"),
    _of_keys("rotate", "RotateKeyOnDemand"),
    _of_keys("create", "CreateKey", "CreateAlias", "EnableKeyRotation", "TagResource"),
    _of_keys("alias", "CreateAlias", "UpdateAlias"),
    _of_keys("enable", "EnableKey"),
    _of_keys("disable", "DisableKey"),
    _of_keys("schedule-deletion", "ScheduleKeyDeletion"),
    _of_keys("cancel-deletion", "CancelKeyDeletion"),
    _of_keys("put-policy", "PutKeyPolicy"),
    _of_keys("revoke-grant", "RevokeGrant"),
    _of_keys("retire-grant", "RetireGrant"),
    _of_keys("replicate", "ReplicateKey", "CreateKey", "TagResource"),
    _of_tokens("rewrap", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:Decrypt"),
    _of_tokens("reencrypt", "kms:Decrypt", "kms:GenerateDataKey"),
    _of_tokens("encrypt", "kms:GenerateDataKey", "kms:Decrypt"),
    _of_tokens("jobs restore", "kms:Decrypt"),
    _of_tokens("backups purge"),
    _of_tokens("enter token", "kms:GenerateDataKey", "kms:Decrypt", role=KeydeckRole.RESPONDER),
    Operation("revoke", ("kms:Decrypt",), KeydeckRole.RESPONDER),
    Operation(
        "incident",
        ("kms:Decrypt",),
        KeydeckRole.RESPONDER,
        (*JOURNAL, *APPROVAL, *INCIDENTS),
        second_person=False,
    ),
    Operation(
        "journal checkpoint",
        ("kms:Sign", "kms:Verify", "kms:GenerateMac", "kms:VerifyMac"),
        KeydeckRole.OPERATOR,
        JOURNAL,
        second_person=False,
    ),
)
"""All of them, in the order in which settings and messages name them."""


def of_role(role: KeydeckRole) -> tuple[Operation, ...]:
    """Return what a role may do."""
    return tuple(operation for operation in OPERATIONS if operation.role in role.includes)


def own_tables(role: KeydeckRole) -> dict[str, tuple[str, ...]]:
    """Return the privileges on Keydeck's own tables beyond reading them."""
    needed: dict[str, tuple[str, ...]] = {}
    for operation in of_role(role):
        for table, privileges in operation.tables:
            needed[table] = max(needed.get(table, ()), privileges, key=len)
    return needed


def iam_policy(role: KeydeckRole, keys: Sequence[str]) -> dict[str, Any]:
    """Return an IAM policy that allows a role its calls.

    `keys` are the configured keys, with which alone tokens may be sealed and opened if all are named by ARN.
    Else, and for a responder, who makes new ones, it is any key of the account: key policies narrow it down.
    """
    account = next((account_of(key) for key in keys if is_key_arn(key)), None) or "*"
    alone = bool(keys) and all(map(is_key_arn, keys)) and role is not KeydeckRole.RESPONDER
    named = sorted({_everywhere(key) for key in keys}) if alone else []
    partition = next((key.split(":")[1] for key in keys if is_key_arn(key)), "aws")
    any_key = f"arn:{partition}:kms:*:{account}:key/*"
    any_alias = f"arn:{partition}:kms:*:{account}:alias/*"
    actions = {action for operation in of_role(role) for action in operation.iam}
    cryptographic = actions & _CRYPTOGRAPHIC
    trails = {a for a in actions if a.startswith("cloudtrail:")} - _WITHOUT_RESOURCE
    listing = actions & _WITHOUT_RESOURCE
    aliases = actions & _OF_ALIASES
    rest = actions - cryptographic - trails - listing - aliases
    parts = (
        ("Account", listing, ["*"]),
        ("Trails", trails, [f"arn:{partition}:cloudtrail:*:{account}:trail/*"]),
        ("Keys", rest, [any_key]),
        ("Aliases", aliases, [any_alias, any_key]),
        ("Tokens", cryptographic, named or [any_key]),
    )
    return {"Version": "2012-10-17", "Statement": [_statement(*part) for part in parts if part[1]]}


def _everywhere(key: str) -> str:
    """A multi-Region key's ARN for all Regions, another's as it is."""
    region = region_of(key)
    return key.replace(f":{region}:", ":*:", 1) if is_multi_region(key) else key


def _statement(name: str, actions: Iterable[str], resources: Sequence[str]) -> dict[str, Any]:
    return {
        "Sid": f"Keydeck{name}",
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": resources[0] if len(resources) == 1 else list(resources),
    }
