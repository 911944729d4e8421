"""The face of the platform's own module for encrypting tokens: its import is replaced by this one.

    from crypto_core.platform import TokenEncryptionError, decrypt_token, encrypt_token

The names, the stored formats and the settings are that module's. With APP_ENV dev, development or local,
values are in dev format, which protects nothing; the published module takes an APP_ENV that isn't set for
that as well, this one for production. What `crypto_core` adds is there: with a token's place, v2 envelopes,
and KEYDECK_TRUSTED_KEYS for what was sealed before TOKEN_ENCRYPTION_KEY_ID was another key.

Tests may patch `boto3` or `boto3.client` here, as in the published module: then what they put in its place
answers for KMS, about v1 alone, and which key it names is not looked at.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from crypto_core import envelope
from crypto_core.envelope import DEV_KEY, Format, classify, open_dev, seal_dev
from crypto_core.envelope.fields import decode_leniently, encode
from crypto_core.platform import environment
from crypto_core.values import errors
from crypto_core.values.errors import KeydeckError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret

__all__ = [
    "AuditEncryptionError",
    "TokenEncryptionError",
    "decrypt_audit_payload",
    "decrypt_token",
    "encrypt_audit_payload",
    "encrypt_token",
]

_DEVELOPMENT = ("dev", "development", "local")
"""What APP_ENV says where values are in dev format."""


class TokenEncryptionError(KeydeckError):
    """A token could not be sealed or opened; `__cause__` is the error of `crypto_core` that says why."""


class AuditEncryptionError(KeydeckError):
    """An audit payload could not be encrypted or decrypted."""


def encrypt_token(
    plaintext_token: str | bytes, reference: TokenRef | str | None = None, *, binding: str | None = None
) -> str:
    """Return what to store for a token: an envelope (one KMS call), in development a value in dev format.

    `reference` and `binding` are those of `crypto_core.encrypt_token`. Raises TokenEncryptionError.
    """
    with _as_token_error():
        token = _text(plaintext_token, "The token")
        if _in_development():
            return seal_dev(Secret.of(token), _dev_key())
        if not os.environ.get("TOKEN_ENCRYPTION_KEY_ID"):
            raise TokenEncryptionError(
                "TOKEN_ENCRYPTION_KEY_ID is not set.",
                remedy="Set it to the ARN of a KMS key; or APP_ENV=dev, to develop without one.",
            )
        if (client := _patched()) is not None:
            made = client("kms").generate_data_key(
                KeyId=os.environ["TOKEN_ENCRYPTION_KEY_ID"], KeySpec="AES_256"
            )
            with DataKey(made["Plaintext"]) as data_key:
                return envelope.serialise(envelope.seal(Secret.of(token), data_key, made["CiphertextBlob"]))
        return environment.encrypt_token(token, reference, binding=binding)


def decrypt_token(
    encrypted_blob: str | bytes | bytearray | memoryview,
    reference: TokenRef | str | None = None,
    *,
    least_format: Format | str | None = None,
    binding: str | None = None,
) -> str:
    """Return the token of a stored value: text or bytes, however its base64 is spelt.

    Envelopes are opened in development too (one KMS call, more where several keys are trusted), a value in
    dev format nowhere else. `reference`, `least_format` and `binding` are those of
    `crypto_core.decrypt_token`. Raises TokenEncryptionError.
    """
    with _as_token_error(opening=True):
        stored = _stored_text(encrypted_blob)
        if classify(stored).format is not Format.DEV:
            if (client := _patched()) is not None:
                found = envelope.parse(stored)
                opened = client("kms").decrypt(CiphertextBlob=found.encrypted_data_key)
                with DataKey(opened["Plaintext"]) as data_key:
                    return envelope.open_envelope(found, data_key).reveal()
            return environment.decrypt_token(stored, reference, least_format=least_format, binding=binding)
        if not _in_development():
            raise TokenEncryptionError(
                "A value in dev format is not opened in production: anyone can open and forge it.",
                remedy="Encrypt what is stored with: keydeck encrypt --plaintext.",
            )
        with open_dev(stored, _dev_key()) as token:
            return token.reveal()


def encrypt_audit_payload(payload: dict[str, Any]) -> dict[str, Any]:
    """Return an audit payload encrypted under AUDIT_ENCRYPTION_KEY (Fernet), as a dict to store.

    AUDIT_ENCRYPTION_KEY_ID, where it is set, is stored beside it. Raises AuditEncryptionError without a key
    and for what is no JSON object.
    """
    try:
        content = json.dumps(payload)
    except (TypeError, ValueError) as error:
        raise AuditEncryptionError("The audit payload is not JSON.") from error
    encrypted = {"encrypted": True, "ciphertext": _audit_fernet().encrypt(content.encode()).decode("ascii")}
    key_id = os.environ.get("AUDIT_ENCRYPTION_KEY_ID")
    return encrypted | ({"key_id": key_id} if key_id else {})


def decrypt_audit_payload(wrapper: dict[str, Any]) -> dict[str, Any]:
    """Return the payload of what `encrypt_audit_payload` made; anything else as it is, unencrypted.

    Raises AuditEncryptionError without a key, and for what doesn't open under it.
    """
    from cryptography.fernet import InvalidToken

    if not isinstance(wrapper, dict) or not wrapper.get("encrypted"):
        return wrapper
    ciphertext = wrapper.get("ciphertext")
    if not isinstance(ciphertext, str) or not ciphertext:
        raise AuditEncryptionError("The audit payload has no ciphertext.")
    try:
        content = _audit_fernet().decrypt(ciphertext.encode())
    except InvalidToken as error:
        raise AuditEncryptionError(
            "The audit payload does not open under AUDIT_ENCRYPTION_KEY.",
            remedy="Set the key that it was encrypted under.",
        ) from error
    payload: dict[str, Any] = json.loads(content)
    return payload


@contextmanager
def _as_token_error(*, opening: bool = False) -> Iterator[None]:
    try:
        yield
    except TokenEncryptionError:
        raise
    except (errors.IncorrectKeyError, errors.KeyNotFoundError, errors.UntrustedKeyError) as error:
        names = [os.environ.get(name, "") for name in ("TOKEN_ENCRYPTION_KEY_ID", "KEYDECK_TRUSTED_KEYS")]
        trusted = ", ".join(filter(None, names)) or "none"
        remedy = "If another key sealed it, add that key's ARN to KEYDECK_TRUSTED_KEYS."
        raise TokenEncryptionError(
            f"{error.message} Trusted: {trusted}.", remedy=remedy if opening else error.remedy
        ) from error
    except KeydeckError as error:
        raise TokenEncryptionError(error.message, remedy=error.remedy) from error
    except Exception as error:
        if _patched() is None:
            raise
        raise TokenEncryptionError("What stands for KMS failed.") from error


def _text(value: str | bytes | bytearray | memoryview, what: str) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TokenEncryptionError(f"{what} is neither text nor bytes: {type(value).__name__}.")
    # A codec's exception carries what it could not decode, so it ends here.
    with suppress(UnicodeDecodeError):
        return str(value, "utf-8")
    raise TokenEncryptionError(f"{what} is bytes that are not UTF-8.")


def _stored_text(value: str | bytes | bytearray | memoryview) -> str:
    """A stored value as text; bytes that are no ASCII are no base64, and count for nothing.

    One in dev format is spelt as it is written: the published module reads it as leniently as v1.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        value = str(value, "ascii", "replace")
    stored = _text(value, "The stored value")
    with suppress(errors.EnvelopeError):
        content = decode_leniently(stored, "envelope")
        if content.startswith(b"dev|") and content.count(b"|") == 1:
            return encode(content).decode("ascii")
    return stored


@lru_cache(maxsize=1)
def _boto3() -> SimpleNamespace:
    return SimpleNamespace(client=_client)


def _client(*arguments: Any, **named: Any) -> Any:
    import boto3

    return boto3.client(*arguments, **named)


def __getattr__(name: str) -> Any:
    """Return a `boto3` of this module's own: what a test changes in it changes nothing elsewhere."""
    if name in ("boto3", "HAS_BOTO3"):
        return _boto3() if name == "boto3" else True
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _patched() -> Any:
    """What makes clients where a test has put something in boto3's place; None without that."""
    put = globals().get("boto3") or (_boto3() if _boto3.cache_info().currsize else None)
    client = getattr(put, "client", None)
    return None if client in (None, _client) else client


def _in_development() -> bool:
    return os.environ.get("APP_ENV", "").lower() in _DEVELOPMENT


def _dev_key() -> str:
    return os.environ.get("DEV_ENCRYPTION_KEY") or DEV_KEY


def _audit_fernet() -> Any:
    from cryptography.fernet import Fernet

    key = os.environ.get("AUDIT_ENCRYPTION_KEY")
    if not key:
        raise AuditEncryptionError("AUDIT_ENCRYPTION_KEY is not set.", remedy="Set it to a Fernet key.")
    # A codec's exception carries the key, so it ends here.
    with suppress(ValueError):
        return Fernet(key)
    raise AuditEncryptionError("AUDIT_ENCRYPTION_KEY is not a Fernet key: 32 bytes in URL-safe base64.")
