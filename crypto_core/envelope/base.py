"""What every version of the envelope is to the rest of the code."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Self

from crypto_core.envelope.encryption_context import EncryptionContext
from crypto_core.envelope.fields import MAX_TOKEN_BYTES, edk_prefix
from crypto_core.envelope.formats import Format
from crypto_core.errors import InvalidTokenError
from crypto_core.references import TokenRef
from crypto_core.secret import DataKey, Secret

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
    field_names: ClassVar[tuple[str, ...]]
    """Names of the fields behind the version mark, in stored order."""

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
        entropy: Entropy = os.urandom,
    ) -> Self:
        """Return an envelope that holds `token`. `key_arn` names the key that wrapped the data key."""

    @abstractmethod
    def open(self, data_key: DataKey, ref: TokenRef | None) -> Secret:
        """Return the token. Raises AuthenticationFailedError if anything isn't what was sealed."""

    @property
    @abstractmethod
    def named_key(self) -> str | None:
        """ARN of the key that the envelope says wrapped its data key; None where the version tells none.

        A claim until the envelope has opened.
        """

    @classmethod
    @abstractmethod
    def context_for(cls, ref: TokenRef | None) -> EncryptionContext:
        """Return the KMS encryption context of the data key; empty where the version binds to no row.

        Raises MissingReferenceError where the version needs a reference and there is none.
        """

    @abstractmethod
    def rewrapped(self, encrypted_data_key: bytes, key_arn: str) -> Self:
        """Return the envelope with its data key wrapped by another key, everything else byte for byte.

        Raises RefusedError where the version is bound to the key that it names and that is another one.
        """

    @abstractmethod
    def parts(self) -> tuple[tuple[str, bytes], ...]:
        """Return what the envelope consists of: names and contents, in stored order."""

    @property
    def edk_prefix(self) -> bytes | None:
        """The 37 bytes that envelopes under one key material share, None where the EDK has no such header."""
        return edk_prefix(self.encrypted_data_key)


def require_sealable(token: Secret) -> None:
    """Raise InvalidTokenError for an empty token or one over 65,536 bytes."""
    if not len(token):
        raise InvalidTokenError("The token is empty: there is nothing to protect.")
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidTokenError(
            f"The token has {len(token):,} bytes; at most {MAX_TOKEN_BYTES:,} are sealed."
        )
