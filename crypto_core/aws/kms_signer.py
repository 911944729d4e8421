"""Signatures by KMS keys: asymmetric ones by Sign and Verify, HMAC keys by GenerateMac and VerifyMac.

KMS API reference of those operations, and Developer Guide, "Key spec reference": which algorithms a key has.
What is signed is always a SHA-256 digest. Where KMS would hash with something else, the digest goes to it as
the message (RAW) instead of as the digest (DIGEST).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from crypto_core.guard.signature import Signature, SigningTime
from crypto_core.proof.forms import ended
from crypto_core.values import errors
from crypto_core.values.clean_text import clean
from crypto_core.values.key_names import region_of, same_key

_RAW, _DIGEST = "RAW", "DIGEST"

ALGORITHMS: Mapping[str, str] = {
    "ECDSA_SHA_256": _DIGEST,
    "RSASSA_PSS_SHA_256": _DIGEST,
    "RSASSA_PKCS1_V1_5_SHA_256": _DIGEST,
    "ECDSA_SHA_384": _RAW,
    "ECDSA_SHA_512": _RAW,
    "ED25519_SHA_512": _RAW,
    "ML_DSA_SHAKE_256": _RAW,
}
"""Algorithms of asymmetric keys, the preferred first, and how the digest is handed over."""

MAC_ALGORITHMS = ("HMAC_SHA_256", "HMAC_SHA_384", "HMAC_SHA_512")

_NO_DIGEST = bytes(32)
_NEVER = datetime.max.replace(tzinfo=UTC)

MAX_SIGNATURE = 6144
"""Bytes that KMS takes as a signature; longer ones are not by it."""

_CREATE = "aws kms create-key --key-usage SIGN_VERIFY --key-spec ECC_NIST_P256"

Call = Callable[..., Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _SigningKey:
    """A configured key, as KMS describes it. `algorithm` is what is signed with, `end` when that ended."""

    arn: str
    algorithm: str
    end: datetime | None = None

    @property
    def is_hmac(self) -> bool:
        return self.algorithm in MAC_ALGORITHMS


class KmsSigner:
    """Signs with the first of the configured keys, verifies with all. Thread-safe; blocks on KMS."""

    def __init__(self, call: Call, keys: Sequence[str], former: Mapping[str, datetime] | None = None) -> None:
        """`call` asks KMS: KmsApi.call. `keys` are names of keys, at least one; the first one signs.

        `former` are names of keys and when each ended: what was signed before is still verified with them.
        """
        self._call = call
        self._ends = dict(former or {})
        self._names = (*keys, *self._ends)
        self._lock = Lock()
        self._keys: dict[str, _SigningKey] = {}

    def sign(self, digest: bytes) -> Signature:
        """Return a signature over a SHA-256 digest by the first key.

        Raises SettingsError for a key that can't sign, ReadOnlyError, KmsError.
        """
        key = self._key(self._names[0])
        if key.is_hmac:
            answer = self._ask("GenerateMac", key, Message=digest, MacAlgorithm=key.algorithm)
            value = answer.get("Mac")
        else:
            answer = self._ask("Sign", key, **_signed(digest, key.algorithm))
            value = answer.get("Signature")
        if not isinstance(value, bytes) or not value:
            raise errors.KmsRequestError("KMS answered without a signature.", operation="Sign", key=key.arn)
        return Signature(key.arn, key.algorithm, value)

    def verify(self, digest: bytes, signature: Signature, when: SigningTime | None = None) -> bool:
        """Return whether KMS says that a signature is by one of the configured keys over this digest.

        Raises EndedKeyError as Signer.verify, SettingsError, KmsError where KMS can't be asked.
        """
        if not 0 < len(signature.value) <= MAX_SIGNATURE:
            return False
        named = [k for k in map(self._key, self._names) if same_key(k.arn, signature.key_arn)]
        # Of a key that is named twice, by an alias for instance, the end counts.
        key = min(named, key=lambda k: (k.end is None, k.end or _NEVER), default=None)
        if key is None or not self._is_valid(key, digest, signature):
            return False
        require_before_end(key.arn, key.end, when)
        return True

    def _is_valid(self, key: _SigningKey, digest: bytes, signature: Signature) -> bool:
        # A key keeps its kind for life, and has one HMAC algorithm but maybe several for signing.
        try:
            if key.is_hmac:
                if signature.algorithm not in MAC_ALGORITHMS:
                    return False
                mac = {"Mac": signature.value, "MacAlgorithm": signature.algorithm}
                return self._ask("VerifyMac", key, Message=digest, **mac).get("MacValid") is True
            if signature.algorithm not in ALGORITHMS:
                return False
            signed = _signed(digest, signature.algorithm)
            answer = self._ask("Verify", key, **signed, Signature=signature.value)
            return answer.get("SignatureValid") is True
        except errors.InvalidSignatureError:
            return False

    def _ask(self, operation: str, key: _SigningKey, **parameters: Any) -> Mapping[str, Any]:
        answer = self._call(operation, region=region_of(key.arn), KeyId=key.arn, **parameters)
        if not same_key(str(answer.get("KeyId")), key.arn):
            raise errors.UntrustedKeyError(
                f"{operation} was answered with another key than {key.arn}; the answer was dropped.",
                operation=operation,
                key=key.arn,
                remedy="Check AWS_ENDPOINT_URL: what answers there is not KMS.",
            )
        return answer

    def _key(self, name: str) -> _SigningKey:
        with self._lock:
            found = self._keys.get(name)
        if found is None:
            answer = self._call("DescribeKey", region=region_of(name), KeyId=name)
            found = replace(_described(name, answer.get("KeyMetadata") or {}), end=self._ends.get(name))
            with self._lock:
                self._keys[name] = found
        return found


def rehearsals(call: Call, name: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return a key's ARN, and the parameters of the operations by which it signs and verifies.

    They are for dry runs (`DryRun`): the signature in them is none. Raises SettingsError for a key that can't
    sign, KmsError.
    """
    answer = call("DescribeKey", region=region_of(name), KeyId=name)
    key = _described(name, answer.get("KeyMetadata") or {})
    if key.is_hmac:
        mac: dict[str, Any] = {"KeyId": key.arn, "Message": _NO_DIGEST, "MacAlgorithm": key.algorithm}
        return key.arn, {"GenerateMac": mac, "VerifyMac": {**mac, "Mac": _NO_DIGEST}}
    signed: dict[str, Any] = {"KeyId": key.arn, **_signed(_NO_DIGEST, key.algorithm)}
    return key.arn, {"Sign": signed, "Verify": {**signed, "Signature": _NO_DIGEST}}


def require_before_end(key: str, end: datetime | None, when: SigningTime | None) -> None:
    """Pass if a key has no end, or signed before as far as anybody can tell. Raises EndedKeyError."""
    if told := ended(key, end, when):
        raise errors.EndedKeyError(told)


def _signed(digest: bytes, algorithm: str) -> dict[str, Any]:
    return {"Message": digest, "MessageType": ALGORITHMS[algorithm], "SigningAlgorithm": algorithm}


def _described(name: str, metadata: Mapping[str, Any]) -> _SigningKey:
    arn, usage = clean(metadata.get("Arn"), 300), metadata.get("KeyUsage")
    wanted, offered = {
        "SIGN_VERIFY": (tuple(ALGORITHMS), metadata.get("SigningAlgorithms")),
        "GENERATE_VERIFY_MAC": (MAC_ALGORITHMS, metadata.get("MacAlgorithms")),
    }.get(str(usage), ((), None))
    algorithm = next((a for a in wanted if a in (offered or ())), None)
    if not arn or algorithm is None:
        spec = clean(metadata.get("KeySpec"), 60) or "of an unknown spec"
        raise errors.SettingsError(
            f"KMS key {name} can't sign: it is {spec}, for {clean(usage, 60) or 'an unknown use'}.",
            remedy=f"Set KEYDECK_SIGNING_KEY to a key for signing or HMAC. One is made by: {_CREATE}",
        )
    return _SigningKey(arn, algorithm)
