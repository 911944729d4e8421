"""Keydeck's core, for the platform: seal API tokens into envelopes and open them again.

    from crypto_core import encrypt_token, decrypt_token

    stored = encrypt_token("github_pat_…")   # what goes into the column
    token = decrypt_token(stored)

Both read TOKEN_ENCRYPTION_KEY_ID (the KMS key to write under), KEYDECK_TRUSTED_KEYS (further keys that may
be read with, separated by commas), KEYDECK_WRITE_FORMAT (v1, or v2 for envelopes that are bound to their
rows), KEYDECK_BINDING (the tenant or database that v2 envelopes are bound to as well), KEYDECK_LEAST_FORMAT
(v2 to open no v1 envelope any more, v2-bound to open none that names no database), KEYDECK_REGIONS,
KEYDECK_RECEIPTS (where receipts of KMS calls go: table, log or file:PATH), and what boto3 reads (AWS_REGION,
AWS_PROFILE, AWS_ENDPOINT_URL, …). The IAM actions needed are kms:GenerateDataKey and kms:Decrypt.

v2 needs to know the row: encrypt_token(token, "gh_connection.access_token:gh-42"). FORMAT.md specifies what
is stored, SECURITY.md says what is protected against whom.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crypto_core.aws.kms import KmsApi
    from crypto_core.aws.receipts.receipt import Receipt
    from crypto_core.aws.receipts.recorder import ReceiptRecorder
    from crypto_core.encrypted_token import EncryptedToken, StoredEnvelope
    from crypto_core.envelope import Envelope, Format, classify, parse
    from crypto_core.keyring.cipher import OpenedToken, SealedToken, TokenCipher
    from crypto_core.keyring.data_keys import CacheLimits, DataKeyCache
    from crypto_core.keyring.kms_keyring import KmsKeyring
    from crypto_core.metrics import Metrics
    from crypto_core.platform.environment import decrypt_token, encrypt_token
    from crypto_core.values.errors import (
        EnvelopeError,
        InvalidReferenceError,
        InvalidTokenError,
        KeydeckError,
        KmsError,
        SettingsError,
    )
    from crypto_core.values.references import TokenRef
    from crypto_core.values.secret import Secret

__all__ = [
    "CacheLimits",
    "DataKeyCache",
    "EncryptedToken",
    "Envelope",
    "EnvelopeError",
    "Format",
    "InvalidReferenceError",
    "InvalidTokenError",
    "KeydeckError",
    "KmsApi",
    "KmsError",
    "KmsKeyring",
    "Metrics",
    "OpenedToken",
    "Receipt",
    "ReceiptRecorder",
    "SealedToken",
    "Secret",
    "SettingsError",
    "StoredEnvelope",
    "TokenCipher",
    "TokenRef",
    "classify",
    "decrypt_token",
    "encrypt_token",
    "parse",
]

_NAMES = {
    "keyring.cipher": ("OpenedToken", "SealedToken", "TokenCipher"),
    "keyring.data_keys": ("CacheLimits", "DataKeyCache"),
    "encrypted_token": ("EncryptedToken", "StoredEnvelope"),
    "envelope": ("Envelope", "Format", "classify", "parse"),
    "values.errors": (
        "EnvelopeError",
        "InvalidReferenceError",
        "InvalidTokenError",
        "KeydeckError",
        "KmsError",
        "SettingsError",
    ),
    "platform.environment": ("decrypt_token", "encrypt_token"),
    "keyring.kms_keyring": ("KmsKeyring",),
    "aws.kms": ("KmsApi",),
    "metrics": ("Metrics",),
    "aws.receipts.receipt": ("Receipt",),
    "aws.receipts.recorder": ("ReceiptRecorder",),
    "values.references": ("TokenRef",),
    "values.secret": ("Secret",),
}
_ON_DEMAND = {name: module for module, names in _NAMES.items() for name in names}
"""Where each name is from. A room that needs no cryptography, such as the trail, starts without it."""


if not TYPE_CHECKING:  # a type checker would take any name for one of these

    def __getattr__(name: str) -> Any:
        if name not in _ON_DEMAND:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_ON_DEMAND[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
