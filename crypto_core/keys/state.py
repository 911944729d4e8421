"""One KMS key as an operator sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crypto_core.key_names import short_key


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """One generation of a key. `state` is KMS's word: CURRENT, NON_CURRENT, PENDING_ROTATION, …"""

    key_material_id: str
    state: str | None
    since: datetime | None


@dataclass(frozen=True, slots=True)
class KeyState:
    """What KMS says of one key. A field is None where it isn't known; `missing` says why.

    `missing` maps a part (state, aliases, rotation, materials, last use) to the reason for its absence, such
    as the IAM action that the identity lacks.
    """

    key_arn: str
    region: str
    aliases: tuple[str, ...] = ()
    state: str | None = None
    description: str = ""
    created_at: datetime | None = None
    deletion_at: datetime | None = None
    manager: str | None = None
    origin: str | None = None
    spec: str | None = None
    usage: str | None = None
    multi_region: bool = False
    current_material_id: str | None = None
    materials: tuple[KeyMaterial, ...] = ()
    rotation_enabled: bool | None = None
    rotation_period_days: int | None = None
    next_rotation_at: datetime | None = None
    last_used_at: datetime | None = None
    last_used_for: str | None = None
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The alias if there is one, else the end of the key id."""
        return self.aliases[0] if self.aliases else short_key(self.key_arn)

    @property
    def usable(self) -> bool:
        """True if KMS says that the key can be used."""
        return self.state == "Enabled"

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
            "current_key_material_id": self.current_material_id,
            "materials": [
                {"key_material_id": m.key_material_id, "state": m.state, "since": _iso(m.since)}
                for m in self.materials
            ],
            "rotation_enabled": self.rotation_enabled,
            "rotation_period_days": self.rotation_period_days,
            "next_rotation_at": _iso(self.next_rotation_at),
            "last_used_at": _iso(self.last_used_at),
            "last_used_for": self.last_used_for,
            "missing": dict(self.missing),
        }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
