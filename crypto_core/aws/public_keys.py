"""Signatures of KMS keys checked without AWS, by public keys, as `aws kms get-public-key` gives them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crypto_core.aws import kms_signer
from crypto_core.guard.signature import Signature, SigningTime
from crypto_core.proof.forms import key_fault
from crypto_core.values.errors import KmsError, SettingsError
from crypto_core.values.key_names import is_key_arn, region_of

_GET = "Get it with: aws kms get-public-key --key-id KEY --query PublicKey --output text."


@dataclass(frozen=True, slots=True)
class PublicKey:
    key: Any
    name: str
    end: datetime | None = None


class PublicKeys:
    def __init__(self, keys: Sequence[PublicKey]) -> None:
        self._keys = tuple(keys)

    def sign(self, digest: bytes) -> Signature:
        raise SettingsError("A public key signs nothing.")

    def verify(self, digest: bytes, signature: Signature, when: SigningTime | None = None) -> bool:
        """Return whether one of the keys signed this digest, whichever key the signature names.

        Raises EndedKeyError as Signer.verify, SettingsError for what only KMS can verify.
        """
        if signature.algorithm in kms_signer.MAC_ALGORITHMS:
            raise SettingsError(
                f"{signature.algorithm} is no signature by a public key: only KMS can verify it.",
                remedy="Verify it with KEYDECK_SIGNING_KEY, in the database.",
            )
        verify = _VERIFY.get(signature.algorithm)
        if verify is None or not 0 < len(signature.value) <= kms_signer.MAX_SIGNATURE:
            return False
        found = [key for key in self._keys if _verified(verify, key.key, digest, signature.value)]
        for key in found:
            kms_signer.require_before_end(key.name, key.end, when)
        return bool(found)


def public_key(content: bytes, name: str, end: datetime | None = None) -> PublicKey:
    """Return a public key in PEM, in DER, or in base64 of DER. Raises SettingsError for another content."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

    if fault := key_fault(content):
        raise SettingsError(f"{name} {fault}.", remedy=_GET)
    try:
        if b"-----BEGIN" in content:
            return PublicKey(load_pem_public_key(content), name, end)
        with suppress(Base64Error):  # else it is DER as it stands
            content = b64decode(content.strip(), validate=True)
        return PublicKey(load_der_public_key(content), name, end)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SettingsError(f"{name} is not a public key.", remedy=_GET) from error


Verify = Callable[[Any, bytes, bytes], None]


def _verified(verify: Verify, key: Any, digest: bytes, value: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        verify(key, digest, value)
    except (InvalidSignature, UnsupportedAlgorithm, AttributeError, TypeError, ValueError):
        return False  # another kind of key has another verify, or none
    return True


def _ecdsa(hashed: str, *, prehashed: bool = False) -> Verify:
    def verify(key: Any, digest: bytes, value: bytes) -> None:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

        algorithm = getattr(hashes, hashed)()
        key.verify(value, digest, ec.ECDSA(Prehashed(algorithm) if prehashed else algorithm))

    return verify


def _rsa(*, pss: bool) -> Verify:
    def verify(key: Any, digest: bytes, value: bytes) -> None:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding
        from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

        sha256 = hashes.SHA256()
        padded = padding.PSS(padding.MGF1(sha256), sha256.digest_size) if pss else padding.PKCS1v15()
        key.verify(value, digest, padded, Prehashed(sha256))

    return verify


def _plain(key: Any, digest: bytes, value: bytes) -> None:
    key.verify(value, digest)


_VERIFY: Mapping[str, Verify] = {
    "ECDSA_SHA_256": _ecdsa("SHA256", prehashed=True),
    "ECDSA_SHA_384": _ecdsa("SHA384"),
    "ECDSA_SHA_512": _ecdsa("SHA512"),
    "RSASSA_PSS_SHA_256": _rsa(pss=True),
    "RSASSA_PKCS1_V1_5_SHA_256": _rsa(pss=False),
    "ED25519_SHA_512": _plain,
    "ML_DSA_SHAKE_256": _plain,
}


def fetched_public_keys(call: kms_signer.Call, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the public keys of signing keys by their ARNs: {"algorithm", "public_key"}.

    It is null for HMAC keys, which have none, and for keys that KMS does not give out here.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        try:
            answer = call("GetPublicKey", region=region_of(name), KeyId=name)
        except KmsError:
            if is_key_arn(name):
                found.setdefault(name, {"algorithm": None, "public_key": None})
            continue
        arn, key = answer.get("KeyId"), answer.get("PublicKey")
        algorithms = answer.get("SigningAlgorithms") or ()
        if isinstance(arn, str) and isinstance(key, bytes):
            algorithm = next((one for one in kms_signer.ALGORITHMS if one in algorithms), None)
            found[arn] = {"algorithm": algorithm, "public_key": b64encode(key).decode()}
    return found
