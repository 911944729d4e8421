"""The sandbox's two KMS keys: alias/tokens-old, no longer written under, and alias/tokens, rotated once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from console.sandbox.endpoint import EndpointControl
from console.sandbox.timeline import OLD_TOKENS_CREATED, TOKENS_CREATED, TOKENS_ROTATED
from console.sandbox.world import OLD_TOKENS_ALIAS, TOKENS_ALIAS, WorldKey


def create_keys(kms: Any, control: EndpointControl, now: datetime) -> tuple[WorldKey, WorldKey]:
    """Create both keys with their past and return (current, old)."""
    old = _create(kms, OLD_TOKENS_ALIAS, "Connection tokens, first generation of the platform", "retired")
    current = _create(kms, TOKENS_ALIAS, "Connection tokens", "active")
    control.backdate(old, created=(now - OLD_TOKENS_CREATED))
    control.backdate(current, created=(now - TOKENS_CREATED))
    kms.enable_key_rotation(KeyId=current, RotationPeriodInDays=365)
    control.rotate(current, at=(now - TOKENS_ROTATED))
    return _world_key(kms, TOKENS_ALIAS, current), _world_key(kms, OLD_TOKENS_ALIAS, old)


def _create(kms: Any, alias: str, description: str, status: str) -> str:
    """Create a key and its alias; return the key's ARN."""
    tags = [("service", "connections"), ("status", status), ("data-classification", "secret")]
    answer = kms.create_key(
        Description=description, Tags=[{"TagKey": name, "TagValue": value} for name, value in tags]
    )
    arn: str = answer["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName=alias, TargetKeyId=arn)
    return arn


def _world_key(kms: Any, alias: str, arn: str) -> WorldKey:
    rotations = kms.list_key_rotations(KeyId=arn, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    return WorldKey(alias, arn, tuple(entry["KeyMaterialId"] for entry in rotations))
