"""KMS's symmetric cryptographic operations, answered on the event loop.

Requests and answers follow https://docs.aws.amazon.com/kms/latest/APIReference/. Each operation takes the
request document and the call's record, notes in the record what CloudTrail would show, and returns the
answer or raises a ServiceError. Asymmetric keys have no place here: they get InvalidKeyUsageException.
"""

import os
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from console.sandbox.endpoint.crypto import KeyMaterial, identifier_of, seal, unseal
from console.sandbox.endpoint.errors import (
    ServiceError,
    dry_run_worked,
    incorrect_key,
    invalid_ciphertext,
    validation,
)
from console.sandbox.endpoint.faults import Faults
from console.sandbox.endpoint.keys import SYMMETRIC, KeyStore, require_usable
from console.sandbox.endpoint.records import Record

if TYPE_CHECKING:
    from moto.kms.models import Key

Document = Mapping[str, Any]
Operation = Callable[[Document, Record], dict[str, Any]]

MAX_PLAINTEXT = 4096
MAX_CIPHERTEXT = 6144
_KEY_BYTES = {"AES_256": 32, "AES_128": 16}


class CryptoOperations:
    """The operations by name, in `by_name`."""

    def __init__(self, keys: KeyStore, faults: Faults) -> None:
        self._keys = keys
        self._faults = faults
        self.by_name: dict[str, Operation] = {
            "Decrypt": self.decrypt,
            "Encrypt": self.encrypt,
            "GenerateDataKey": self.generate_data_key,
            "GenerateDataKeyWithoutPlaintext": self.generate_data_key_without_plaintext,
            "ReEncrypt": self.re_encrypt,
        }

    def decrypt(self, request: Document, record: Record) -> dict[str, Any]:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html"""
        blob = _blob(request, "CiphertextBlob", MAX_CIPHERTEXT)
        context = _context(request, "EncryptionContext")
        key_id = request.get("KeyId")
        record.request = _shown(
            encryptionAlgorithm=_algorithm(request, "EncryptionAlgorithm"),
            keyId=key_id,
            encryptionContext=context,
        )
        key, material = self._opened_by(record, blob, key_id, "kms:Decrypt")
        plaintext = unseal(material, blob, context)
        if plaintext is None:
            raise invalid_ciphertext()
        record.extra = _shown(keyMaterialId=material.id)
        _stop_if_dry_run(request)
        return {
            "KeyId": key.arn,
            "Plaintext": _text(plaintext),
            "EncryptionAlgorithm": SYMMETRIC,
            "KeyMaterialId": material.id,
        }

    def encrypt(self, request: Document, record: Record) -> dict[str, Any]:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html"""
        plaintext = _blob(request, "Plaintext", MAX_PLAINTEXT)
        context = _context(request, "EncryptionContext")
        record.request = _shown(
            encryptionAlgorithm=_algorithm(request, "EncryptionAlgorithm"),
            keyId=request.get("KeyId"),
            encryptionContext=context,
        )
        key, material = self._sealed_by(record, request.get("KeyId"), "kms:Encrypt")
        record.extra = _shown(keyMaterialId=material.id)
        _stop_if_dry_run(request)
        return {
            "CiphertextBlob": _text(seal(material, plaintext, context)),
            "KeyId": key.arn,
            "EncryptionAlgorithm": SYMMETRIC,
        }

    def generate_data_key(self, request: Document, record: Record) -> dict[str, Any]:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKey.html"""
        context = _context(request, "EncryptionContext")
        record.request = _shown(
            keyId=request.get("KeyId"),
            keySpec=request.get("KeySpec"),
            numberOfBytes=request.get("NumberOfBytes"),
            encryptionContext=context,
        )
        length = _data_key_length(request)
        key, material = self._sealed_by(record, request.get("KeyId"), f"kms:{record.name}")
        record.extra = _shown(keyMaterialId=material.id)
        _stop_if_dry_run(request)
        plaintext = os.urandom(length)
        return {
            "CiphertextBlob": _text(seal(material, plaintext, context)),
            "Plaintext": _text(plaintext),
            "KeyId": key.arn,
            "KeyMaterialId": material.id,
        }

    def generate_data_key_without_plaintext(self, request: Document, record: Record) -> dict[str, Any]:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKeyWithoutPlaintext.html"""
        answer = self.generate_data_key(request, record)
        del answer["Plaintext"]
        return answer

    def re_encrypt(self, request: Document, record: Record) -> dict[str, Any]:
        """https://docs.aws.amazon.com/kms/latest/APIReference/API_ReEncrypt.html"""
        blob = _blob(request, "CiphertextBlob", MAX_CIPHERTEXT)
        source_context = _context(request, "SourceEncryptionContext")
        destination_context = _context(request, "DestinationEncryptionContext")
        source_key_id = request.get("SourceKeyId")
        record.request = _shown(
            sourceEncryptionAlgorithm=_algorithm(request, "SourceEncryptionAlgorithm"),
            sourceKeyId=source_key_id,
            sourceEncryptionContext=source_context,
            destinationEncryptionAlgorithm=_algorithm(request, "DestinationEncryptionAlgorithm"),
            destinationKeyId=request.get("DestinationKeyId"),
            destinationEncryptionContext=destination_context,
        )
        source, source_material = self._opened_by(record, blob, source_key_id, "kms:ReEncryptFrom")
        destination, material = self._sealed_by(record, request.get("DestinationKeyId"), "kms:ReEncryptTo")
        plaintext = unseal(source_material, blob, source_context)
        if plaintext is None:
            raise invalid_ciphertext()
        record.extra = _shown(sourceKeyMaterialId=source_material.id, destinationKeyMaterialId=material.id)
        _stop_if_dry_run(request)
        return {
            "CiphertextBlob": _text(seal(material, plaintext, destination_context)),
            "SourceKeyId": source.arn,
            "KeyId": destination.arn,
            "SourceEncryptionAlgorithm": SYMMETRIC,
            "DestinationEncryptionAlgorithm": SYMMETRIC,
            "SourceKeyMaterialId": source_material.id,
            "DestinationKeyMaterialId": material.id,
        }

    def _opened_by(
        self, record: Record, blob: bytes, key_id: object, action: str
    ) -> "tuple[Key, KeyMaterial]":
        """Return the key and material that made `blob`, once the caller and the key's state allow it."""
        wanted = None if key_id is None else self._keys.find(record.region, key_id)
        identifier = identifier_of(blob)
        found = None if identifier is None else self._keys.by_identifier(record.region, identifier)
        if found is None:
            if wanted is not None:
                record.resources = (wanted.arn,)
                self._faults.authorise(record, action, wanted)
            raise invalid_ciphertext()
        key, material = found
        if wanted is not None and wanted is not key:
            record.resources = (wanted.arn,)
            self._faults.authorise(record, action, wanted)
            raise incorrect_key()
        record.resources = (key.arn,)
        self._faults.authorise(record, action, key)
        require_usable(key)
        return key, material

    def _sealed_by(self, record: Record, key_id: object, action: str) -> "tuple[Key, KeyMaterial]":
        """Return the key that `key_id` names and its current material, if it may be used."""
        key = self._keys.find(record.region, key_id)
        record.resources = (*record.resources, key.arn)
        self._faults.authorise(record, action, key)
        if key.key_spec != SYMMETRIC or key.key_usage != "ENCRYPT_DECRYPT":
            raise ServiceError(
                "InvalidKeyUsageException",
                f"{key.arn} key usage is {key.key_usage} which is not valid for {record.name}.",
            )
        require_usable(key)
        return key, self._keys.companion(key).current.material


def _stop_if_dry_run(request: Document) -> None:
    if request.get("DryRun"):
        raise dry_run_worked()


def _shown(**parameters: object) -> Mapping[str, Any]:
    given = tuple(pair for pair in parameters.items() if pair[1] is not None)
    if all(isinstance(value, str | int) for _, value in given):
        return _shared(given)
    return dict(given)


@lru_cache(maxsize=1024)
def _shared(given: tuple[tuple[str, Any], ...]) -> Mapping[str, Any]:
    """Equal parameters share one mapping: a run leaves tens of thousands of records that say the same."""
    return dict(given)


def _text(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode("ascii")


def _blob(request: Document, name: str, limit: int) -> bytes:
    value = request.get(name)
    if not isinstance(value, str):
        raise validation(
            f"1 validation error detected: Value at '{name[:1].lower() + name[1:]}' failed to satisfy "
            "constraint: Member must not be null"
        )
    try:
        raw = a2b_base64(value, strict_mode=True)
    except Base64Error as error:
        raise ServiceError("SerializationException", f"{name} is not base64") from error
    if not 1 <= len(raw) <= limit:
        raise validation(
            f"1 validation error detected: Value at '{name[:1].lower() + name[1:]}' failed to satisfy "
            f"constraint: Member must have length between 1 and {limit}"
        )
    return raw


def _context(request: Document, name: str) -> dict[str, str] | None:
    context = request.get(name)
    if not context:
        return None
    if not isinstance(context, dict) or not all(isinstance(value, str) for value in context.values()):
        raise ServiceError("SerializationException", f"{name} is a map of strings to strings")
    return context


def _algorithm(request: Document, name: str) -> str:
    algorithm = request.get(name, SYMMETRIC)
    if algorithm != SYMMETRIC:
        raise ServiceError(
            "InvalidKeyUsageException", f"Algorithm {algorithm} is incompatible with key spec {SYMMETRIC}."
        )
    return SYMMETRIC


def _data_key_length(request: Document) -> int:
    spec, length = request.get("KeySpec"), request.get("NumberOfBytes")
    if (spec is None) == (length is None):
        raise validation("Please specify either number of bytes or key spec.")
    if spec is not None:
        if spec not in _KEY_BYTES:
            raise validation(
                f"1 validation error detected: Value '{spec}' at 'keySpec' failed to satisfy constraint: "
                "Member must satisfy enum value set: [AES_256, AES_128]"
            )
        return _KEY_BYTES[spec]
    if not isinstance(length, int) or not 1 <= length <= 1024:
        raise validation(
            f"1 validation error detected: Value '{length}' at 'numberOfBytes' failed to satisfy constraint: "
            "Member must have value between 1 and 1024"
        )
    return length
