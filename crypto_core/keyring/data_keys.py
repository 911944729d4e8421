"""What a keyring gives: data keys, each with the KMS key that wrapped it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

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
    data_key: DataKey
    encrypted_data_key: bytes = field(repr=False)
    wrapped_by: KeyAnswer


@dataclass(frozen=True, slots=True)
class UnwrappedDataKey:
    data_key: DataKey
    wrapped_by: KeyAnswer


@dataclass(frozen=True, slots=True)
class RewrappedDataKey:
    """The same data key wrapped by another KMS key; its plaintext never left KMS."""

    encrypted_data_key: bytes = field(repr=False)
    source: KeyAnswer
    destination: KeyAnswer
