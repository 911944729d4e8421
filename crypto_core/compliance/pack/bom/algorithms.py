"""Algorithms as components, one for each use of one; connections to AWS and servers' certificates."""

from __future__ import annotations

from collections.abc import Iterable

from cyclonedx.model.crypto import (
    AlgorithmProperties,
    CertificateProperties,
    CryptoAssetType,
    CryptoExecutionEnvironment,
    CryptoFunction,
    CryptoMode,
    CryptoPrimitive,
    CryptoProperties,
    ProtocolProperties,
    ProtocolPropertiesCipherSuite,
    ProtocolPropertiesType,
    RelatedCryptoMaterialProperties,
    RelatedCryptoMaterialType,
)

from crypto_core.compliance.algorithm_uses import uses_of_endpoint
from crypto_core.compliance.algorithms.algorithm import Primitive
from crypto_core.compliance.algorithms.aws_endpoints import EndpointFact
from crypto_core.compliance.algorithms.tls_probe import CertificateFact
from crypto_core.compliance.facts import AlgorithmFact
from crypto_core.compliance.pack.bom.bill import Bill, reference, text

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


_BROKEN_KEYS = ("RSA", "ECDSA", "Ed25519", "Ed448")
"""Whose private key a large quantum computer finds: category 0."""


def add_endpoint(bill: Bill, endpoint: EndpointFact) -> None:
    """Add a connection with what was agreed on; one that nothing was agreed on says why."""
    uses = [ref for fact in uses_of_endpoint(endpoint) if (ref := algorithm_ref(fact)) in bill.components]
    shown = _add_certificate(bill, endpoint.certificate) if endpoint.certificate else None
    refs = [bill.components[ref].bom_ref for ref in uses]
    suites = [ProtocolPropertiesCipherSuite(name=text(endpoint.cipher), algorithms=refs)]
    protocol = ProtocolProperties(
        type=ProtocolPropertiesType.TLS if endpoint.encrypted else ProtocolPropertiesType.OTHER,
        version=text(endpoint.protocol.removeprefix("TLSv")) if endpoint.protocol else None,
        cipher_suites=suites if endpoint.cipher else [],
        crypto_refs=[bill.components[shown].bom_ref] if shown else [],
    )
    bill.add(
        reference("connection", endpoint.host),
        f"{'TLS' if endpoint.encrypted else 'Plain HTTP'} to {endpoint.host}",
        f"Calls of {', '.join(endpoint.services)} in {endpoint.region}",
        crypto=CryptoProperties(asset_type=CryptoAssetType.PROTOCOL, protocol_properties=protocol),
        values={
            "encrypted": str(endpoint.encrypted).lower(),
            "fips-endpoint": str(endpoint.fips).lower(),
            "key-exchange": endpoint.group,
            "not-known": endpoint.problem,
        },
        needs=[*uses, *([shown] if shown else [])],
    )


def _add_certificate(bill: Bill, found: CertificateFact) -> str:
    ref = reference("certificate", found.sha256)
    signed = _add_signature(bill, found)
    key = _add_public_key(bill, found)
    bill.add(
        ref,
        found.subject,
        crypto=CryptoProperties(
            asset_type=CryptoAssetType.CERTIFICATE,
            certificate_properties=CertificateProperties(
                subject_name=text(found.subject),
                issuer_name=text(found.issuer),
                not_valid_before=found.not_before,
                not_valid_after=found.not_after,
                signature_algorithm_ref=bill.ref(signed),
                subject_public_key_ref=bill.ref(key),
                certificate_format="X.509",
            ),
        ),
        values={"serial": found.serial, "sha256": found.sha256},
        needs=[signed, key],
    )
    return ref


def _add_signature(bill: Bill, found: CertificateFact) -> str:
    ref = reference("algorithm", found.signature_oid, "certificates")
    algorithm = AlgorithmProperties(
        primitive=CryptoPrimitive.SIGNATURE, crypto_functions=[CryptoFunction.SIGN, CryptoFunction.VERIFY]
    )
    crypto = CryptoProperties(
        asset_type=CryptoAssetType.ALGORITHM, algorithm_properties=algorithm, oid=found.signature_oid or None
    )
    bill.add(ref, found.signature, "An authority signed certificates with it", crypto=crypto)
    return ref


def _add_public_key(bill: Bill, found: CertificateFact) -> str:
    ref = reference("public-key", found.sha256)
    algorithm = reference("algorithm", found.key, str(found.key_bits), "certificates")
    broken = found.key.startswith(_BROKEN_KEYS)
    bill.add(
        algorithm,
        found.key,
        "A server shows who it is by it",
        crypto=CryptoProperties(
            asset_type=CryptoAssetType.ALGORITHM,
            algorithm_properties=AlgorithmProperties(
                primitive=CryptoPrimitive.SIGNATURE if broken else CryptoPrimitive.UNKNOWN,
                parameter_set_identifier=str(found.key_bits) if found.key_bits else None,
                classical_security_level=found.key_classical_bits,
                nist_quantum_security_level=0 if broken else None,
            ),
        ),
    )
    bill.add(
        ref,
        f"Public key of {found.subject}",
        crypto=CryptoProperties(
            asset_type=CryptoAssetType.RELATED_CRYPTO_MATERIAL,
            related_crypto_material_properties=RelatedCryptoMaterialProperties(
                type=RelatedCryptoMaterialType.PUBLIC_KEY,
                size=found.key_bits,
                algorithm_ref=bill.ref(algorithm),
            ),
        ),
        needs=[algorithm],
    )
    return ref
