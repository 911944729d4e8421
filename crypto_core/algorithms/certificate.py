"""What a server's certificate says of its key, its signature and its days (RFC 5280)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from crypto_core.text.cleaning import CleanText, clean, cleans

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


@dataclass(frozen=True, slots=True)
@cleans(300)
class CertificateFact:
    """One certificate. Keys' sizes are in bits, `key_classical_bits` is the key's strength (SP 800-57).

    `key` is the key's algorithm, `signature` the one that the authority signed with, `signature_oid` its
    object identifier; `sha256` is the fingerprint of the whole certificate, in hexadecimal digits.
    """

    subject: CleanText
    issuer: CleanText
    serial: CleanText
    key: CleanText
    key_bits: int | None
    key_classical_bits: int | None
    signature: CleanText
    signature_oid: CleanText
    not_before: datetime
    not_after: datetime
    sha256: CleanText


def read_certificate(der: bytes) -> CertificateFact:
    """Return what a certificate says. Raises ValueError for bytes that are none."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.x509.oid import SignatureAlgorithmOID

    names = {oid: name for name, oid in vars(SignatureAlgorithmOID).items() if name.isupper()}
    try:
        found = x509.load_der_x509_certificate(der)
        key, bits = _key(found)
        return CertificateFact(
            subject=clean(found.subject.rfc4514_string(), 300),
            issuer=clean(found.issuer.rfc4514_string(), 300),
            serial=clean(f"{found.serial_number:x}", 60),
            key=clean(key),
            key_bits=bits,
            key_classical_bits=_strength(key, bits),
            signature=clean(names.get(found.signature_algorithm_oid, "unknown"), 60),
            signature_oid=clean(found.signature_algorithm_oid.dotted_string, 60),
            not_before=found.not_valid_before_utc,
            not_after=found.not_valid_after_utc,
            sha256=clean(sha256(der).hexdigest()),
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("the certificate can't be read") from error


def _key(certificate: Certificate) -> tuple[str, int | None]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return certificate.public_key_algorithm_oid.dotted_string, None
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA", key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {key.curve.name}", key.curve.key_size
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519", 256
    return ("Ed448", 456) if isinstance(key, ed448.Ed448PublicKey) else (type(key).__name__, None)


_RSA_STRENGTHS = ((15_360, 256), (7_680, 192), (3_072, 128), (2_048, 112), (1_024, 80))
"""SP 800-57 Part 1 Rev. 5, table 2: from so many bits on."""


def _strength(key: str, bits: int | None) -> int | None:
    if bits is None:
        return None
    if key == "RSA":
        return next((strength for least, strength in _RSA_STRENGTHS if bits >= least), 0)
    return min(bits // 2, 256)
