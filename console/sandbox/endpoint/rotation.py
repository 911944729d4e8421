"""Rotation of key material: on demand, the schedule, and the list of generations.

https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from console.sandbox.endpoint.errors import ServiceError, unsupported, validation, violated
from console.sandbox.endpoint.faults import Faults
from console.sandbox.endpoint.keys import (
    DEFAULT_PERIOD_DAYS,
    SYMMETRIC,
    Companion,
    Generation,
    KeyStore,
    require_usable,
)
from console.sandbox.endpoint.metadata import is_primary
from console.sandbox.endpoint.moto_operations import find_key
from console.sandbox.endpoint.parameters import Document
from console.sandbox.endpoint.records import Record

if TYPE_CHECKING:
    from moto.kms.models import Key

Answer = dict[str, Any] | None
Operation = Callable[[Document, Record], Answer]

ON_DEMAND_LIMIT = 25
PERIOD_DAYS = range(90, 2561)
_DAY = 86_400.0


class Rotations:
    def __init__(self, keys: KeyStore, faults: Faults) -> None:
        self._keys = keys
        self._faults = faults
        self.by_name: dict[str, Operation] = {
            "DisableKeyRotation": self.disable,
            "EnableKeyRotation": self.enable,
            "GetKeyRotationStatus": self.status,
            "ListKeyRotations": self.listed,
            "RotateKeyOnDemand": self.rotate_on_demand,
        }

    def rotate_on_demand(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_RotateKeyOnDemand.html

        Adds a generation now, at most 25 times to a key.
        """
        key = self._find_rotatable(request, record)
        done = sum(one.rotation == "ON_DEMAND" for one in self._keys.companion(key).generations)
        if done >= ON_DEMAND_LIMIT:
            raise ServiceError(
                "LimitExceededException",
                f"The on-demand rotations limit has been reached for the given keyId {key.arn}.",
            )
        self._keys.rotate(key, self._keys.clock.now(), "ON_DEMAND")
        record.response = {"keyId": key.id}
        return {"KeyId": key.id}

    def enable(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_EnableKeyRotation.html

        The period is 90 to 2560 days; without one it stays, or becomes 365.
        """
        key = self._find_rotatable(request, record)
        companion = self._keys.companion(key)
        period_days = request.get("RotationPeriodInDays")
        if period_days is None:
            period_days = companion.rotation_period if companion.rotates else DEFAULT_PERIOD_DAYS
        if not isinstance(period_days, int) or period_days not in PERIOD_DAYS:
            raise violated(
                f"Value '{period_days}' at 'rotationPeriodInDays'", "have value between 90 and 2560"
            )
        if not companion.rotates or period_days != companion.rotation_period:
            companion.rotation_enabled_at = self._keys.clock.now()
        companion.rotation_period = period_days
        companion.rotates = True
        record.response = {"keyId": key.arn}
        return None

    def disable(self, request: Document, record: Record) -> Answer:
        key = self._find_rotatable(request, record)
        self._keys.companion(key).rotates = False
        record.response = {"keyId": key.arn}
        return None

    def status(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyRotationStatus.html

        Keys that can't rotate by schedule (asymmetric, HMAC, imported material) answer false.
        """
        key = find_key(self._keys, self._faults, request, record)
        companion = self._keys.companion(key)
        enabled = key.key_manager == "AWS" or companion.rotates
        answer: dict[str, Any] = {"KeyId": key.id, "KeyRotationEnabled": enabled}
        if enabled:
            answer["RotationPeriodInDays"] = companion.rotation_period
            if key.key_state in ("Enabled", "Disabled"):
                answer["NextRotationDate"] = _next_rotation(companion, self._keys.clock.now())
        return answer

    def listed(self, request: Document, record: Record) -> Answer:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeyRotations.html

        `ALL_KEY_MATERIAL` includes the first generation, which has no rotation date; the default
        doesn't. Pages are of `Limit` (1 to 1000, default 100) entries, oldest first.
        """
        key = find_key(self._keys, self._faults, request, record)
        if key.key_spec != SYMMETRIC:
            raise unsupported(f"{key.arn} key spec is {key.key_spec} which is not valid for this operation.")
        include = request.get("IncludeKeyMaterial", "ROTATIONS_ONLY")
        if include not in ("ALL_KEY_MATERIAL", "ROTATIONS_ONLY"):
            raise validation(f"Value '{include}' at 'includeKeyMaterial' is not in the enum value set")
        limit = request.get("Limit", 100)
        if not isinstance(limit, int) or not 1 <= limit <= 1000:
            raise validation(f"Value '{limit}' at 'limit' must be between 1 and 1000")
        companion = self._keys.companion(key)
        entries = [
            _entry(key, generation, is_current=generation is companion.current)
            for generation in companion.generations
            if include == "ALL_KEY_MATERIAL" or generation.rotation is not None
        ]
        start = _offset(request.get("Marker"), len(entries))
        answer: dict[str, Any] = {"Rotations": entries[start : start + limit], "Truncated": False}
        if start + limit < len(entries):
            answer["Truncated"] = True
            answer["NextMarker"] = f"rotation-{start + limit}"
        return answer

    def _find_rotatable(self, request: Document, record: Record) -> "Key":
        key = find_key(self._keys, self._faults, request, record)
        _require_rotatable(key)
        require_usable(key)
        return key


def _require_rotatable(key: "Key") -> None:
    if key.key_manager == "AWS":
        raise unsupported(f"{key.arn} is managed by AWS, which rotates it every year.")
    if key.key_spec != SYMMETRIC:
        raise unsupported(f"{key.arn} key spec is {key.key_spec} which is not valid for this operation.")
    if key.origin != "AWS_KMS":
        raise unsupported(f"{key.arn} origin is {key.origin} which is not valid for this operation.")
    if not is_primary(key):
        raise unsupported(f"{key.arn} is a multi-Region replica key. Rotate its primary key.")


def _next_rotation(companion: Companion, now: float) -> float:
    automatic = [one.since for one in companion.generations if one.rotation == "AUTOMATIC"]
    base = max([companion.rotation_enabled_at or companion.generations[0].since, *automatic])
    period = companion.rotation_period * _DAY
    # A rotation date in the past is one the sandbox didn't carry out: the next one counts.
    periods = max(1, -int((base - now) // period))
    return base + periods * period


def _entry(key: "Key", generation: Generation, *, is_current: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "KeyId": key.id,
        "KeyMaterialId": generation.material.id,
        "KeyMaterialState": "CURRENT" if is_current else "NON_CURRENT",
    }
    if generation.rotation is not None:
        entry["RotationDate"] = generation.since
        entry["RotationType"] = generation.rotation
    return entry


def _offset(marker: object, count: int) -> int:
    if marker is None:
        return 0
    digits = str(marker).removeprefix("rotation-")
    if not digits.isdecimal() or not 0 < int(digits) < count:
        raise ServiceError("InvalidMarkerException", "Could not deserialize marker")
    return int(digits)
