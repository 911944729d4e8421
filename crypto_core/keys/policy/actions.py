"""The KMS actions that a policy can name, and what each is good for.

Service Authorization Reference, "Actions, resources, and condition keys for AWS Key Management Service".
Actions of policies are matched without regard to case, `*` standing for any characters, `?` for one (IAM User
Guide, "IAM JSON policy elements: Action").
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache

from crypto_core.keys.principals import like


class Power(StrEnum):
    """What an action gives to whom it is allowed, the worst first."""

    DELEGATE = "give others access"
    DESTROY = "make it unusable"
    OPEN = "open data keys"
    SEAL = "make data keys"
    ADMINISTER = "administer it"
    LOOK = "look at it"


_BY_POWER: dict[Power, tuple[str, ...]] = {
    Power.DELEGATE: ("CreateGrant", "PutKeyPolicy", "ReplicateKey"),
    Power.DESTROY: ("DeleteImportedKeyMaterial", "DisableKey", "ScheduleKeyDeletion"),
    Power.OPEN: ("Decrypt", "DeriveSharedSecret", "ReEncryptFrom"),
    Power.SEAL: (
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateMac",
        "ReEncryptTo",
        "Sign",
        "Verify",
        "VerifyMac",
    ),
    Power.ADMINISTER: (
        "CancelKeyDeletion",
        "CreateAlias",
        "DeleteAlias",
        "DisableKeyRotation",
        "EnableKey",
        "EnableKeyRotation",
        "ImportKeyMaterial",
        "RetireGrant",
        "RevokeGrant",
        "RotateKeyOnDemand",
        "SynchronizeMultiRegionKey",
        "TagResource",
        "UntagResource",
        "UpdateAlias",
        "UpdateKeyDescription",
        "UpdatePrimaryRegion",
    ),
    Power.LOOK: (
        "DescribeKey",
        "GetKeyLastUsage",
        "GetKeyPolicy",
        "GetKeyRotationStatus",
        "GetParametersForImport",
        "GetPublicKey",
        "ListGrants",
        "ListKeyPolicies",
        "ListKeyRotations",
        "ListResourceTags",
    ),
}
"""The actions on a key. Those on the account (CreateKey, ListKeys, …) are no key policy's business."""

POWERS: dict[str, Power] = {action: power for power, actions in _BY_POWER.items() for action in actions}


def named_by(pattern: str) -> frozenset[str]:
    """Return the actions on a key that a policy's `kms:…` names; none for another service's."""
    return _named_by(pattern.lower())


@lru_cache(maxsize=1024)
def _named_by(pattern: str) -> frozenset[str]:
    if pattern == "*":
        return frozenset(POWERS)
    service, _, action = pattern.partition(":")
    if not action or not like(service, "kms"):
        return frozenset()
    return frozenset(name for name in POWERS if like(action, name.lower()))


def powers(actions: Iterable[str]) -> tuple[Power, ...]:
    """Return what some actions give together, the worst first."""
    found = {POWERS[action] for action in actions if action in POWERS}
    return tuple(power for power in Power if power in found)


def power_of(actions: frozenset[str], power: Power) -> tuple[str, ...]:
    """Return those of some actions that give a power, what matters most first."""
    found = [action for action in _BY_POWER[power] if action in actions]
    return tuple(sorted(found, key="GenerateDataKey".__ne__))


def in_words(actions: Iterable[str]) -> str:
    """Return actions as an operator reads them behind "may": "do everything", or their names, worst first."""
    named = set(actions)
    left_out = [action for action in POWERS if action not in named]
    if not left_out:
        return "do everything"
    if len(left_out) <= 3:
        return f"do everything but {', '.join(left_out)}"
    return ", ".join(action for action in POWERS if action in named) or "do nothing with this key"
