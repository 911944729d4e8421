"""What a keyring gives: data keys, each with the KMS key that wrapped it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from crypto_core.envelope.encryption_context import EncryptionContext
from crypto_core.secret import DataKey

NO_CONTEXT: EncryptionContext = MappingProxyType({})
"""The encryption context of a v1 envelope's data key."""


@dataclass(frozen=True, slots=True)
class KeyAnswer:
    """Which key and key material KMS says it used. The material is None where KMS does not tell it."""

    key_arn: str
    key_material_id: str | None


@dataclass(frozen=True, slots=True)
class GeneratedDataKey:
    """A new data key: plaintext, as KMS wrapped it, and by which key."""

    data_key: DataKey
    encrypted_data_key: bytes = field(repr=False)
    wrapped_by: KeyAnswer


@dataclass(frozen=True, slots=True)
class UnwrappedDataKey:
    """An opened data key and the key that had wrapped it."""

    data_key: DataKey
    wrapped_by: KeyAnswer


@dataclass(frozen=True, slots=True)
class RewrappedDataKey:
    """The same data key wrapped by another KMS key; its plaintext never left KMS."""

    encrypted_data_key: bytes = field(repr=False)
    source: KeyAnswer
    destination: KeyAnswer


class Keyring(Protocol):
    """What a TokenCipher needs of KMS."""

    def generate(
        self, key: str | None = None, *, context: EncryptionContext = NO_CONTEXT
    ) -> GeneratedDataKey:
        """Return a new data key under `key`, or under the key that the keyring writes with."""
        ...

    def unwrap(
        self,
        encrypted_data_key: bytes,
        likely: str | None = None,
        *,
        only: str | None = None,
        named: str | None = None,
        context: EncryptionContext = NO_CONTEXT,
    ) -> UnwrappedDataKey:
        """Return the opened data key; `likely` is the ARN of the key to ask first, if it is trusted.

        `only` is a key that the caller trusts for this one call: no other is asked. `named` is the ARN that
        the envelope names: no key but that one is asked, and only if it is trusted.
        """
        ...

    def rewrap(
        self,
        encrypted_data_key: bytes,
        destination: str,
        likely: str | None = None,
        *,
        named: str | None = None,
        context: EncryptionContext = NO_CONTEXT,
    ) -> RewrappedDataKey:
        """Return the data key wrapped by `destination`."""
        ...
