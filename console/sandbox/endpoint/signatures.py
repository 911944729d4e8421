"""KMS's Sign, Verify, GenerateMac and VerifyMac, with the key material that moto keeps.

moto signs the request's base64 text, whatever MessageType says, and answers VerifyMac without the key's ARN.
Here signatures are real: they verify outside with what GetPublicKey gives.
https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html and the pages of the others.
"""

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from console.sandbox.endpoint.errors import ServiceError, validation
from console.sandbox.endpoint.faults import Faults
from console.sandbox.endpoint.keys import KeyStore
from console.sandbox.endpoint.metadata import mac_algorithms
from console.sandbox.endpoint.moto_operations import find_usable
from console.sandbox.endpoint.operations import Operation
from console.sandbox.endpoint.parameters import Document, as_text, read_blob, shown, stop_if_dry_run
from console.sandbox.endpoint.records import Record

if TYPE_CHECKING:
    from moto.kms.models import Key

MAX_MESSAGE = 4096
MAX_SIGNATURE = 6144
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}


class SigningOperations:
    def __init__(self, keys: KeyStore, faults: Faults) -> None:
        self._keys = keys
        self._faults = faults
        self.by_name: dict[str, Operation] = {
            "Sign": self.sign,
            "Verify": self.verify,
            "GenerateMac": self.generate_mac,
            "VerifyMac": self.verify_mac,
        }

    def sign(self, request: Document, record: Record) -> dict[str, Any]:
        message = read_blob(request, "Message", MAX_MESSAGE)
        key, algorithm, hashed = self._signing(request, record, message)
        private = _private(key)
        if isinstance(private, rsa.RSAPrivateKey):
            signature = private.sign(message, _padding(algorithm), hashed)
        else:
            signature = private.sign(message, ec.ECDSA(hashed))
        stop_if_dry_run(request)
        return {"KeyId": key.arn, "Signature": as_text(signature), "SigningAlgorithm": algorithm}

    def verify(self, request: Document, record: Record) -> dict[str, Any]:
        message = read_blob(request, "Message", MAX_MESSAGE)
        signature = read_blob(request, "Signature", MAX_SIGNATURE)
        key, algorithm, hashed = self._signing(request, record, message)
        public = _private(key).public_key()
        try:
            if isinstance(public, rsa.RSAPublicKey):
                public.verify(signature, message, _padding(algorithm), hashed)
            else:
                public.verify(signature, message, ec.ECDSA(hashed))
        except InvalidSignature as error:
            raise ServiceError("KMSInvalidSignatureException", "") from error
        stop_if_dry_run(request)
        return {"KeyId": key.arn, "SignatureValid": True, "SigningAlgorithm": algorithm}

    def generate_mac(self, request: Document, record: Record) -> dict[str, Any]:
        key, algorithm, mac = self._mac(request, record)
        stop_if_dry_run(request)
        return {"KeyId": key.arn, "Mac": as_text(mac), "MacAlgorithm": algorithm}

    def verify_mac(self, request: Document, record: Record) -> dict[str, Any]:
        given = read_blob(request, "Mac", MAX_SIGNATURE)
        key, algorithm, mac = self._mac(request, record)
        if not hmac.compare_digest(given, mac):
            raise ServiceError("KMSInvalidMacException", "")
        stop_if_dry_run(request)
        return {"KeyId": key.arn, "MacValid": True, "MacAlgorithm": algorithm}

    def _signing(
        self, request: Document, record: Record, message: bytes
    ) -> "tuple[Key, str, hashes.HashAlgorithm | Prehashed]":
        algorithm, kind = str(request.get("SigningAlgorithm")), request.get("MessageType", "RAW")
        record.request = shown(
            keyId=request.get("KeyId"), messageType=request.get("MessageType"), signingAlgorithm=algorithm
        )
        key = self._find(request, record, "SIGN_VERIFY")
        if algorithm not in key.signing_algorithms or algorithm.rpartition("_")[2] not in _HASHES:
            raise _incompatible(algorithm, key)
        hash_ = _HASHES[algorithm.rpartition("_")[2]]
        if kind == "RAW":
            return key, algorithm, hash_
        if kind != "DIGEST":
            raise validation(f"MessageType {kind!r} is not one of RAW, DIGEST, EXTERNAL_MU")
        if len(message) != hash_.digest_size:
            raise validation(f"Digest is invalid length for algorithm {algorithm}.")
        return key, algorithm, Prehashed(hash_)

    def _mac(self, request: Document, record: Record) -> "tuple[Key, str, bytes]":
        message, algorithm = read_blob(request, "Message", MAX_MESSAGE), str(request.get("MacAlgorithm"))
        record.request = shown(keyId=request.get("KeyId"), macAlgorithm=algorithm)
        key = self._find(request, record, "GENERATE_VERIFY_MAC")
        if algorithm not in mac_algorithms(key):
            raise _incompatible(algorithm, key)
        name = f"sha{algorithm.rpartition('_')[2]}"
        return key, algorithm, hmac.new(key.key_material, message, getattr(hashlib, name)).digest()

    def _find(self, request: Document, record: Record, usage: str) -> "Key":
        return find_usable(self._keys, self._faults, request.get("KeyId"), record, record.action, usage)


def _private(key: "Key") -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    held: Any = key.private_key
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = held.private_key
    return private


def _padding(algorithm: str) -> padding.AsymmetricPadding:
    hash_ = _HASHES[algorithm.rpartition("_")[2]]
    if "_PSS_" not in algorithm:
        return padding.PKCS1v15()
    return padding.PSS(mgf=padding.MGF1(hash_), salt_length=hash_.digest_size)


def _incompatible(algorithm: str, key: "Key") -> ServiceError:
    message = f"Algorithm {algorithm} is incompatible with key spec {key.key_spec}."
    return ServiceError("InvalidKeyUsageException", message)
