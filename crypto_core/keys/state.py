"""One KMS key as an operator sees it, and its last use as an answer to what happened since a moment.

API reference, GetKeyLastUsage: the last successful use alone, eventually consistent. Its silence is never
taken as no use; CloudTrail has every use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from crypto_core.findings.finding import Severity
from crypto_core.keys.grants import Grant
from crypto_core.keys.key_uses import MAKES
from crypto_core.values.clean_text import NO_TEXT, CleanText, cleans
from crypto_core.values.json_records import JsonRecord, made, shape
from crypto_core.values.key_names import is_multi_region, means, region_of, short_key

ON_DEMAND_LIMIT = 25
"""Rotations on demand that a key gets in its life (API reference, RotateKeyOnDemand)."""

_IDENTITIES = ("key_arn", "region", "primary_arn", "replica_arns", "current_material_id")
"""What is acted on: it stays as it came."""


PENDING_DELETION = ("PendingDeletion", "PendingReplicaDeletion")
NOT_FOUND = "NotFound"
"""Keydeck's word for a key that KMS does not have."""


@dataclass(frozen=True, slots=True)
@cleans(state=60, rotation=60, import_state=60)
class KeyMaterial(JsonRecord):
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

    json_shape = shape("... -import_state")


@dataclass(frozen=True, slots=True)
@cleans(store_id=100, name=256, kind=60, connection=60, error=80)
class CustomKeyStore(JsonRecord):
    """Where a key's material is kept outside KMS: a CloudHSM cluster or an external key manager."""

    store_id: str
    name: CleanText = NO_TEXT
    kind: CleanText | None = None
    """AWS_CLOUDHSM or EXTERNAL_KEY_STORE."""
    connection: CleanText | None = None
    """CONNECTED, DISCONNECTED, FAILED, …; keys can be used only while it is CONNECTED."""
    error: CleanText | None = None

    json_shape = shape("custom_key_store_id=store_id name type=kind connection_state=connection error")


@dataclass(frozen=True, slots=True)
class KeyReplica(JsonRecord):
    key_arn: str

    json_shape = shape("key_arn region", region=made(str | None, lambda replica: region_of(replica.key_arn)))


@dataclass(frozen=True, slots=True)
@cleans(1_000, raw=_IDENTITIES, description=200)
class KeyState(JsonRecord):
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

    json_shape = shape(
        "key_arn region aliases key_state=state description created_at deletion_at manager origin spec usage "
        "multi_region primary_arn replicas deletion_window_days expires_at custom_key_store=key_store tags "
        "grants current_key_material_id=current_material_id materials rotation_enabled rotation_period_days "
        "next_rotation_at rotation_started_at on_demand_rotations_used=on_demand_used last_used_at "
        "last_used_for use_tracked_since missing",
        replicas=made(tuple[KeyReplica, ...], lambda key: [KeyReplica(arn) for arn in key.replica_arns]),
    )

    @property
    def name(self) -> str:
        return self.aliases[0] if self.aliases else short_key(self.key_arn)

    def is_named(self, name: str | None) -> bool:
        """True if a configured name means this key."""
        return name is not None and means(name, self.key_arn, self.aliases)

    @property
    def usable(self) -> bool:
        return self.state == "Enabled"

    @property
    def unfit(self) -> str:
        """Why it can't wrap data keys, whatever its state, "" where it can."""
        if self.spec == "SYMMETRIC_DEFAULT" and self.usage in ("ENCRYPT_DECRYPT", None):
            return ""
        return f"{self.key_arn} is {self.spec}, for {self.usage}: it can't wrap data keys."

    @property
    def harm(self) -> tuple[Severity, str] | None:
        """How bad its state is for tokens under it, and what mends that; None where nothing is to be done."""
        if self.state in (None, "Enabled", "Updating"):
            return None
        if self.state == "Creating":
            return Severity.HIGH, "KMS is still making it: look again in a minute."
        if self.state in PENDING_DELETION:
            severity = Severity.HIGH if self.is_replica else Severity.CRITICAL
            cancel = f"Cancel the deletion: keydeck keys cancel-deletion {self.key_arn}, then enable the key."
            return severity, cancel
        if self.state == "Disabled":
            enable = f"Enable it: keydeck keys enable {self.key_arn}, or move its tokens under another key."
            return Severity.HIGH, enable
        if self.state != NOT_FOUND:
            mend = "Bring the key back to Enabled: import its material, or connect its key store."
            return Severity.HIGH, mend
        lost = "tokens under a deleted key are lost."
        if is_multi_region(self.key_arn):
            lost = "replicas in other Regions, if there are any, still open its tokens."
        return Severity.CRITICAL, f"Look for the key in its account and Region; {lost}"

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


class LastUse(StrEnum):
    """SEALED is certain; of each other one the value says why it isn't known whether somebody sealed."""

    SEALED = "it made something new"
    OTHER = "GetKeyLastUsage has the last use alone, which hides others"
    SILENT = "KMS reports use with a delay"
    UNTRACKED = "KMS does not report the last use"
    UNREAD = "its last use could not be read"


def last_use_since(state: KeyState, since: datetime | None) -> LastUse:
    """Return what KMS's answer says of the time since a moment, None for as far back as it reaches."""
    used, tracked = state.last_used_at, state.use_tracked_since
    if {"last use", "state"} & state.missing.keys():
        return LastUse.UNREAD
    if used is not None and (since is None or used > since):
        return LastUse.SEALED if state.last_used_for in MAKES else LastUse.OTHER
    if used is None and (tracked is None or (since is not None and tracked > since)):
        return LastUse.UNTRACKED
    return LastUse.SILENT
