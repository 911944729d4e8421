"""v1 = base64( "v1|" b64(EDK) "|" b64(nonce) "|" b64(AES-256-GCM ciphertext and tag) )

No additional authenticated data, no encryption context: a v1 envelope opens in any row and doesn't name its
key. AES-256-GCM with a 96-bit random nonce (NIST SP 800-38D, section 8.2.2); one data key seals one token, so
a nonce can't repeat under it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import ClassVar, Self

from crypto_core.envelope import deferred_primitives as primitives
from crypto_core.envelope.base import Entropy, Envelope, key_of, require_sealable
from crypto_core.envelope.encryption_context import EncryptionContext
from crypto_core.envelope.fields import MAX_EDK_BYTES, MAX_TOKEN_BYTES, NONCE_BYTES, TAG_BYTES, bounded
from crypto_core.envelope.formats import Format
from crypto_core.values.errors import AuthenticationFailedError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret, own_buffer


@dataclass(frozen=True, slots=True)
class EnvelopeV1(Envelope):
    """A v1 envelope: three fields. Raises MalformedEnvelopeError for one that is out of bounds."""

    format: ClassVar[Format] = Format.V1
    summary: ClassVar[str] = "v1, not bound to its row, no encryption context"
    meaning: ClassVar[str] = "not bound to its row"
    algorithms: ClassVar[tuple[tuple[str, str], ...]] = (
        ("AES-256-GCM", "seals tokens in format v1: a data key and a 96-bit random nonce for each"),
    )
    field_names: ClassVar[tuple[str, ...]] = ("encrypted data key", "nonce", "ciphertext")
    sealed_overhead: ClassVar[int] = TAG_BYTES

    encrypted_data_key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)
    """AES-256-GCM ciphertext followed by the 16-byte tag."""

    def __post_init__(self) -> None:
        bounded("encrypted data key", self.encrypted_data_key, 1, MAX_EDK_BYTES)
        bounded("nonce", self.nonce, NONCE_BYTES, NONCE_BYTES)
        bounded("ciphertext", self.ciphertext, TAG_BYTES + 1, TAG_BYTES + MAX_TOKEN_BYTES)

    @classmethod
    def from_fields(cls, *fields: bytes) -> Self:
        return cls(*fields)

    def to_fields(self) -> tuple[bytes, ...]:
        return self.encrypted_data_key, self.nonce, self.ciphertext

    @classmethod
    def seal(
        cls,
        token: Secret,
        data_key: DataKey,
        encrypted_data_key: bytes,
        *,
        key_arn: str = "",
        ref: TokenRef | None = None,
        binding: str | None = None,
        entropy: Entropy = os.urandom,
    ) -> Self:
        require_sealable(token)
        key = key_of(data_key)
        nonce = entropy(NONCE_BYTES)
        return cls(encrypted_data_key, nonce, primitives.gcm_encrypt(key, nonce, own_buffer(token), None))

    def open(self, data_key: DataKey, ref: TokenRef | None = None, binding: str | None = None) -> Secret:
        key = key_of(data_key)
        try:
            return Secret.adopt(primitives.gcm_decrypt(key, self.nonce, self.ciphertext, None))
        except primitives.InvalidTag as error:
            raise AuthenticationFailedError(
                "The envelope does not open: its authentication tag does not match its data key."
            ) from error

    @classmethod
    def context_for(cls, ref: TokenRef | None, binding: str | None = None) -> EncryptionContext:
        return {}

    def parts(self) -> tuple[tuple[str, bytes], ...]:
        return tuple(zip(self.field_names, self.to_fields(), strict=True))
