"""KMS's symmetric cryptographic operations, answered on the event loop.

Requests and answers follow https://docs.aws.amazon.com/kms/latest/APIReference/. Each operation takes the
request document and the call's record, notes in the record what CloudTrail would show, and returns the
answer or raises a ServiceError. Asymmetric keys have no place here: they get InvalidKeyUsageException.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from console.sandbox.endpoint.crypto import MaterialGeneration, identifier_of, seal, unseal
from console.sandbox.endpoint.errors import dry_run_worked, incorrect_key, invalid_ciphertext
from console.sandbox.endpoint.faults import Faults
from console.sandbox.endpoint.keys import SYMMETRIC, KeyStore, require_usable
from console.sandbox.endpoint.moto_operations import find_usable
from console.sandbox.endpoint.parameters import (
    MAX_PLAINTEXT,
    Document,
    as_text,
    read_algorithm,
    read_blob,
    read_ciphertext,
    read_context,
    read_data_key_length,
    shown,
    stop_if_dry_run,
)
from console.sandbox.endpoint.records import Record

if TYPE_CHECKING:
    from moto.kms.models import Key

Operation = Callable[[Document, Record], dict[str, Any]]


class CryptoOperations:
    def __init__(self, keys: KeyStore, faults: Faults) -> None:
        self._keys = keys
        self._faults = faults
        self.by_name: dict[str, Operation] = {
            "Decrypt": self.decrypt,
            "Encrypt": self.encrypt,
            "GenerateDataKey": self.generate_data_key,
            "GenerateDataKeyWithoutPlaintext": self.generate_data_key,
            "ReEncrypt": self.re_encrypt,
        }

    def decrypt(self, request: Document, record: Record) -> dict[str, Any]:
        blob = read_ciphertext(request)
        context = read_context(request, "EncryptionContext")
        key_id = request.get("KeyId")
        record.request = shown(
            encryptionAlgorithm=read_algorithm(request, "EncryptionAlgorithm"),
            keyId=key_id,
            encryptionContext=context,
        )
        key, material = self._opened_by(record, blob, key_id, "kms:Decrypt")
        if blob is None:
            raise dry_run_worked()
        plaintext = unseal(material, blob, context)
        if plaintext is None:
            raise invalid_ciphertext()
        record.extra = shown(keyMaterialId=material.id)
        stop_if_dry_run(request)
        return {
            "KeyId": key.arn,
            "Plaintext": as_text(plaintext),
            "EncryptionAlgorithm": SYMMETRIC,
            "KeyMaterialId": material.id,
        }

    def encrypt(self, request: Document, record: Record) -> dict[str, Any]:
        plaintext = read_blob(request, "Plaintext", MAX_PLAINTEXT)
        context = read_context(request, "EncryptionContext")
        record.request = shown(
            encryptionAlgorithm=read_algorithm(request, "EncryptionAlgorithm"),
            keyId=request.get("KeyId"),
            encryptionContext=context,
        )
        key, material = self._sealed_by(record, request.get("KeyId"), "kms:Encrypt")
        record.extra = shown(keyMaterialId=material.id)
        stop_if_dry_run(request)
        return {
            "CiphertextBlob": as_text(seal(material, plaintext, context)),
            "KeyId": key.arn,
            "EncryptionAlgorithm": SYMMETRIC,
        }

    def generate_data_key(self, request: Document, record: Record) -> dict[str, Any]:
        context = read_context(request, "EncryptionContext")
        record.request = shown(
            keyId=request.get("KeyId"),
            keySpec=request.get("KeySpec"),
            numberOfBytes=request.get("NumberOfBytes"),
            encryptionContext=context,
        )
        length = read_data_key_length(request)
        key, material = self._sealed_by(record, request.get("KeyId"), f"kms:{record.name}")
        record.extra = shown(keyMaterialId=material.id)
        stop_if_dry_run(request)
        plaintext = os.urandom(length)
        answer = {
            "CiphertextBlob": as_text(seal(material, plaintext, context)),
            "KeyId": key.arn,
            "KeyMaterialId": material.id,
        }
        return answer | (
            {} if record.name.endswith("WithoutPlaintext") else {"Plaintext": as_text(plaintext)}
        )

    def re_encrypt(self, request: Document, record: Record) -> dict[str, Any]:
        blob = read_ciphertext(request)
        source_context = read_context(request, "SourceEncryptionContext")
        destination_context = read_context(request, "DestinationEncryptionContext")
        source_key_id = request.get("SourceKeyId")
        record.request = shown(
            sourceEncryptionAlgorithm=read_algorithm(request, "SourceEncryptionAlgorithm"),
            sourceKeyId=source_key_id,
            sourceEncryptionContext=source_context,
            destinationEncryptionAlgorithm=read_algorithm(request, "DestinationEncryptionAlgorithm"),
            destinationKeyId=request.get("DestinationKeyId"),
            destinationEncryptionContext=destination_context,
        )
        source, source_material = self._opened_by(record, blob, source_key_id, "kms:ReEncryptFrom")
        destination, material = self._sealed_by(record, request.get("DestinationKeyId"), "kms:ReEncryptTo")
        if blob is None:
            raise dry_run_worked()
        plaintext = unseal(source_material, blob, source_context)
        if plaintext is None:
            raise invalid_ciphertext()
        record.extra = shown(sourceKeyMaterialId=source_material.id, destinationKeyMaterialId=material.id)
        stop_if_dry_run(request)
        return {
            "CiphertextBlob": as_text(seal(material, plaintext, destination_context)),
            "SourceKeyId": source.arn,
            "KeyId": destination.arn,
            "SourceEncryptionAlgorithm": SYMMETRIC,
            "DestinationEncryptionAlgorithm": SYMMETRIC,
            "SourceKeyMaterialId": source_material.id,
            "DestinationKeyMaterialId": material.id,
        }

    def _opened_by(
        self, record: Record, blob: bytes | None, key_id: object, action: str
    ) -> "tuple[Key, MaterialGeneration]":
        """Return the key and material that made `blob`, once the caller and the key's state allow it.

        Without a blob (a dry run that ignores it) it is the key that `key_id` names.
        """
        if blob is None:
            return self._sealed_by(record, key_id, action)
        wanted = None if key_id is None else self._keys.find(record.region, key_id)
        identifier = identifier_of(blob)
        found = None if identifier is None else self._keys.by_identifier(record.region, identifier)
        asked = wanted or (found and found[0])
        if asked is not None:
            record.resources = (asked.arn,)
            self._faults.authorise(record, action, asked)
        if found is None:
            raise invalid_ciphertext()
        key, material = found
        if asked is not key:
            raise incorrect_key()
        require_usable(key)
        return key, material

    def _sealed_by(self, record: Record, key_id: object, action: str) -> "tuple[Key, MaterialGeneration]":
        """Return the key that `key_id` names and its current material, if it may be used."""
        key = find_usable(self._keys, self._faults, key_id, record, action, "ENCRYPT_DECRYPT", SYMMETRIC)
        return key, self._keys.companion(key).current.material
