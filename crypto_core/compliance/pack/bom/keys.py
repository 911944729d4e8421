"""KMS keys with their materials, keys that sign, and data keys: no values, and of data keys only numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cyclonedx.model.component import ComponentType
from cyclonedx.model.crypto import (
    CryptoAssetType,
    CryptoProperties,
    RelatedCryptoMaterialProperties,
    RelatedCryptoMaterialSecuredBy,
    RelatedCryptoMaterialState,
    RelatedCryptoMaterialType,
)

from crypto_core.compliance import measurement
from crypto_core.compliance.algorithm_uses import use_of_key, use_of_signing_key
from crypto_core.compliance.algorithms.algorithm import Primitive
from crypto_core.compliance.facts import AlgorithmFact, KeyFact, MaterialFact, SigningKeyFact, TokenFacts
from crypto_core.compliance.pack.bom.algorithms import NAMED_BY_SET, algorithm_ref
from crypto_core.compliance.pack.bom.bill import Bill, reference, text
from crypto_core.compliance.pack.recorded_keys import SeenKey
from crypto_core.envelope import Format
from crypto_core.envelope.fields import DATA_KEY_BYTES
from crypto_core.values.clean_text import NO_TEXT, CleanText

DATA_KEYS = "data-keys"
HARDWARE = ("AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM")
"""Origins of keys that hardware modules of AWS compute with. Keys that sign are of the first two always.

KMS Developer Guide, "Key origin" and "Custom key stores".
"""
_STATES = {
    measurement.PRE_ACTIVE: RelatedCryptoMaterialState.PRE_ACTIVATION,
    measurement.ACTIVE: RelatedCryptoMaterialState.ACTIVE,
    measurement.SUSPENDED: RelatedCryptoMaterialState.SUSPENDED,
    measurement.DEACTIVATED: RelatedCryptoMaterialState.DEACTIVATED,
    measurement.COMPROMISED: RelatedCryptoMaterialState.COMPROMISED,
    measurement.DESTROYED: RelatedCryptoMaterialState.DESTROYED,
}
_KEEPERS = {
    "AWS_KMS": "AWS KMS",
    "AWS_CLOUDHSM": "AWS CloudHSM",
    "EXTERNAL_KEY_STORE": "an external key manager",
    "EXTERNAL": "AWS KMS, imported",
}


def kms_uses(keys: Iterable[KeyFact], signing: Iterable[SigningKeyFact]) -> frozenset[str]:
    """Return the references of the algorithms that KMS computes in hardware by these keys."""
    found = [use_of_key(key) for key in keys if key.origin in HARDWARE]
    found += [use_of_signing_key(key) for key in signing]
    return frozenset(algorithm_ref(fact) for fact in found if fact is not None)


def add_key(bill: Bill, key: KeyFact) -> str:
    """Add a KMS key and its materials, and return its reference."""
    fact = use_of_key(key)
    use = _use_ref(bill, fact)
    ref = reference("key", key.arn)
    materials = [_add_material(bill, key, one, fact) for one in key.materials]
    bill.add(
        ref,
        key.name or key.arn,
        key.purpose,
        crypto=_material(
            type=_type(fact),
            id=text(key.arn),
            state=_STATES.get(_standing(key.state, key.materials)),
            algorithm_ref=bill.ref(use),
            creation_date=key.created_at,
            size=_bits(fact),
            secured_by=_keeper(key.origin),
        ),
        values={
            "kms-state": key.state,
            "spec": key.spec,
            "usage": key.usage,
            "origin": key.origin,
            "manager": key.manager,
            "owner": key.owner,
            "rotation-days": key.rotation_days if key.rotates else None,
            "rotates": None if key.rotates is None else str(key.rotates).lower(),
            "deletion-at": key.deletion_at and key.deletion_at.isoformat(),
            "last-used-at": key.last_used_at and key.last_used_at.isoformat(),
            "policy-sha256": key.policy_sha256,
            "tokens": key.tokens,
            "writes": str(key.writes).lower(),
            "not-known": tuple(f"{part}: {why}" for part, why in key.missing.items()),
        },
        needs=[*materials, *([use] if use else [])],
    )
    return ref


def add_former_key(bill: Bill, seen: SeenKey) -> None:
    """Add a key that only earlier records have. What it and its materials are now is left out."""
    key = seen.key
    bill.add(
        reference("key", key.arn),
        key.name or key.arn,
        "Earlier records have it, the last one has it no longer",
        crypto=_material(type=_type(use_of_key(key)), id=text(key.arn), creation_date=key.created_at),
        values={
            "last-record": seen.record.number,
            "last-record-day": seen.record.day.isoformat(),
            "kms-state-then": key.state,
            "spec": key.spec,
            "materials-then": tuple(f"{one.id}: {one.standing or 'not known'}" for one in key.materials),
        },
    )


def _add_material(bill: Bill, key: KeyFact, one: MaterialFact, fact: AlgorithmFact | None) -> str:
    ref = reference("material", key.arn, one.id)
    bill.add(
        ref,
        f"Material of {key.name or key.arn}",
        crypto=_material(
            type=_type(fact),
            id=text(one.id),
            state=_STATES.get(one.standing),
            algorithm_ref=bill.ref(_use_ref(bill, fact)),
            activation_date=one.since,
            size=_bits(fact),
            secured_by=_keeper(key.origin),
        ),
        values={"kms-state": one.state, "tokens": one.tokens},
    )
    return ref


def add_signing_key(bill: Bill, key: SigningKeyFact) -> None:
    """Add a key that signs, or signed, what Keydeck keeps."""
    fact = use_of_signing_key(key)
    use = _use_ref(bill, fact)
    bill.add(
        reference("key", key.arn or key.name),
        key.name,
        "Signs the journal, records and reports" if key.signs else "Signed the journal, records and reports",
        crypto=_material(
            type=_type(fact),
            id=text(key.arn or key.name),
            state=_STATES.get(_standing(key.state)),
            algorithm_ref=bill.ref(use),
            size=_bits(fact),
        ),
        values={
            "kms-state": key.state,
            "spec": key.spec,
            "until": key.until and key.until.isoformat(),
            "not-known": key.missing,
        },
        needs=[use] if use else [],
    )


def add_columns(
    bill: Bill, tokens: TokenFacts, keys: Sequence[KeyFact], algorithms: Iterable[AlgorithmFact]
) -> None:
    """Add token columns with what protects them, and the data keys of all of them as one thing."""
    protecting: dict[str, list[str]] = {}
    for fact in algorithms:
        for name in fact.protects:
            protecting.setdefault(name, []).append(algorithm_ref(fact))
    sealed = {
        one.column: sum(number for name, number in one.by_format.items() if Format(name).protected)
        for one in tokens.columns
    }
    if any(sealed.values()):
        _add_data_keys(bill, sealed, keys)
    for one in tokens.columns:
        needs = [*protecting.get(one.column, ()), *([DATA_KEYS] if sealed[one.column] else [])]
        formats = {f"tokens-{name}": number for name, number in one.by_format.items()}
        guard = one.guard.value if one.guard else None
        values = {"tokens": one.tokens, **formats, "guard": guard}
        said = "A column that holds API tokens"
        ref = reference("column", one.column)
        bill.add(ref, one.column, said, kind=ComponentType.DATA, values=values, needs=needs)


def _add_data_keys(bill: Bill, sealed: Mapping[CleanText, int], keys: Sequence[KeyFact]) -> None:
    wrapping = [key for key in keys if key.tokens]
    uses = {_use_ref(bill, use_of_key(key)) for key in wrapping}
    only = uses.pop() if len(uses) == 1 else None
    bill.add(
        DATA_KEYS,
        "Data keys",
        "One for each token that is in an envelope, wrapped by a KMS key and stored beside what it sealed",
        crypto=_material(
            type=RelatedCryptoMaterialType.SECRET_KEY,
            size=DATA_KEY_BYTES * 8,
            secured_by=RelatedCryptoMaterialSecuredBy(mechanism="AWS KMS", algorithm_ref=bill.ref(only)),
        ),
        values={
            "number": sum(sealed.values()),
            "number-by-column": tuple(f"{name}: {number}" for name, number in sealed.items()),
            "keys-by-column": None
            if len(wrapping) == 1
            else "not known: tokens are counted by key, not by both",
        },
        needs=[reference("key", key.arn) for key in wrapping],
    )


def _standing(state: str | None, materials: Sequence[MaterialFact] = ()) -> CleanText:
    """A key's standing; compromised where all of its materials are."""
    if materials and all(one.standing == measurement.COMPROMISED for one in materials):
        return measurement.COMPROMISED
    return measurement.ACTIVE if state == "Enabled" else measurement.OF_KEYS.get(state or "", NO_TEXT)


def _use_ref(bill: Bill, fact: AlgorithmFact | None) -> str | None:
    ref = algorithm_ref(fact) if fact is not None else None
    return ref if ref in bill.components else None


def _bits(fact: AlgorithmFact | None) -> int | None:
    # Of ML-DSA the size that is known is the public key's.
    return None if fact is None or fact.name.startswith(NAMED_BY_SET) else fact.key_bits


def _type(fact: AlgorithmFact | None) -> RelatedCryptoMaterialType:
    if fact is None:
        return RelatedCryptoMaterialType.KEY
    private = fact.primitive is Primitive.SIGNATURE
    return RelatedCryptoMaterialType.PRIVATE_KEY if private else RelatedCryptoMaterialType.SECRET_KEY


def _keeper(origin: str | None) -> RelatedCryptoMaterialSecuredBy | None:
    keeper = _KEEPERS.get(origin or "")
    return RelatedCryptoMaterialSecuredBy(mechanism=keeper) if keeper else None


def _material(**fields: object) -> CryptoProperties:
    return CryptoProperties(
        asset_type=CryptoAssetType.RELATED_CRYPTO_MATERIAL,
        related_crypto_material_properties=RelatedCryptoMaterialProperties(**fields),  # type: ignore[arg-type]
    )
