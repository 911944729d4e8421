"""KMS keys: a view over moto's backend, and what moto doesn't keep about a key.

moto holds the keys, aliases, states and policies. Beside them stand here, by key id: the generations of
key material, the rotation settings, and the last use. The material of a generation is derived from the
endpoint's root secret, so the replicas of a multi-Region key share it and a seed reproduces it.
"""

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from console.sandbox.endpoint.clock import EndpointClock
from console.sandbox.endpoint.crypto import MaterialGeneration, derive_material
from console.sandbox.endpoint.errors import ServiceError, invalid_state, not_found, validation, violated
from console.sandbox.endpoint.moto_server import MotoServer
from console.sandbox.endpoint.principals import ACCOUNT

if TYPE_CHECKING:
    from moto.kms.models import Key

SYMMETRIC = "SYMMETRIC_DEFAULT"
PENDING_DELETION = ("PendingDeletion", "PendingReplicaDeletion")
DEFAULT_PERIOD_DAYS = 365

_KEY_ID = re.compile(r"(mrk-)?[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}|mrk-[0-9a-f]{32}", re.IGNORECASE)

_REFUSING_STATES = {
    "PendingDeletion": "is pending deletion",
    "PendingReplicaDeletion": "is pending replica deletion",
    "PendingImport": "is pending import",
    "Unavailable": "is unavailable",
    "Creating": "is creating",
}


@dataclass(frozen=True, slots=True)
class Generation:
    """One key material of a key. `since` is epoch seconds; `rotation` is None for the first."""

    material: MaterialGeneration
    since: float
    rotation: str | None


@dataclass(frozen=True, slots=True)
class LastUsage:
    operation: str
    time: float
    event_id: int
    request_id: int


@dataclass(slots=True)
class Companion:
    """What the gate keeps about a key beside moto's object.

    The replicas of a multi-Region key share it, and so their rotation. `rotates` says whether there is a
    schedule; `rotation_period` is in days; `rotation_enabled_at` and the dates of grants are epoch seconds.
    """

    generations: list[Generation]
    rotates: bool = False
    rotation_period: int = DEFAULT_PERIOD_DAYS
    rotation_enabled_at: float = 0.0
    grant_dates: dict[str, float] = field(default_factory=dict)

    @property
    def current(self) -> Generation:
        return self.generations[-1]

    def copy(self) -> "Companion":
        return replace(self, generations=list(self.generations), grant_dates=dict(self.grant_dates))

    def at(self, moment: float) -> Generation:
        """The generation that was current at `moment` (epoch seconds)."""
        for generation in reversed(self.generations):
            if generation.since <= moment:
                return generation
        return self.generations[0]


@dataclass(frozen=True, slots=True)
class KeptBesideMoto:
    companions: dict[str, Companion]
    by_identifier: dict[bytes, tuple[str, MaterialGeneration]]
    last_uses: dict[str, LastUsage]


class KeyStore:
    def __init__(self, moto: MotoServer, root_secret: bytes, clock: EndpointClock) -> None:
        self.moto = moto
        self.clock = clock
        self._root = root_secret
        self._companions: dict[str, Companion] = {}
        self._by_identifier: dict[bytes, tuple[str, MaterialGeneration]] = {}
        self.last_uses: dict[str, LastUsage] = {}

    def find(self, region: str, reference: object) -> "Key":
        """Return the key of an id, ARN or alias. Raises NotFoundException, ValidationException."""
        if not isinstance(reference, str) or not reference:
            raise violated("Value at 'keyId'", "not be null")
        backend = self.moto.kms(region)
        name = reference
        if reference.startswith("arn:"):
            name = _resource_of(region, reference)
        if name.startswith("alias/"):
            key_id = backend.get_key_id_from_alias(name)
            if key_id is None:
                raise not_found(f"Alias arn:aws:kms:{region}:{ACCOUNT}:{name} is not found.")
            key = backend.keys[key_id]
            if name.startswith("alias/aws/"):
                key.key_manager = "AWS"
        else:
            name = name.removeprefix("key/")
            if not _KEY_ID.fullmatch(name):
                raise not_found(f"Invalid keyId '{reference}'")
            found = backend.keys.get(name)
            if found is None:
                raise not_found(f"Key 'arn:aws:kms:{region}:{ACCOUNT}:key/{name}' does not exist")
            key = found
        self.companion(key)
        return key

    def find_by_id(self, region: str, reference: object) -> "Key":
        """Like `find`, for the operations that don't accept an alias."""
        if isinstance(reference, str) and (reference.startswith("alias/") or ":alias/" in reference):
            raise not_found(f"Invalid keyId {reference}")
        return self.find(region, reference)

    def kept(self) -> KeptBesideMoto:
        return KeptBesideMoto(
            {key_id: one.copy() for key_id, one in self._companions.items()},
            dict(self._by_identifier),
            dict(self.last_uses),
        )

    def restore(self, kept: KeptBesideMoto) -> None:
        self._companions = {key_id: one.copy() for key_id, one in kept.companions.items()}
        self._by_identifier = dict(kept.by_identifier)
        self.last_uses = dict(kept.last_uses)

    def companion(self, key: "Key") -> Companion:
        """Return what the gate keeps about a key, with at least one generation."""
        companion = self._companions.get(key.id)
        if companion is None:
            companion = self._companions[key.id] = Companion([])
            self._add_generation(key, companion, key.creation_date, None)
        return companion

    def rotate(self, key: "Key", at: float, rotation: str) -> Generation:
        """Add a generation that begins at `at` (epoch seconds); ValidationException if out of order."""
        companion = self.companion(key)
        newest = companion.current
        if at < newest.since or at > self.clock.now() + 1:
            raise validation(
                f"Key '{key.arn}' can't be rotated at that time: it must be later than the start of its "
                "newest key material and not in the future. Backdate the key first."
            )
        if rotation == "AUTOMATIC":
            companion.rotation_enabled_at = min(companion.rotation_enabled_at, at)
        return self._add_generation(key, companion, at, rotation)

    def backdate(self, key: "Key", created: float) -> None:
        """Make the key look created at `created` (epoch seconds), before its first rotation."""
        companion = self.companion(key)
        if len(companion.generations) > 1 and created > companion.generations[1].since:
            raise validation(f"Key '{key.arn}' was rotated before that time")
        key.creation_date = created
        first = companion.generations[0]
        companion.generations[0] = Generation(first.material, created, None)

    def material(self, key: "Key", material_id: str) -> MaterialGeneration:
        """Return the generation of that KeyMaterialId. Raises NotFoundException."""
        for generation in self.companion(key).generations:
            if generation.material.id == material_id:
                return generation.material
        raise not_found(f"Key '{key.arn}' has no key material {material_id}")

    def by_identifier(self, region: str, identifier: bytes) -> "tuple[Key, MaterialGeneration] | None":
        """Return the key of this region, and its material, that made blobs with this identifier."""
        found = self._by_identifier.get(identifier)
        if found is None:
            return None
        key_id, material = found
        key = self.moto.kms(region).keys.get(key_id)
        return None if key is None else (key, material)

    def note_use(self, arn: str, use: LastUsage) -> None:
        known = self.last_uses.get(arn)
        if known is None or known.time <= use.time:
            self.last_uses[arn] = use

    def _add_generation(
        self, key: "Key", companion: Companion, since: float, rotation: str | None
    ) -> Generation:
        material = derive_material(self._root, key.id, len(companion.generations))
        generation = Generation(material, since, rotation)
        companion.generations.append(generation)
        self._by_identifier[material.header[5:]] = (key.id, material)
        return generation


def require_usable(key: "Key") -> None:
    """Raise DisabledException or KMSInvalidStateException unless the key may be used for cryptography.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
    """
    if key.key_state == "Enabled":
        return
    if key.key_state == "Disabled":
        raise ServiceError("DisabledException", f"{key.arn} is disabled.")
    require_state_other_than(key, *_REFUSING_STATES)


def require_state_other_than(key: "Key", *states: str) -> None:
    """Raise KMSInvalidStateException if the key is in one of `states`."""
    if key.key_state in states:
        raise invalid_state(f"{key.arn} {_REFUSING_STATES.get(key.key_state, f'is {key.key_state}')}.")


def _resource_of(region: str, arn: str) -> str:
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[2] != "kms":
        raise ServiceError("InvalidArnException", f"Invalid ARN '{arn}'")
    if parts[3] != region:
        raise not_found(f"Invalid arn {parts[3]}")
    if parts[4] != ACCOUNT:
        raise not_found(f"Key '{arn}' does not exist")
    return parts[5]
