"""What a signature by KMS is, for checkpoints of the journal and for reports.

KMS API reference: Sign and Verify (asymmetric keys, key usage SIGN_VERIFY), GenerateMac and VerifyMac (HMAC
keys, key usage GENERATE_VERIFY_MAC).
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
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


class Signer(Protocol):
    """Signs with the configured KMS key."""

    def sign(self, digest: bytes) -> Signature:
        """Return a signature over a SHA-256 digest. Raises KmsError, ReadOnlyError."""
        ...

    def verify(self, digest: bytes, signature: Signature) -> bool:
        """Return whether KMS says that the signature is by the configured key over this digest.

        Raises KmsError where KMS can't be asked. A signature by another key is not taken as ours.
        """
        ...
