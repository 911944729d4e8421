"""The IAM policy that a role needs, from the operations that are its own.

AWS's Service Authorization Reference says which actions know resources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crypto_core.envelope.encryption_context import DATABASE
from crypto_core.guard.approval_purpose import APPROVERS, ASKERS, PURPOSE, Purpose
from crypto_core.guard.operations import APPROVAL_CALL, KeydeckRole, of_role
from crypto_core.values.key_names import account_of, is_key_arn, is_multi_region, region_of

_CRYPTOGRAPHIC = frozenset(
    {"kms:Decrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"}
    | {"kms:Sign", "kms:Verify", "kms:GenerateMac", "kms:VerifyMac"}
)
_WITHOUT_RESOURCE = frozenset(
    {"kms:CreateKey", "kms:ListKeys", "kms:ListAliases", "cloudtrail:DescribeTrails"}
    | {"cloudtrail:LookupEvents", "iam:GetAccountAuthorizationDetails", "s3:GetAccountPublicAccessBlock"}
)
_OF_ALIASES = frozenset({"kms:CreateAlias", "kms:UpdateAlias"})
_SIGNS = frozenset({"kms:Sign", "kms:GenerateMac"})
"""Granted to the signer alone."""
_PURPOSES: Mapping[KeydeckRole, tuple[Purpose, ...]] = {
    KeydeckRole.INSPECTOR: (),
    KeydeckRole.OPERATOR: ASKERS,
    KeydeckRole.RESPONDER: ASKERS,
    KeydeckRole.APPROVER: APPROVERS,
    KeydeckRole.SIGNER: (),
}


def iam_policy(
    role: KeydeckRole, keys: Sequence[str], *, approvals_key: str = "", binding: str | None = None
) -> dict[str, Any]:
    """Return an IAM policy that allows a role its calls. Only a signer's lets it sign.

    With an `approvals_key` it lets an operator ask and use, and an approver approve and deny, by the purpose
    in the call's encryption context.

    `keys` are the configured keys, with which alone tokens may be sealed and opened if all are named by ARN.
    Else, and for a responder, who makes new ones, it is any key of the account: key policies narrow it down.
    With a `binding`, KMS refuses what is bound to another database; what is bound to none it can't tell.
    """
    account = next((account_of(key) for key in keys if is_key_arn(key)), None) or "*"
    alone = bool(keys) and all(map(is_key_arn, keys)) and role is not KeydeckRole.RESPONDER
    named = sorted({_everywhere(key) for key in keys}) if alone else []
    partition = next((key.split(":")[1] for key in keys if is_key_arn(key)), "aws")
    any_key = f"arn:{partition}:kms:*:{account}:key/*"
    any_alias = f"arn:{partition}:kms:*:{account}:alias/*"
    actions = {action for operation in of_role(role) for action in operation.iam}
    actions -= {APPROVAL_CALL} if role is KeydeckRole.SIGNER else {APPROVAL_CALL, *_SIGNS}
    cryptographic = actions & _CRYPTOGRAPHIC
    trails = {a for a in actions if a.startswith("cloudtrail:")} - _WITHOUT_RESOURCE
    listing = actions & _WITHOUT_RESOURCE
    aliases = actions & _OF_ALIASES
    buckets = {a for a in actions if a.startswith("s3:")}
    rest = actions - cryptographic - trails - listing - aliases - buckets
    parts = (
        ("Account", listing, ["*"]),
        ("Trails", trails, [f"arn:{partition}:cloudtrail:*:{account}:trail/*"]),
        ("Buckets", buckets, [f"arn:{partition}:s3:::*"]),
        ("Keys", rest, [any_key]),
        ("Aliases", aliases, [any_alias, any_key]),
        ("Tokens", cryptographic, named or [any_key]),
    )
    statements = [_statement(*part) for part in parts if part[1]]
    if binding is not None and cryptographic:
        own = {f"kms:EncryptionContext:{DATABASE}": binding}
        statements[-1]["Condition"] = {"StringEqualsIfExists": own}
    if approvals_key and _PURPOSES[role]:
        calls = _statement("Approvals", (APPROVAL_CALL,), [approvals_key])
        purpose = {f"kms:EncryptionContext:{PURPOSE}": sorted(_PURPOSES[role])}
        statements.append(calls | {"Condition": {"StringEquals": purpose}})
    return {"Version": "2012-10-17", "Statement": statements}


def _everywhere(key: str) -> str:
    """A multi-Region key's ARN for all Regions."""
    region = region_of(key)
    return key.replace(f":{region}:", ":*:", 1) if is_multi_region(key) else key


def _statement(name: str, actions: Iterable[str], resources: Sequence[str]) -> dict[str, Any]:
    return {
        "Sid": f"Keydeck{name}",
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": resources[0] if len(resources) == 1 else list(resources),
    }
