"""Algorithms as components: one for each use of one, since a use decides what it protects."""

from __future__ import annotations

from collections.abc import Iterable

from cyclonedx.model.crypto import (
    AlgorithmProperties,
    CryptoAssetType,
    CryptoExecutionEnvironment,
    CryptoFunction,
    CryptoMode,
    CryptoPrimitive,
    CryptoProperties,
)

from crypto_core.algorithms.algorithm import Primitive
from crypto_core.compliance.cryptography_facts import AlgorithmFact
from crypto_core.compliance.pack.bom.bill import Bill, reference

_FUNCTIONS = {
    Primitive.AUTHENTICATED: (CryptoFunction.ENCRYPT, CryptoFunction.DECRYPT),
    Primitive.BLOCK_CIPHER: (CryptoFunction.ENCRYPT, CryptoFunction.DECRYPT),
    Primitive.STREAM_CIPHER: (CryptoFunction.ENCRYPT, CryptoFunction.DECRYPT),
    Primitive.HASH: (CryptoFunction.DIGEST,),
    Primitive.MAC: (CryptoFunction.TAG, CryptoFunction.VERIFY),
    Primitive.KEY_DERIVATION: (CryptoFunction.KEYDERIVE,),
    Primitive.SIGNATURE: (CryptoFunction.SIGN, CryptoFunction.VERIFY),
    Primitive.KEY_AGREEMENT: (CryptoFunction.KEYDERIVE,),
    Primitive.KEY_ENCAPSULATION: (CryptoFunction.ENCAPSULATE, CryptoFunction.DECAPSULATE),
    Primitive.COMBINER: (CryptoFunction.ENCAPSULATE, CryptoFunction.DECAPSULATE),
    Primitive.UNKNOWN: (),
}
_MODES = {"GCM": CryptoMode.GCM, "CBC": CryptoMode.CBC}
_CURVES = {
    "ECDSA P-256": "P-256",
    "ECDSA P-384": "P-384",
    "ECDSA P-521": "P-521",
    "ECDSA secp256k1": "secp256k1",
    "Ed25519": "Ed25519",
    "secp256r1": "P-256",
    "secp384r1": "P-384",
    "secp521r1": "P-521",
    "x25519": "Curve25519",
    "x448": "Curve448",
}
"""As https://neuromancer.sk/std names them, which CycloneDX recommends."""
NAMED_BY_SET = ("ML-", "MLKEM")
"""Whose names are those of their parameter sets."""


def algorithm_ref(fact: AlgorithmFact) -> str:
    """Return the reference of an algorithm in its use."""
    return reference("algorithm", fact.name, fact.use)


def add_algorithms(bill: Bill, facts: Iterable[AlgorithmFact], in_hardware: frozenset[str]) -> None:
    """Add algorithms in their uses; `in_hardware` are the references of those that KMS's modules compute."""
    uses: dict[str, list[AlgorithmFact]] = {}
    for fact in facts:
        uses.setdefault(algorithm_ref(fact), []).append(fact)
    for ref, (first, *others) in uses.items():
        protects = dict.fromkeys(name for one in (first, *others) for name in one.protects)
        values = {
            "quantum": first.quantum,
            "protects": tuple(protects),
            "tokens": first.tokens,
            "known": first.known.value,
            "why": tuple(dict.fromkeys(one.why for one in (first, *others))),
            "standard": first.standard,
            "approved-by-nist": None if first.approved is None else str(first.approved).lower(),
        }
        crypto = _crypto(first, hardware=ref in in_hardware)
        bill.add(ref, first.name, first.use, crypto=crypto, values=values)


def _crypto(fact: AlgorithmFact, *, hardware: bool) -> CryptoProperties:
    mode = next((mode for end, mode in _MODES.items() if fact.name.endswith(f"-{end}")), None)
    return CryptoProperties(
        asset_type=CryptoAssetType.ALGORITHM,
        algorithm_properties=AlgorithmProperties(
            primitive=CryptoPrimitive(fact.primitive.value),
            parameter_set_identifier=_parameter_set(fact),
            curve=_CURVES.get(fact.name),
            execution_environment=CryptoExecutionEnvironment.HARDWARE if hardware else None,
            mode=mode,
            crypto_functions=_FUNCTIONS[fact.primitive],
            classical_security_level=fact.classical_bits,
            nist_quantum_security_level=fact.quantum_category,
        ),
        oid=fact.oid or None,
    )


def _parameter_set(fact: AlgorithmFact) -> str | None:
    if fact.name.startswith(NAMED_BY_SET) or fact.primitive is Primitive.COMBINER:
        return fact.name
    if fact.primitive is Primitive.HASH:
        return fact.name.rpartition("-")[2]
    return None if fact.key_bits is None else str(fact.key_bits)
