"""An algorithm as a record, and those that Keydeck, KMS and TLS use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class HowKnown(StrEnum):
    FACT = "fact"
    """It was read from what it is about."""
    INFERENCE = "inference"
    """It follows from a fact and from what a document promises."""
    POSSIBILITY = "possibility"
    """It may be so: nothing that was read says it."""


class Primitive(StrEnum):
    """What an algorithm does, by the names of CycloneDX 1.6 (`algorithmProperties.primitive`)."""

    AUTHENTICATED = "ae"
    BLOCK_CIPHER = "block-cipher"
    STREAM_CIPHER = "stream-cipher"
    HASH = "hash"
    MAC = "mac"
    KEY_DERIVATION = "kdf"
    SIGNATURE = "signature"
    KEY_AGREEMENT = "key-agree"
    KEY_ENCAPSULATION = "kem"
    COMBINER = "combiner"
    """Two key exchanges in one: it holds while one of them does."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm with its parameters.

    `key_bits` is the size of its key, None where it has none. `classical_bits` is its strength in bits
    against today's computers, `quantum_category` NIST's category against quantum computers, 0 to 5; both are
    None where no standard says. `oid` is its object identifier, "" where none is registered. `approved` says
    whether NIST approves it (SP 800-140C and D); whether the module that computes it is validated is another
    question.
    """

    name: str
    primitive: Primitive
    key_bits: int | None
    classical_bits: int | None
    quantum_category: int | None
    oid: str = ""
    approved: bool | None = True
    standard: str = ""

    @property
    def quantum_standing(self) -> str:
        """What is known of it against a large quantum computer, as a sentence."""
        if self.quantum_category is None:
            return "How it stands against quantum computers is not known."
        if self.quantum_category:
            return f"No known quantum attack breaks it (NIST category {self.quantum_category})."
        return _BROKEN[self.primitive]


_BROKEN = dict.fromkeys(Primitive, "No quantum security category applies.") | {
    Primitive.SIGNATURE: (
        "A large quantum computer could forge it. What was signed could then be changed or back-dated; "
        "nothing becomes readable."
    ),
    Primitive.KEY_AGREEMENT: (
        "A large quantum computer could open connections that are recorded today: whoever records KMS's "
        "answers may read data keys then."
    ),
}

_NIST_AES = "2.16.840.1.101.3.4.1"
_NIST_HASH = "2.16.840.1.101.3.4.2"
_NIST_SIGNATURE = "2.16.840.1.101.3.4.3"
_NIST_KEM = "2.16.840.1.101.3.4.4"
_RSADSI = "1.2.840.113549"

_AE, _HASH, _MAC, _KDF = (
    Primitive.AUTHENTICATED,
    Primitive.HASH,
    Primitive.MAC,
    Primitive.KEY_DERIVATION,
)
_SIG, _KA, _KEM, _BOTH = (
    Primitive.SIGNATURE,
    Primitive.KEY_AGREEMENT,
    Primitive.KEY_ENCAPSULATION,
    Primitive.COMBINER,
)

_EVERY = (
    Algorithm("AES-256-GCM", _AE, 256, 256, 5, f"{_NIST_AES}.46", True, "FIPS 197, SP 800-38D"),
    Algorithm("AES-128-GCM", _AE, 128, 128, 1, f"{_NIST_AES}.6", True, "FIPS 197, SP 800-38D"),
    Algorithm("ChaCha20-Poly1305", _AE, 256, 256, None, f"{_RSADSI}.1.9.16.3.18", False, "RFC 8439"),
    Algorithm(
        *("AES-128-CBC", Primitive.BLOCK_CIPHER, 128, 128, 1, f"{_NIST_AES}.2"),
        *(True, "FIPS 197, SP 800-38A"),
    ),
    Algorithm(
        *("SM4-128", Primitive.BLOCK_CIPHER, 128, 128, 1, "1.2.156.10197.1.104"), *(False, "GB/T 32907-2016")
    ),
    Algorithm("SHA-256", _HASH, None, 128, 2, f"{_NIST_HASH}.1", True, "FIPS 180-4"),
    Algorithm("SHA-384", _HASH, None, 192, 4, f"{_NIST_HASH}.2", True, "FIPS 180-4"),
    Algorithm("SHA-512", _HASH, None, 256, 5, f"{_NIST_HASH}.3", True, "FIPS 180-4"),
    Algorithm("HMAC-SHA-224", _MAC, 224, 192, 3, f"{_RSADSI}.2.8", True, "FIPS 198-1"),
    Algorithm("HMAC-SHA-256", _MAC, 256, 256, 5, f"{_RSADSI}.2.9", True, "FIPS 198-1"),
    Algorithm("HMAC-SHA-384", _MAC, 384, 256, 5, f"{_RSADSI}.2.10", True, "FIPS 198-1"),
    Algorithm("HMAC-SHA-512", _MAC, 512, 256, 5, f"{_RSADSI}.2.11", True, "FIPS 198-1"),
    # Fernet's: the second half of its key of 256 bits.
    Algorithm("HMAC-SHA-256 (128-bit key)", _MAC, 128, 128, 1, f"{_RSADSI}.2.9", True, "FIPS 198-1"),
    Algorithm(
        *("HKDF-SHA-512", _KDF, 256, 256, 5, f"{_RSADSI}.1.9.16.3.30"), *(True, "RFC 5869, SP 800-56C Rev. 2")
    ),
    Algorithm("ECDSA P-256", _SIG, 256, 128, 0, "1.2.840.10045.4.3.2", True, "FIPS 186-5"),
    Algorithm("ECDSA P-384", _SIG, 384, 192, 0, "1.2.840.10045.4.3.3", True, "FIPS 186-5"),
    Algorithm("ECDSA P-521", _SIG, 521, 256, 0, "1.2.840.10045.4.3.4", True, "FIPS 186-5"),
    Algorithm("ECDSA secp256k1", _SIG, 256, 128, 0, "1.2.840.10045.4.3.2", False, "SEC 2"),
    Algorithm("Ed25519", _SIG, 256, 128, 0, "1.3.101.112", True, "FIPS 186-5"),
    Algorithm("SM2", _SIG, 256, 128, 0, "1.2.156.10197.1.501", False, "GB/T 32918"),
    Algorithm("RSA-2048", _SIG, 2048, 112, 0, f"{_RSADSI}.1.1.10", True, "FIPS 186-5"),
    Algorithm("RSA-3072", _SIG, 3072, 128, 0, f"{_RSADSI}.1.1.10", True, "FIPS 186-5"),
    # Between two lines of SP 800-57's table 2: the lower one counts.
    Algorithm("RSA-4096", _SIG, 4096, 128, 0, f"{_RSADSI}.1.1.10", True, "FIPS 186-5"),
    # The sizes are those of the public key (FIPS 204, table 2).
    Algorithm("ML-DSA-44", _SIG, 10_496, 128, 2, f"{_NIST_SIGNATURE}.17", True, "FIPS 204"),
    Algorithm("ML-DSA-65", _SIG, 15_616, 192, 3, f"{_NIST_SIGNATURE}.18", True, "FIPS 204"),
    Algorithm("ML-DSA-87", _SIG, 20_736, 256, 5, f"{_NIST_SIGNATURE}.19", True, "FIPS 204"),
    Algorithm("secp256r1", _KA, 256, 128, 0, "1.2.840.10045.3.1.7", True, "SP 800-56A Rev. 3"),
    Algorithm("secp384r1", _KA, 384, 192, 0, "1.3.132.0.34", True, "SP 800-56A Rev. 3"),
    Algorithm("secp521r1", _KA, 521, 256, 0, "1.3.132.0.35", True, "SP 800-56A Rev. 3"),
    Algorithm("x25519", _KA, 256, 128, 0, "1.3.101.110", False, "RFC 7748"),
    Algorithm("x448", _KA, 448, 224, 0, "1.3.101.111", False, "RFC 7748"),
    Algorithm("ffdhe2048", _KA, 2048, 112, 0, "", True, "RFC 7919, SP 800-56A Rev. 3"),
    Algorithm("ffdhe3072", _KA, 3072, 128, 0, "", True, "RFC 7919, SP 800-56A Rev. 3"),
    Algorithm("ffdhe4096", _KA, 4096, 128, 0, "", True, "RFC 7919, SP 800-56A Rev. 3"),
    Algorithm("MLKEM512", _KEM, 6_400, 128, 1, f"{_NIST_KEM}.1", True, "FIPS 203"),
    Algorithm("MLKEM768", _KEM, 9_472, 192, 3, f"{_NIST_KEM}.2", True, "FIPS 203"),
    Algorithm("MLKEM1024", _KEM, 12_544, 256, 5, f"{_NIST_KEM}.3", True, "FIPS 203"),
    Algorithm("X25519MLKEM768", _BOTH, 9_728, 192, 3, "", True, "FIPS 203, SP 800-56C Rev. 2"),
    Algorithm("SecP256r1MLKEM768", _BOTH, 9_992, 192, 3, "", True, "FIPS 203, SP 800-56C Rev. 2"),
    Algorithm("SecP384r1MLKEM1024", _BOTH, 13_320, 256, 5, "", True, "FIPS 203, SP 800-56C Rev. 2"),
)
ALGORITHMS = {one.name: one for one in _EVERY}
"""Every algorithm that Keydeck knows, by its name."""

_OF_SPECS = {
    "SYMMETRIC_DEFAULT": "AES-256-GCM",
    "HMAC_224": "HMAC-SHA-224",
    "HMAC_256": "HMAC-SHA-256",
    "HMAC_384": "HMAC-SHA-384",
    "HMAC_512": "HMAC-SHA-512",
    "ECC_NIST_P256": "ECDSA P-256",
    "ECC_NIST_P384": "ECDSA P-384",
    "ECC_NIST_P521": "ECDSA P-521",
    "ECC_SECG_P256K1": "ECDSA secp256k1",
    "ECC_NIST_EDWARDS25519": "Ed25519",
    "SM2": "SM2",
    "RSA_2048": "RSA-2048",
    "RSA_3072": "RSA-3072",
    "RSA_4096": "RSA-4096",
    "ML_DSA_44": "ML-DSA-44",
    "ML_DSA_65": "ML-DSA-65",
    "ML_DSA_87": "ML-DSA-87",
    "ML_KEM_512": "MLKEM512",
    "ML_KEM_768": "MLKEM768",
    "ML_KEM_1024": "MLKEM1024",
}

QUANTUM_SAFE_SIGNING = ("ML_DSA_44", "ML_DSA_65", "ML_DSA_87")
"""Specs of KMS keys whose signatures no known quantum attack forges (KMS Developer Guide, "ML-DSA keys")."""


def algorithm_of_spec(spec: str, partition: str = "aws") -> Algorithm | None:
    """Return the algorithm of a KMS key's spec (KMS Developer Guide, "Key spec reference"); None if unknown.

    In the Regions of China a symmetric key is SM4.
    """
    if spec == "SYMMETRIC_DEFAULT" and partition == "aws-cn":
        return ALGORITHMS["SM4-128"]
    return ALGORITHMS.get(_OF_SPECS.get(spec, ""))
