"""v2 = base64( "v2|" b64(key ARN) "|" b64(EDK) "|" b64(nonce) "|" b64(salt ‖ commitment ‖ ciphertext, tag) )

Bound to its row and to the key that it names, and key-committing. The row goes to KMS as encryption context,
so the data key can't be unwrapped for another row. The same context, with the version and the key ARN, is the
binding that goes into everything else:

    binding    = lp(mark) ‖ lp(key ARN) ‖ encode(context)         mark: "v2"; lp: behind a 16-bit length
    encryption = HKDF-SHA-512(data key, salt, "keydeck v2 encryption" ‖ binding, 32 bytes)
    commitment = HKDF-SHA-512(data key, salt, "keydeck v2 commitment" ‖ binding, 32 bytes)
    ciphertext = AES-256-GCM(encryption, nonce, token, AAD = binding)

AES-GCM alone is not key-committing: one ciphertext can be made to open under two keys. The commitment, which
is compared in constant time before anything is decrypted, makes that a collision of HKDF-SHA-512, as in the
committing suites of the AWS Encryption SDK ("Algorithm suites reference"). Since the binding is in HKDF's
info (RFC 5869, section 3.2), the commitment is to row and key ARN too.

v2-bound is the same under the mark "vb", and bound to a database too: its name is an entry of the context,
and a field of the envelope, so that a reader of another database refuses it by its name and asks nobody.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Self

from crypto_core.envelope import deferred_primitives as primitives
from crypto_core.envelope.base import Entropy, Envelope, key_of, require_key_arn, require_sealable, required
from crypto_core.envelope.encryption_context import (
    EncryptionContext,
    encoded_context,
    encryption_context,
    is_binding,
    prefixed,
)
from crypto_core.envelope.fields import (
    DATA_KEY_BYTES,
    MAX_EDK_BYTES,
    MAX_TOKEN_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    bounded,
)
from crypto_core.envelope.formats import MARKS, Format
from crypto_core.values import errors
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret, own_buffer

SALT_BYTES = 32
COMMITMENT_BYTES = 32
_COMMITTED = SALT_BYTES + COMMITMENT_BYTES
ENCRYPTION_LABEL = b"keydeck v2 encryption"
COMMITMENT_LABEL = b"keydeck v2 commitment"


@dataclass(frozen=True, slots=True)
class EnvelopeV2(Envelope):
    """A v2 envelope: four fields, the last of them in three parts. Raises MalformedEnvelopeError as v1."""

    format: ClassVar[Format] = Format.V2
    summary: ClassVar[str] = "v2, bound to its row and key, key-committing"
    meaning: ClassVar[str] = "bound to this row, key-committing"
    algorithms: ClassVar[tuple[tuple[str, str], ...]] = (
        ("AES-256-GCM", "seals tokens in format {format}, bound to their row"),
        ("HKDF-SHA-512", "derives the encryption key and the 256-bit commitment of format {format}"),
    )
    field_names: ClassVar[tuple[str, ...]] = ("key ARN", "encrypted data key", "nonce", "ciphertext")
    sealed_overhead: ClassVar[int] = _COMMITTED + TAG_BYTES

    key_arn: str
    encrypted_data_key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    commitment: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)
    """AES-256-GCM ciphertext followed by the 16-byte tag."""
    database: str | None = field(default=None, repr=False)
    """The name of the database that it is bound to; None where the version binds to none."""

    def __post_init__(self) -> None:
        require_key_arn(self.key_arn)
        bounded("encrypted data key", self.encrypted_data_key, 1, MAX_EDK_BYTES)
        bounded("nonce", self.nonce, NONCE_BYTES, NONCE_BYTES)
        bounded("salt", self.salt, SALT_BYTES, SALT_BYTES)
        bounded("commitment", self.commitment, COMMITMENT_BYTES, COMMITMENT_BYTES)
        bounded("ciphertext", self.ciphertext, TAG_BYTES + 1, TAG_BYTES + MAX_TOKEN_BYTES)
        if self.format.binds_database and not is_binding(self.database or ""):
            raise errors.MalformedEnvelopeError("database", "it is no name of a database")

    @classmethod
    def from_fields(cls, *fields: bytes) -> Self:
        key_arn, encrypted_data_key, nonce, *database, committed = fields
        bounded("ciphertext", committed, _COMMITTED + TAG_BYTES + 1, _COMMITTED + TAG_BYTES + MAX_TOKEN_BYTES)
        return cls(
            key_arn.decode("ascii", "replace"),
            encrypted_data_key,
            nonce,
            committed[:SALT_BYTES],
            committed[SALT_BYTES:_COMMITTED],
            committed[_COMMITTED:],
            database[0].decode("ascii", "replace") if database else None,
        )

    def to_fields(self) -> tuple[bytes, ...]:
        committed = self.salt + self.commitment + self.ciphertext
        database = () if self.database is None else (self.database.encode("ascii"),)
        return self.key_arn.encode("ascii"), self.encrypted_data_key, self.nonce, *database, committed

    @classmethod
    def seal(
        cls,
        token: Secret,
        data_key: DataKey,
        encrypted_data_key: bytes,
        *,
        key_arn: str,
        ref: TokenRef | None,
        binding: str | None = None,
        entropy: Entropy = os.urandom,
    ) -> Self:
        require_sealable(token)
        require_key_arn(key_arn)
        bound = cls._bound(key_arn, ref, binding)
        salt, nonce = entropy(SALT_BYTES), entropy(NONCE_BYTES)
        whole = key_of(data_key)
        commitment = primitives.hkdf(whole, salt, COMMITMENT_LABEL + bound, COMMITMENT_BYTES)
        key = primitives.hkdf(whole, salt, ENCRYPTION_LABEL + bound, DATA_KEY_BYTES)
        try:
            ciphertext = primitives.gcm_encrypt(key, nonce, own_buffer(token), bound)
        finally:
            primitives.wipe(key)
        database = cls._database(binding)
        return cls(key_arn, encrypted_data_key, nonce, salt, bytes(commitment), ciphertext, database)

    def open(self, data_key: DataKey, ref: TokenRef | None, binding: str | None = None) -> Secret:
        self.require_binding(ref, binding)
        bound = self._bound(self.key_arn, ref, binding)
        whole = key_of(data_key)
        commitment = primitives.hkdf(whole, self.salt, COMMITMENT_LABEL + bound, COMMITMENT_BYTES)
        if not hmac.compare_digest(commitment, self.commitment):
            others = "row, database" if self.format.binds_database else "row"
            raise errors.AuthenticationFailedError(
                f"The envelope does not open as {ref}: it was sealed for another {others}, key or data key."
            )
        key = primitives.hkdf(whole, self.salt, ENCRYPTION_LABEL + bound, DATA_KEY_BYTES)
        try:
            return Secret.adopt(primitives.gcm_decrypt(key, self.nonce, self.ciphertext, bound))
        except primitives.InvalidTag as error:
            raise errors.AuthenticationFailedError(
                f"The envelope of {ref} does not open: its authentication tag does not match."
            ) from error
        finally:
            primitives.wipe(key)

    @property
    def named_key(self) -> str | None:
        return self.key_arn

    @property
    def named_database(self) -> str | None:
        return self.database

    @classmethod
    def context_for(cls, ref: TokenRef | None, binding: str | None = None) -> EncryptionContext:
        return encryption_context(required(ref, cls.format), cls._database(binding))

    def parts(self) -> tuple[tuple[str, bytes], ...]:
        *before, _ = zip(self.field_names, self.to_fields(), strict=True)
        return (
            *before,
            ("salt", self.salt),
            ("commitment", self.commitment),
            ("ciphertext", self.ciphertext),
        )

    @classmethod
    def _database(cls, binding: str | None) -> str | None:
        """The database that is bound, of the reader's or writer's own name for it."""
        return None

    @classmethod
    def _bound(cls, key_arn: str, ref: TokenRef | None, binding: str | None) -> bytes:
        context = encoded_context(required(ref, cls.format), cls._database(binding))
        return _version_and_key(cls.format, key_arn) + context


@dataclass(frozen=True, slots=True)
class EnvelopeV2Bound(EnvelopeV2):
    """A v2 envelope that names the database that it is bound to, and opens there only."""

    format: ClassVar[Format] = Format.V2_BOUND
    summary: ClassVar[str] = "v2, bound to its database, row and key, key-committing"
    meaning: ClassVar[str] = "bound to this database and row, key-committing"
    field_names: ClassVar[tuple[str, ...]] = (
        *("key ARN", "encrypted data key", "nonce", "database", "ciphertext"),
    )

    @classmethod
    def _database(cls, binding: str | None) -> str | None:
        if binding is None:
            raise errors.SettingsError(
                f"A {cls.format} envelope names its database, and this one has no name.",
                remedy="Set KEYDECK_BINDING.",
            )
        return binding


@lru_cache(maxsize=256)
def _version_and_key(format_: Format, key_arn: str) -> bytes:
    return prefixed(MARKS[format_].encode()) + prefixed(key_arn.encode("ascii"))
