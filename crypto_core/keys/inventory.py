"""KMS keys of the configured Regions, fetched concurrently; a missing permission is told by IAM action."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from crypto_core.errors import KeyNotFoundError, KmsAccessDeniedError, KmsError, KmsRequestError
from crypto_core.foreign import clean
from crypto_core.key_names import parse_key_name, region_of
from crypto_core.keys.state import KeyMaterial, KeyState
from crypto_core.kms import KmsApi

_ROTATES = ("AWS_KMS", "EXTERNAL")
"""Origins whose keys have key material of their own in KMS."""


class KeyInventory:
    """The KMS keys that this identity may see. Thread-safe; blocks on KMS."""

    def __init__(
        self, kms: KmsApi, *, guarding: Callable[[], Iterable[str]] = tuple, workers: int = 8
    ) -> None:
        """`guarding` gives names of keys to show besides those that can be listed: configured ones, and
        ARNs that attribution met.
        """
        self._kms = kms
        self._guarding = guarding
        self._workers = workers
        self._lock = threading.Lock()
        self._aliases: dict[str, tuple[str, ...]] = {}

    def list(self) -> tuple[KeyState, ...]:
        """Return all keys, listed or guarding tokens, each with its state, rotation and aliases.

        Keys that KMS won't describe are there with the reason. Where keys may not be listed, those that are
        known anyway say that there may be others. Raises KmsError if KMS can't be asked at all.
        """
        names: dict[str, None] = {}
        refused: dict[str, KmsAccessDeniedError] = {}
        for region in self._kms.regions:
            try:
                names |= dict.fromkeys(
                    str(k["KeyArn"]) for k in self._kms.listed("ListKeys", "Keys", region=region)
                )
            except KmsAccessDeniedError as error:
                refused[region] = error
        names |= dict.fromkeys(self._guarding())
        if not names and refused:
            raise next(iter(refused.values()))
        aliases = self._read_aliases()
        with ThreadPoolExecutor(max_workers=self._workers) as pool:
            states = [s for s in pool.map(lambda n: self._one(n, aliases), names) if s is not None]
        for number, state in enumerate(states):
            if state.region in refused:
                others = f"{refused[state.region].action} is not allowed"
                states[number] = replace(state, missing=state.missing | {"other keys": others})
        unique = {state.key_arn: state for state in states}
        return tuple(sorted(unique.values(), key=lambda s: (s.name.startswith("…"), s.name, s.key_arn)))

    def show(self, name: str) -> KeyState:
        """Return one key by ARN, id, alias or alias ARN, with materials, rotation and last use.

        Raises SettingsError for what is no key name, KeyNotFoundError, KmsError.
        """
        state = self._describe(name)
        return self._with_rotation(self._with_last_use(self._with_aliases(state, self._read_aliases())))

    def describe(self, name: str) -> KeyState:
        """Return a key's state alone (one call). Raises as `show`."""
        return self._with_aliases(self._describe(name), self.known_aliases())

    def targets(self) -> tuple[KeyState, ...]:
        """Return the keys that tokens may be written under: enabled symmetric customer keys."""
        return tuple(
            state
            for state in self.list()
            if state.usable and state.manager == "CUSTOMER" and state.spec == "SYMMETRIC_DEFAULT"
        )

    def aliases(self) -> Mapping[str, Sequence[str]]:
        """Return the aliases by key ARN as last read; asks nothing."""
        with self._lock:
            return dict(self._aliases)

    def refresh_aliases(self) -> None:
        """Read the aliases again; what is known stays where KMS does not tell them."""
        try:
            self._read_aliases()
        except KmsError:
            return

    def known_aliases(self) -> Mapping[str, Sequence[str]]:
        """Return the aliases by key ARN, read once; empty where KMS does not tell them."""
        try:
            return self.aliases() or self._read_aliases() or {}
        except KmsError:
            return {}

    def _one(self, name: str, aliases: Mapping[str, tuple[str, ...]] | None) -> KeyState | None:
        try:
            state = self._describe(name)
        except KeyNotFoundError:
            if not parse_key_name(name).is_key_arn:
                return None
            return KeyState(name, region_of(name) or "", state="NotFound")
        except KmsError as error:
            if not parse_key_name(name).is_key_arn:
                return None
            reason = error.message
            if isinstance(error, KmsAccessDeniedError):
                reason = f"{error.action} is not allowed"
            unknown = KeyState(name, region_of(name) or "", missing={"state": reason})
            return self._with_aliases(unknown, aliases)
        return self._with_rotation(self._with_last_use(self._with_aliases(state, aliases)))

    def _describe(self, name: str) -> KeyState:
        parse_key_name(name)
        answer = self._kms.call("DescribeKey", region=region_of(name), KeyId=name)
        m = answer.get("KeyMetadata") or {}
        if not m.get("Arn"):
            raise KmsRequestError(
                f"KMS described {name} without naming it.", operation="DescribeKey", key=name
            )
        arn = str(m["Arn"])
        return KeyState(
            key_arn=clean(arn),
            region=region_of(arn) or self._kms.regions[0],
            state=clean(m.get("KeyState")) or None,
            description=clean(m.get("Description"), 200),
            created_at=m.get("CreationDate"),
            deletion_at=m.get("DeletionDate"),
            manager=m.get("KeyManager"),
            origin=m.get("Origin"),
            spec=m.get("KeySpec") or m.get("CustomerMasterKeySpec"),
            usage=m.get("KeyUsage"),
            multi_region=bool(m.get("MultiRegion")),
            current_material_id=m.get("CurrentKeyMaterialId"),
        )

    def _read_aliases(self) -> dict[str, tuple[str, ...]] | None:
        found: dict[str, list[str]] = {}
        try:
            for region in self._kms.regions:
                for alias in self._kms.listed("ListAliases", "Aliases", region=region):
                    if alias.get("TargetKeyId"):
                        arn = str(alias["AliasArn"]).replace(
                            f":{alias['AliasName']}", f":key/{alias['TargetKeyId']}"
                        )
                        found.setdefault(arn, []).append(clean(alias["AliasName"]))
        except KmsAccessDeniedError:
            return None
        result = {arn: tuple(sorted(names)) for arn, names in found.items()}
        with self._lock:
            self._aliases = result
        return result

    def _with_aliases(self, state: KeyState, aliases: Mapping[str, Sequence[str]] | None) -> KeyState:
        if aliases is None:
            known = self.aliases().get(state.key_arn, ())
            if known:
                return replace(state, aliases=tuple(known))
            return replace(state, missing=state.missing | {"aliases": "kms:ListAliases is not allowed"})
        return replace(state, aliases=tuple(aliases.get(state.key_arn, ())))

    def _with_rotation(self, state: KeyState) -> KeyState:
        if state.spec != "SYMMETRIC_DEFAULT" or state.origin not in _ROTATES or state.manager != "CUSTOMER":
            return state
        if state.state in ("PendingDeletion", "PendingReplicaDeletion", "NotFound", None):
            return state
        missing = dict(state.missing)
        status = self._optional("GetKeyRotationStatus", "rotation", missing, state)
        if status is not None:
            state = replace(
                state,
                rotation_enabled=status.get("KeyRotationEnabled"),
                rotation_period_days=status.get("RotationPeriodInDays"),
                next_rotation_at=status.get("NextRotationDate"),
            )
        rotations = self._optional(
            "ListKeyRotations", "materials", missing, state, IncludeKeyMaterial="ALL_KEY_MATERIAL"
        )
        if rotations is not None:
            materials = [
                KeyMaterial(
                    key_material_id=str(r["KeyMaterialId"]),
                    state=r.get("KeyMaterialState"),
                    since=r.get("RotationDate"),
                )
                for r in rotations.get("Rotations", [])
                if r.get("KeyMaterialId")
            ]
            # The first material came with the key; KMS gives it no rotation date.
            materials.sort(key=lambda m: (m.since is not None, m.since or state.created_at))
            first = [replace(m, since=m.since or state.created_at) for m in materials[:1]]
            state = replace(state, materials=(*first, *materials[1:]))
        return replace(state, missing=missing)

    def _with_last_use(self, state: KeyState) -> KeyState:
        missing = dict(state.missing)
        answer = self._optional("GetKeyLastUsage", "last use", missing, state)
        usage = (answer or {}).get("KeyLastUsage") or {}
        return replace(
            state,
            last_used_at=usage.get("Timestamp"),
            last_used_for=clean(usage.get("Operation"), 60) or None,
            missing=missing,
        )

    def _optional(
        self, operation: str, part: str, missing: dict[str, str], state: KeyState, **parameters: Any
    ) -> dict[str, Any] | None:
        """Ask for one part of a key; a refusal becomes the reason why it is missing."""
        try:
            return self._kms.call(operation, region=state.region, KeyId=state.key_arn, **parameters)
        except KmsAccessDeniedError as error:
            missing[part] = f"{error.action} is not allowed"
        except KmsRequestError as error:
            missing[part] = f"this endpoint does not answer {operation}: {error.message}"
        except KmsError as error:
            missing[part] = error.message
        return None
