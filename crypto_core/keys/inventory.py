"""KMS keys of the configured Regions, fetched concurrently; a missing permission is an IAM action.

API reference: DescribeKey, GetKeyRotationStatus, ListKeyRotations, GetKeyLastUsage, ListResourceTags,
ListGrants, DescribeCustomKeyStores.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from crypto_core.aws.kms import KmsApi
from crypto_core.keys.grants import read_grants
from crypto_core.keys.state import NOT_FOUND, PENDING_DELETION, CustomKeyStore, KeyMaterial, KeyState
from crypto_core.values import errors
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean
from crypto_core.values.errors import KmsError, KmsRequestError, KmsUnreadableError, MissingOperationError
from crypto_core.values.key_names import is_key_arn, parse_key_name, region_of
from crypto_core.values.typed_names import meant

T = TypeVar("T")

_ROTATES = ("AWS_KMS", "EXTERNAL")
"""Origins whose keys have key material of their own in KMS."""
_GONE = (*PENDING_DELETION, NOT_FOUND, None)


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


def undescribed(key_arn: str, error: KmsError) -> KeyState:
    """Return a key that KMS doesn't describe: one that is gone, or one whose state is missing."""
    if isinstance(error, errors.KeyNotFoundError):
        return KeyState(key_arn, region_of(key_arn) or "", state=clean(NOT_FOUND))
    return KeyState(key_arn, region_of(key_arn) or "", missing={"state": error.why})


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
        missing = dict(state.missing)
        if _has_material(state):
            rotations = self._optional("materials", missing, lambda: list(self._rotations(state)))
            if rotations is not None:
                state = replace(state, materials=_materials(rotations, state))
        if state.manager == "CUSTOMER" and state.state != NOT_FOUND:
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


DETAILED = 60
"""How many keys of a list are asked about materials and grants: KMS answers 100 such questions a second, for
the whole account (AWS KMS Developer Guide, "Request quotas"). Keys that guard tokens come first.
"""


class KeyInventory:
    """The KMS keys that this identity may see. Thread-safe; blocks on KMS."""

    def __init__(
        self,
        kms: KmsApi,
        *,
        guarding: Callable[[], Iterable[str]] = tuple,
        workers: int = 16,
        detailed: int = DETAILED,
    ) -> None:
        """`guarding` gives names of keys to show besides those that can be listed: configured ones, and
        ARNs that attribution met. Up to `detailed` keys of a list are asked about in detail.
        """
        self._kms = kms
        self._parts = KeyParts(kms)
        self._detailed = detailed
        self._guarding = guarding
        self._workers = workers
        self._lock = threading.Lock()
        self._aliases: dict[str, tuple[CleanText, ...]] = {}

    @property
    def regions(self) -> Sequence[str]:
        return self._kms.regions

    def list(self) -> tuple[KeyState, ...]:
        """Return all keys, listed or guarding tokens, each with its state, rotation and aliases.

        Materials, tags and grants come with those that guard tokens and, in a small account, with all. Keys
        that KMS won't describe are there with the reason. Where keys may not be listed, or a Region does not
        answer, those that are known anyway say that there may be others. Raises KmsError if KMS can't be
        asked at all.
        """
        guarding = tuple(dict.fromkeys(self._guarding()))
        with ThreadPoolExecutor(max_workers=self._workers) as pool:
            asked = pool.submit(self._read_aliases)
            names, untold = self._names(pool)
            names |= dict.fromkeys(guarding)
            if not names and untold:
                raise next(iter(untold.values()))
            aliases = asked.result()
            found = [s for s in pool.map(lambda n: self._one(n, aliases), names) if s is not None]
            states = list({state.key_arn: state for state in found}.values())
            states = self._parts.with_stores(pool.map(self._detail(states, guarding), states))
        told = {state.region for state in states}
        elsewhere = {f"keys of {region}": error.why for region, error in untold.items() if region not in told}
        for number, state in enumerate(states):
            own = {"other keys": untold[state.region].why} if state.region in untold else {}
            states[number] = replace(state, missing=state.missing | own | elsewhere)
        return tuple(sorted(states, key=lambda s: (s.name.startswith("…"), s.name, s.key_arn)))

    def _names(self, pool: ThreadPoolExecutor) -> tuple[dict[str, None], dict[str, errors.KmsError]]:
        """The ARNs that can be listed, and the Regions where none can. Raises KmsError if none answers."""

        def listed(region: str) -> list[str] | errors.KmsError:
            try:
                return [str(k["KeyArn"]) for k in self._kms.listed("ListKeys", "Keys", region=region)]
            except errors.KmsError as error:
                return error

        names: dict[str, None] = {}
        untold: dict[str, errors.KmsError] = {}
        for region, answer in zip(self._kms.regions, pool.map(listed, self._kms.regions), strict=True):
            if isinstance(answer, errors.KmsError):
                untold[region] = answer
            else:
                names |= dict.fromkeys(answer)
        _raise_if_all(self._kms.regions, untold)
        return names, untold

    def _detail(self, states: Sequence[KeyState], guarding: Sequence[str]) -> Callable[[KeyState], KeyState]:
        """What to add to each key of a list: details to those that guard tokens, and to others if few."""
        wanted = set(guarding)
        ordered = sorted(
            (s for s in states if s.state is not None),
            key=lambda s: (
                wanted.isdisjoint({s.key_arn, s.key_arn.rpartition("/")[2], *s.aliases}),
                s.manager != "CUSTOMER",
            ),
        )
        chosen = {s.key_arn for s in ordered[: self._detailed]}
        return lambda s: self._parts.with_details(s) if s.key_arn in chosen else s

    def show(self, name: str) -> KeyState:
        """Return one key by ARN, id, alias or alias ARN, with materials, rotation and last use.

        Raises SettingsError for what is no key name, KeyNotFoundError, KmsError.
        """
        state = self._named(name)
        whole = self._parts.with_details(self._in_short(state, self._read_aliases()))
        return self._parts.with_stores([whole])[0]

    def describe(self, name: str) -> KeyState:
        """Return a key's state alone (one call). Raises as `show`."""
        state = self._named(name)
        return self._with_aliases(state, _Aliases(self.known_aliases()))

    def replicas(self, name: str) -> tuple[str, ...]:
        """Return the ARNs of a key in all its Regions (one call). Raises as `show`."""
        state = self._describe(name)
        found = (state.key_arn, state.primary_arn, *state.replica_arns)
        return tuple(dict.fromkeys(arn for arn in found if arn))

    def targets(self) -> tuple[KeyState, ...]:
        """Return the keys that tokens may be written under: enabled symmetric customer keys."""
        return tuple(
            state
            for state in self.list()
            if state.usable and state.manager == "CUSTOMER" and state.spec == "SYMMETRIC_DEFAULT"
        )

    def aliases(self) -> Mapping[str, Sequence[CleanText]]:
        """Return the aliases by key ARN as last read; asks nothing."""
        with self._lock:
            return dict(self._aliases)

    def refresh_aliases(self) -> None:
        """Read the aliases again; what is known stays where KMS does not tell them."""
        try:
            self._read_aliases()
        except errors.KmsError:
            return

    def known_aliases(self) -> Mapping[str, Sequence[CleanText]]:
        """Return the aliases by key ARN, read once; empty where KMS does not tell them."""
        try:
            return self.aliases() or self._read_aliases().found
        except errors.KmsError:
            return {}

    def _one(self, name: str, aliases: _Aliases) -> KeyState | None:
        try:
            state = self._describe(name)
        except errors.KmsError as error:
            if not parse_key_name(name).is_key_arn:
                return None
            return self._with_aliases(undescribed(name, error), aliases)
        return self._in_short(state, aliases)

    def _in_short(self, state: KeyState, aliases: _Aliases) -> KeyState:
        return self._parts.with_rotation(self._parts.with_use(self._with_aliases(state, aliases)))

    def _named(self, name: str) -> KeyState:
        """A key's state by a name that somebody typed: the error has the alias that may be meant."""
        try:
            return self._describe(name)
        except errors.KeyNotFoundError as error:
            known = (alias for aliases in self.known_aliases().values() for alias in aliases)
            error.remedy = clean(f"{meant(name, known)}{error.remedy}", 2_000)
            raise

    def _describe(self, name: str) -> KeyState:
        parse_key_name(name)
        answer = self._kms.call("DescribeKey", region=region_of(name), KeyId=name)
        m = answer.get("KeyMetadata") or {}
        if not m.get("Arn"):
            raise errors.KmsRequestError(
                f"KMS described {name} without naming it.", operation="DescribeKey", key=name
            )
        return described(m, self._kms.regions[0])

    def _read_aliases(self) -> _Aliases:
        """Aliases of all Regions; where none are told, those known. Raises KmsError if none answers."""
        found: dict[str, list[CleanText]] = {}
        untold: dict[str, errors.KmsError] = {}
        for region in self._kms.regions:
            try:
                for alias in self._kms.listed("ListAliases", "Aliases", region=region):
                    if alias.get("TargetKeyId"):
                        arn = str(alias["AliasArn"]).replace(
                            f":{alias['AliasName']}", f":key/{alias['TargetKeyId']}"
                        )
                        found.setdefault(arn, []).append(clean(alias["AliasName"]))
            except errors.KmsError as error:
                untold[region] = error
        _raise_if_all(self._kms.regions, untold)
        with self._lock:
            before = {arn: names for arn, names in self._aliases.items() if region_of(arn) in untold}
            self._aliases = before | {arn: tuple(sorted(names)) for arn, names in found.items()}
            return _Aliases(self._aliases, {region: error.why for region, error in untold.items()})

    def _with_aliases(self, state: KeyState, aliases: _Aliases) -> KeyState:
        names = tuple(aliases.found.get(state.key_arn, ()))
        if not names and state.region in aliases.untold:
            return replace(state, missing=state.missing | {"aliases": aliases.untold[state.region]})
        return replace(state, aliases=names)


@dataclass(frozen=True, slots=True)
class _Aliases:
    found: Mapping[str, Sequence[CleanText]]
    untold: Mapping[str, str] = field(default_factory=dict)


def _raise_if_all(regions: Sequence[str], untold: Mapping[str, errors.KmsError]) -> None:
    """Raise the first of the errors if no Region answers. A refusal is an answer."""
    refusals = (errors.KmsAccessDeniedError, errors.MissingOperationError)
    silent = [error for error in untold.values() if not isinstance(error, refusals)]
    if len(silent) == len(regions):
        raise silent[0]
