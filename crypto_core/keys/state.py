"""One KMS key as an operator sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crypto_core.key_names import region_of, short_key
from crypto_core.keys.grants import Grant
from crypto_core.text.cleaning import NO_TEXT, CleanText, cleans

ON_DEMAND_LIMIT = 25
"""Rotations on demand that a key gets in its life (API reference, RotateKeyOnDemand)."""

_IDENTITIES = ("key_arn", "region", "primary_arn", "replica_arns", "current_material_id")
"""What is acted on: it stays as it came."""


PENDING_DELETION = ("PendingDeletion", "PendingReplicaDeletion")
"""States in which a key waits for its deletion."""


@dataclass(frozen=True, slots=True)
@cleans(state=60, rotation=60, import_state=60)
class KeyMaterial:
    """One generation of a key. `state` is KMS's word: CURRENT, NON_CURRENT, PENDING_ROTATION, …

    `rotation` says how it came: AUTOMATIC or ON_DEMAND, None for the first one. Imported material may
    expire at `expires_at`; then what it wrapped no longer opens until it is imported again.
    """

    key_material_id: str
    state: CleanText | None
    since: datetime | None
    rotation: CleanText | None = None
    expires_at: datetime | None = None
    import_state: CleanText | None = None
    """IMPORTED or PENDING_IMPORT for imported material."""


@dataclass(frozen=True, slots=True)
@cleans(store_id=100, name=256, kind=60, connection=60, error=80)
class CustomKeyStore:
    """Where a key's material is kept outside KMS: a CloudHSM cluster or an external key manager."""

    store_id: str
    name: CleanText = NO_TEXT
    kind: CleanText | None = None
    """AWS_CLOUDHSM or EXTERNAL_KEY_STORE."""
    connection: CleanText | None = None
    """CONNECTED, DISCONNECTED, FAILED, …; keys can be used only while it is CONNECTED."""
    error: CleanText | None = None
    """KMS's code for why it is not connected."""


@dataclass(frozen=True, slots=True)
@cleans(1_000, raw=_IDENTITIES, description=200)
class KeyState:
    """What KMS says of one key. A field is None where it isn't known; `missing` says why.

    `missing` maps a part (state, aliases, rotation, materials, last use, tags, grants, key store) to the
    reason for its absence, such as the IAM action that the identity lacks. Materials, tags and grants are
    asked for only where `detailed`: KMS answers for few keys a second.
    """

    key_arn: str
    region: str
    aliases: tuple[CleanText, ...] = ()
    state: CleanText | None = None
    description: CleanText = NO_TEXT
    created_at: datetime | None = None
    deletion_at: datetime | None = None
    manager: CleanText | None = None
    origin: CleanText | None = None
    spec: CleanText | None = None
    usage: CleanText | None = None
    multi_region: bool = False
    current_material_id: str | None = None
    materials: tuple[KeyMaterial, ...] = ()
    rotation_enabled: bool | None = None
    rotation_period_days: int | None = None
    next_rotation_at: datetime | None = None
    last_used_at: datetime | None = None
    last_used_for: CleanText | None = None
    use_tracked_since: datetime | None = None
    """Uses before that are not known; a key without a use since then may have had one before."""
    deletion_window_days: int | None = None
    primary_arn: str | None = None
    """The primary of a multi-Region key, its own ARN if it is the primary; None for a single-Region key."""
    replica_arns: tuple[str, ...] = ()
    """The replicas of a multi-Region key, in other Regions than the primary."""
    expires_at: datetime | None = None
    """When imported material is deleted; None where it does not expire or is not imported."""
    key_store: CustomKeyStore | None = None
    rotation_started_at: datetime | None = None
    """When the rotation on demand began that is under way; None without one."""
    tags: Mapping[str, CleanText] = field(default_factory=dict)
    grants: tuple[Grant, ...] | None = None
    detailed: bool = False
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The alias if there is one, else the end of the key id."""
        return self.aliases[0] if self.aliases else short_key(self.key_arn)

    @property
    def usable(self) -> bool:
        """True if KMS says that the key can be used."""
        return self.state == "Enabled"

    @property
    def rotatable(self) -> bool:
        """True if KMS can rotate the material by itself: symmetric customer keys with material of KMS's.

        Of a multi-Region key, the primary. AWS KMS Developer Guide, "Rotate AWS KMS keys".
        """
        return (
            self.spec == "SYMMETRIC_DEFAULT"
            and self.usage in ("ENCRYPT_DECRYPT", None)
            and self.manager == "CUSTOMER"
            and self.origin == "AWS_KMS"
            and not self.is_replica
        )

    @property
    def is_replica(self) -> bool:
        """True for a multi-Region key that is not the primary."""
        return self.primary_arn is not None and self.primary_arn != self.key_arn

    @property
    def on_demand_used(self) -> int | None:
        """How many of its 25 rotations on demand it has had; None where its materials leave that open."""
        if not self.detailed or "materials" in self.missing or not self.materials:
            return None
        later = [m for m in self.materials[1:] if not str(m.state).startswith("PENDING")]
        if any(m.rotation is None for m in later):
            return None
        return sum(m.rotation == "ON_DEMAND" for m in self.materials)

    def material_number(self, key_material_id: str | None) -> int | None:
        """Which generation a material is, 1 being the first; None where it can't be told."""
        ordered = [m.key_material_id for m in self.materials]
        return ordered.index(key_material_id) + 1 if key_material_id in ordered else None

    def as_json(self) -> dict[str, Any]:
        """The key as a JSON document's part; times in ISO 8601, UTC."""
        return {
            "key_arn": self.key_arn,
            "region": self.region,
            "aliases": list(self.aliases),
            "key_state": self.state,
            "description": self.description,
            "created_at": _iso(self.created_at),
            "deletion_at": _iso(self.deletion_at),
            "manager": self.manager,
            "origin": self.origin,
            "spec": self.spec,
            "usage": self.usage,
            "multi_region": self.multi_region,
            "primary_arn": self.primary_arn,
            "replicas": [{"key_arn": arn, "region": region_of(arn)} for arn in self.replica_arns],
            "deletion_window_days": self.deletion_window_days,
            "expires_at": _iso(self.expires_at),
            "custom_key_store": _store(self.key_store),
            "tags": dict(self.tags),
            "grants": [g.as_json() for g in self.grants] if self.grants is not None else None,
            "current_key_material_id": self.current_material_id,
            "materials": [
                {
                    "key_material_id": m.key_material_id,
                    "state": m.state,
                    "since": _iso(m.since),
                    "rotation": m.rotation,
                    "expires_at": _iso(m.expires_at),
                }
                for m in self.materials
            ],
            "rotation_enabled": self.rotation_enabled,
            "rotation_period_days": self.rotation_period_days,
            "next_rotation_at": _iso(self.next_rotation_at),
            "rotation_started_at": _iso(self.rotation_started_at),
            "on_demand_rotations_used": self.on_demand_used,
            "last_used_at": _iso(self.last_used_at),
            "last_used_for": self.last_used_for,
            "use_tracked_since": _iso(self.use_tracked_since),
            "missing": dict(self.missing),
        }


def _store(store: CustomKeyStore | None) -> dict[str, Any] | None:
    if store is None:
        return None
    return {
        "custom_key_store_id": store.store_id,
        "name": store.name,
        "type": store.kind,
        "connection_state": store.connection,
        "error": store.error,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
