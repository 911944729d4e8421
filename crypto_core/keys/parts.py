"""The parts of a key that KMS tells one by one: each answer read into KeyState, each refusal named.

API reference: DescribeKey, GetKeyRotationStatus, ListKeyRotations, GetKeyLastUsage, ListResourceTags,
ListGrants, DescribeCustomKeyStores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from crypto_core.aws.kms import KmsApi
from crypto_core.errors import KmsError, KmsRequestError, KmsUnreadableError, MissingOperationError
from crypto_core.key_names import is_key_arn, region_of
from crypto_core.keys.grants import read_grants
from crypto_core.keys.state import PENDING_DELETION, CustomKeyStore, KeyMaterial, KeyState
from crypto_core.text.cleaning import NO_TEXT, CleanText, clean

T = TypeVar("T")

_ROTATES = ("AWS_KMS", "EXTERNAL")
"""Origins whose keys have key material of their own in KMS."""
_GONE = (*PENDING_DELETION, "NotFound", None)
"""States in which KMS tells nothing of a key's rotation."""


def described(metadata: Mapping[str, Any], region: str) -> KeyState:
    """Return a key from the KeyMetadata that DescribeKey answers with. `region` is that asked.

    Raises KmsUnreadableError for an ARN that is none: calls go by it.
    """
    arn = str(metadata["Arn"])
    if not is_key_arn(arn):
        raise KmsUnreadableError(f"KMS described a key by what is no key's ARN: {arn}.")
    relations = metadata.get("MultiRegionConfiguration") or {}
    store = metadata.get("CustomKeyStoreId")
    return KeyState(
        key_arn=arn,
        region=region_of(arn) or region,
        state=metadata.get("KeyState") or None,
        description=metadata.get("Description") or NO_TEXT,
        created_at=metadata.get("CreationDate"),
        deletion_at=metadata.get("DeletionDate"),
        deletion_window_days=metadata.get("PendingDeletionWindowInDays"),
        manager=metadata.get("KeyManager"),
        origin=metadata.get("Origin"),
        spec=metadata.get("KeySpec") or metadata.get("CustomerMasterKeySpec"),
        usage=metadata.get("KeyUsage"),
        multi_region=bool(metadata.get("MultiRegion")),
        primary_arn=clean((relations.get("PrimaryKey") or {}).get("Arn")) or None,
        replica_arns=tuple(clean(r["Arn"]) for r in relations.get("ReplicaKeys") or () if r.get("Arn")),
        current_material_id=metadata.get("CurrentKeyMaterialId"),
        expires_at=metadata.get("ValidTo"),
        key_store=CustomKeyStore(clean(store, 64)) if store else None,
    )


class KeyParts:
    """Asks KMS for parts of keys. Thread-safe; blocks on KMS. A refusal becomes a reason in `missing`."""

    def __init__(self, kms: KmsApi) -> None:
        self._kms = kms

    def with_use(self, state: KeyState) -> KeyState:
        """Add when and for what the key was last used, as far back as KMS knows."""
        missing = dict(state.missing)
        answer = self._optional("last use", missing, lambda: self._about(state, "GetKeyLastUsage"))
        usage = (answer or {}).get("KeyLastUsage") or {}
        return replace(
            state,
            last_used_at=usage.get("Timestamp"),
            last_used_for=usage.get("Operation") or None,
            use_tracked_since=(answer or {}).get("TrackingStartDate"),
            missing=missing,
        )

    def with_rotation(self, state: KeyState) -> KeyState:
        """Add whether and when the key rotates by itself, where it has key material of its own."""
        if not _has_material(state):
            return state
        missing = dict(state.missing)
        answer = self._optional("rotation", missing, lambda: self._about(state, "GetKeyRotationStatus"))
        if answer is not None:
            state = replace(
                state,
                rotation_enabled=answer.get("KeyRotationEnabled"),
                rotation_period_days=answer.get("RotationPeriodInDays"),
                next_rotation_at=answer.get("NextRotationDate"),
                rotation_started_at=answer.get("OnDemandRotationStartDate"),
            )
        return replace(state, missing=missing)

    def with_details(self, state: KeyState) -> KeyState:
        """Add materials, tags and grants."""
        missing = dict(state.missing)
        if _has_material(state):
            rotations = self._optional("materials", missing, lambda: list(self._rotations(state)))
            if rotations is not None:
                state = replace(state, materials=_materials(rotations, state))
        if state.manager == "CUSTOMER" and state.state != "NotFound":
            tags = self._optional("tags", missing, lambda: dict(self._tags(state)))
            grants = self._optional(
                "grants", missing, lambda: read_grants(self._kms, state.region, state.key_arn)
            )
            state = replace(state, tags=tags or {}, grants=grants)
        return replace(state, missing=missing, detailed=True)

    def with_stores(self, states: Iterable[KeyState]) -> list[KeyState]:
        """Add the custom key stores' connection to the keys in them; each Region is asked once."""
        found = list(states)
        stores: dict[str, tuple[dict[str, CustomKeyStore] | None, dict[str, str]]] = {}
        for number, state in enumerate(found):
            if state.key_store is None:
                continue
            if state.region not in stores:
                why: dict[str, str] = {}
                region = state.region
                stores[region] = self._optional("key store", why, lambda r=region: self._stores(r)), why  # type: ignore[misc]
            known, missing = stores[state.region]
            store = (known or {}).get(state.key_store.store_id, state.key_store)
            found[number] = replace(state, key_store=store, missing=state.missing | missing)
        return found

    def _about(self, state: KeyState, operation: str) -> dict[str, Any]:
        return self._kms.call(operation, region=state.region, KeyId=state.key_arn)

    def _rotations(self, state: KeyState) -> Iterable[dict[str, Any]]:
        return self._kms.listed(
            "ListKeyRotations",
            "Rotations",
            region=state.region,
            KeyId=state.key_arn,
            IncludeKeyMaterial="ALL_KEY_MATERIAL",
        )

    def _tags(self, state: KeyState) -> Iterable[tuple[str, CleanText]]:
        for tag in self._kms.listed("ListResourceTags", "Tags", region=state.region, KeyId=state.key_arn):
            yield str(tag.get("TagKey")), clean(tag.get("TagValue"), 256)

    def _stores(self, region: str) -> dict[str, CustomKeyStore]:
        listed = self._kms.listed("DescribeCustomKeyStores", "CustomKeyStores", region=region)
        stores = (
            CustomKeyStore(
                store_id=clean(raw.get("CustomKeyStoreId"), 64),
                name=raw.get("CustomKeyStoreName") or NO_TEXT,
                kind=raw.get("CustomKeyStoreType") or None,
                connection=raw.get("ConnectionState") or None,
                error=raw.get("ConnectionErrorCode") or None,
            )
            for raw in listed
        )
        return {store.store_id: store for store in stores}

    def _optional(self, part: str, missing: dict[str, str], ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except MissingOperationError as error:
            missing[part] = error.why
        except KmsRequestError as error:
            missing[part] = f"this endpoint does not answer {error.operation}: {error.message}"
        except KmsError as error:
            missing[part] = error.why
        return None


def _has_material(state: KeyState) -> bool:
    return (
        state.spec == "SYMMETRIC_DEFAULT"
        and state.origin in _ROTATES
        and state.manager == "CUSTOMER"
        and state.state not in _GONE
    )


def _materials(rotations: Iterable[Mapping[str, Any]], state: KeyState) -> tuple[KeyMaterial, ...]:
    """The materials, the first one first. It came with the key: KMS gives it no rotation date."""
    found = [
        KeyMaterial(
            key_material_id=str(r["KeyMaterialId"]),
            state=r.get("KeyMaterialState"),
            since=r.get("RotationDate"),
            rotation=r.get("RotationType"),
            expires_at=r.get("ValidTo"),
            import_state=r.get("ImportState"),
        )
        for r in rotations
        if r.get("KeyMaterialId")
    ]
    # What waits to become current has no date either; it is the newest.
    found.sort(
        key=lambda m: (str(m.state).startswith("PENDING"), m.since is not None, m.since or state.created_at)
    )
    first = [replace(m, since=m.since or state.created_at) for m in found[:1]]
    return (*first, *found[1:])
