"""The least that each of our roles needs, as a key policy.

The platform makes and opens data keys; an inspector looks; an operator rewraps and re-encrypts too; a
responder also locks a key down and names the one that takes its place. Administration goes to the
administrators that are named, else to the account, without the right to use the key: then its IAM policies
can't give that either. AWS KMS Developer Guide, "Default key policy" and "Key administrators"; FACTS of each
operation are in its API reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from crypto_core.keys.policy.actions import POWERS, Power
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import PolicyError


class Role(StrEnum):
    ADMINISTRATOR = "administrator"
    PLATFORM = "platform"
    INSPECTOR = "inspector"
    OPERATOR = "operator"
    RESPONDER = "responder"


_LOOKS = (
    "DescribeKey",
    "GetKeyLastUsage",
    "GetKeyPolicy",
    "GetKeyRotationStatus",
    "ListGrants",
    "ListKeyRotations",
    "ListResourceTags",
)
_USES = ("Decrypt", "GenerateDataKey")
_REWRAPS = ("ReEncryptFrom", "ReEncryptTo")
_LOCKS_DOWN = (
    "CancelKeyDeletion",
    "CreateAlias",
    "DisableKey",
    "EnableKey",
    "EnableKeyRotation",
    "PutKeyPolicy",
    "RevokeGrant",
    "RotateKeyOnDemand",
    "ScheduleKeyDeletion",
    "UpdateAlias",
)

NEEDS: Mapping[Role, frozenset[str]] = {
    Role.ADMINISTRATOR: frozenset(
        action
        for action, power in POWERS.items()
        if power not in (Power.OPEN, Power.SEAL) and action != "CreateGrant"
    ),
    Role.PLATFORM: frozenset(_USES),
    Role.INSPECTOR: frozenset(_LOOKS),
    Role.OPERATOR: frozenset((*_LOOKS, *_USES, *_REWRAPS)),
    Role.RESPONDER: frozenset((*_LOOKS, *_USES, *_REWRAPS, *_LOCKS_DOWN)),
}
"""The actions on a key that each role needs. An administrator gives nobody grants and uses no key."""

_SIDS = {
    Role.ADMINISTRATOR: "AdministerWithoutUse",
    Role.PLATFORM: "PlatformUsesDataKeys",
    Role.INSPECTOR: "InspectorsLook",
    Role.OPERATOR: "OperatorsRewrapAndReencrypt",
    Role.RESPONDER: "RespondersLockDown",
}
_PRINCIPAL = re.compile(r"arn:(aws[a-z-]*):iam::([0-9]{12}):(root|(?:role|user)/[\w+=,.@/-]{1,576})")


def is_principal(arn: str) -> bool:
    """True for the ARN of an IAM role, user or account, which a policy can be made for."""
    return _PRINCIPAL.fullmatch(arn) is not None


def least_privilege(key_arn: str, principals: Mapping[Role, Sequence[str]]) -> dict[str, Any]:
    """Return the policy that gives each role what it needs of the key and no more.

    `principals` are the ARNs of IAM roles, users or accounts. Raises PolicyError for what is none.
    """
    partition, account = _home(key_arn)
    given = {role: tuple(dict.fromkeys(principals.get(role, ()))) for role in Role}
    for role, arns in given.items():
        for arn in arns:
            if not is_principal(arn):
                raise PolicyError(
                    f"{clean(arn, 200)} is not an IAM role, user or account, for {role}.",
                    remedy="Write it as arn:aws:iam::123456789012:role/name.",
                )
    given[Role.ADMINISTRATOR] = given[Role.ADMINISTRATOR] or (f"arn:{partition}:iam::{account}:root",)
    return {
        "Version": "2012-10-17",
        "Id": "keydeck-least-privilege",
        "Statement": [_statement(role, arns) for role, arns in given.items() if arns],
    }


def _statement(role: Role, arns: Sequence[str]) -> dict[str, Any]:
    return {
        "Sid": _SIDS[role],
        "Effect": "Allow",
        "Principal": {"AWS": list(arns) if len(arns) > 1 else arns[0]},
        "Action": [f"kms:{action}" for action in sorted(NEEDS[role])],
        "Resource": "*",
    }


def _home(key_arn: str) -> tuple[str, str]:
    parts = key_arn.split(":")
    if len(parts) < 6 or parts[0] != "arn" or not parts[4]:
        raise PolicyError(
            f"{clean(key_arn, 200)} does not say of which account the key is.", remedy="Name the key's ARN."
        )
    return parts[1], parts[4]
