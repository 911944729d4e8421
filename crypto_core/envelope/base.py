"""What every version of the envelope is to the rest of the code."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar, Self

from crypto_core.envelope.encryption_context import EncryptionContext
from crypto_core.envelope.fields import (
    DATA_KEY_BYTES,
    MAX_KEY_ARN_BYTES,
    MAX_TOKEN_BYTES,
    bounded,
    edk_prefix,
)
from crypto_core.envelope.formats import Format
from crypto_core.values.errors import (
    InvalidTokenError,
    MalformedEnvelopeError,
    MissingReferenceError,
    RefusedError,
    WrongBindingError,
)
from crypto_core.values.key_names import is_key_arn
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret, own_buffer

Entropy = Callable[[int], bytes]
"""Gives that many random bytes. `os.urandom`, except where test vectors fix what is random."""


class Envelope(ABC):
    """One envelope, within all bounds. Its fields are ciphertext, hidden from repr all the same."""

    __slots__ = ()

    format: ClassVar[Format]
    summary: ClassVar[str]
    """What the version promises, in an operator's words."""
    meaning: ClassVar[str]
    """The same of one stored value, shorter."""
    algorithms: ClassVar[tuple[tuple[str, str], ...]]
    """Each with what it does for tokens in the version, the one that seals them first."""
    field_names: ClassVar[tuple[str, ...]]
    """Names of the fields behind the version mark, in stored order."""
    sealed_overhead: ClassVar[int]
    """Bytes of the last field besides the token's own: AES-GCM makes a text no longer, but for its tag."""

    encrypted_data_key: bytes

    @classmethod
    @abstractmethod
    def from_fields(cls, *fields: bytes) -> Self:
        """Return the envelope with these decoded fields. Raises MalformedEnvelopeError."""

    @abstractmethod
    def to_fields(self) -> tuple[bytes, ...]:
        """Return the fields in stored order."""

    @classmethod
    @abstractmethod
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
        """Return an envelope that holds `token`. `key_arn` names the key that wrapped the data key."""

    @abstractmethod
    def open(self, data_key: DataKey, ref: TokenRef | None, binding: str | None = None) -> Secret:
        """Return the token, to a reader whose database is called `binding`.

        Raises AuthenticationFailedError if anything isn't what was sealed, and as `opening_context`.
        """

    @property
    def named_key(self) -> str | None:
        """ARN of the key that the envelope says wrapped its data key; None where the version tells none.

        A claim until the envelope has opened.
        """
        return None

    @property
    def named_database(self) -> str | None:
        """The database that the envelope says it was sealed for; None where the version names none.

        A claim until the envelope has opened.
        """
        return None

    @classmethod
    @abstractmethod
    def context_for(cls, ref: TokenRef | None, binding: str | None = None) -> EncryptionContext:
        """Return the KMS encryption context of a new data key; empty where the version binds to no row.

        `binding` names the database, which not every version binds. Raises MissingReferenceError where the
        version needs a reference and there is none, SettingsError where it needs a binding and there is none.
        """

    def opening_context(self, ref: TokenRef | None, binding: str | None) -> EncryptionContext:
        """Return the KMS encryption context for a reader whose database is called `binding`.

        Raises MissingReferenceError, and WrongBindingError for an envelope that names another database.
        """
        self.require_binding(ref, binding)
        return self.context_for(ref, binding)

    def require_binding(self, ref: TokenRef | None, binding: str | None) -> None:
        """Raise WrongBindingError for an envelope that names another database than the reader's."""
        named = self.named_database
        if named not in (None, binding):
            where = "The envelope" if ref is None else f"{ref}: the envelope"
            own = "KEYDECK_BINDING is not set" if binding is None else f'KEYDECK_BINDING is "{binding}"'
            raise WrongBindingError(f'{where} was sealed for database "{named}", and {own}.')

    def rewrapped(self, encrypted_data_key: bytes, key_arn: str) -> Self:
        """Return the envelope with its data key wrapped by another key, everything else byte for byte.

        Raises RefusedError for an envelope that names another key.
        """
        if self.named_key not in (None, key_arn):
            raise RefusedError(
                f"A {self.format} envelope is bound to the key that it names, {self.named_key}; it can't be "
                "rewrapped under another one.",
                remedy="Re-encrypt it instead.",
            )
        own: Any = self
        rewrapped: Self = replace(own, encrypted_data_key=encrypted_data_key)
        return rewrapped

    @abstractmethod
    def parts(self) -> tuple[tuple[str, bytes], ...]:
        """Return what the envelope consists of: names and contents, in stored order."""

    @property
    def edk_prefix(self) -> bytes | None:
        """The 37 bytes that envelopes under one key material share, None where the EDK has no such header."""
        return edk_prefix(self.encrypted_data_key)


def key_of(data_key: DataKey) -> bytearray:
    """Return a data key's own bytes. Raises MalformedEnvelopeError for another length than 32 bytes."""
    key = own_buffer(data_key)
    bounded("data key", key, DATA_KEY_BYTES, DATA_KEY_BYTES)
    return key


def required(ref: TokenRef | None, format_: Format) -> TokenRef:
    if ref is None:
        raise MissingReferenceError(f"A {format_} envelope is bound to its row, and no row was named.")
    return ref


def require_key_arn(key_arn: str) -> None:
    if len(key_arn) > MAX_KEY_ARN_BYTES or not _is_key_arn(key_arn):
        raise MalformedEnvelopeError("key ARN", "it names no KMS key")


_is_key_arn = lru_cache(maxsize=256)(is_key_arn)


def require_sealable(token: Secret) -> None:
    """Raise InvalidTokenError for an empty token or one over 65,536 bytes."""
    size = len(token)
    if not size:
        raise InvalidTokenError("The token is empty: there is nothing to protect.")
    if size > MAX_TOKEN_BYTES:
        raise InvalidTokenError(f"The token has {size:,} bytes; at most {MAX_TOKEN_BYTES:,} are sealed.")
