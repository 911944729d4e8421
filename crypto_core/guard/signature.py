"""What a signature by KMS is, for checkpoints of the journal and for reports.

KMS API reference: Sign and Verify (asymmetric keys, key usage SIGN_VERIFY), GenerateMac and VerifyMac (HMAC
keys, key usage GENERATE_VERIFY_MAC).
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature, or a message authentication code, over a SHA-256 digest of 32 bytes."""

    key_arn: str
    algorithm: str
    """As KMS names it, such as ECDSA_SHA_256, RSASSA_PSS_SHA_256 or HMAC_SHA_256."""
    value: bytes

    def as_json(self) -> dict[str, Any]:
        """The signature as a JSON document's part."""
        return {
            "key_arn": self.key_arn,
            "algorithm": self.algorithm,
            "signature": b64encode(self.value).decode(),
        }


def digest_of(purpose: str, *fields: str | bytes) -> bytes:
    """Return the SHA-256 digest to sign for a purpose, such as "journal checkpoint", and its fields.

    The encoding is injective: each part stands with its kind and its length (8 bytes, big-endian), and their
    number before them. With the purpose in it, what was signed as one thing can't be taken for another.
    """
    parts = (purpose, *fields)
    state = hashlib.sha256(b"keydeck signature 1\0" + len(parts).to_bytes(8, "big"))
    for part in parts:
        kind, raw = (b"t", part.encode()) if isinstance(part, str) else (b"b", part)
        state.update(kind + len(raw).to_bytes(8, "big") + raw)
    return state.digest()


@dataclass(frozen=True, slots=True)
class SigningTime:
    """A moment at which something was signed already, and who says so: never the signature's own maker."""

    at: datetime
    evidence: str
    """Such as "the journal's entry 7"."""


class Signer(Protocol):
    """Signs with the configured KMS key. What is signed is over a text that begins with its purpose."""

    def sign(self, digest: bytes) -> Signature:
        """Return a signature over a SHA-256 digest. Raises KmsError, ReadOnlyError."""
        ...

    def verify(self, digest: bytes, signature: Signature, when: SigningTime | None = None) -> bool:
        """Return whether KMS says that the signature is by the configured key over this digest.

        `when` is None where nothing but the signer's own word says when it was made. Raises EndedKeyError for
        a valid signature by a former key that was not made before the key's end as far as anybody can tell,
        KmsError where KMS can't be asked. A signature by another key is not taken as ours.
        """
        ...
