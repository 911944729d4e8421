"""Keydeck's core, for the platform: seal API tokens into envelopes and open them again.

    from crypto_core import encrypt_token, decrypt_token

    stored = encrypt_token("github_pat_…")   # what goes into the column
    token = decrypt_token(stored)

Both read TOKEN_ENCRYPTION_KEY_ID (the KMS key to write under), KEYDECK_TRUSTED_KEYS (further keys that may
be read with, separated by commas), KEYDECK_REGIONS, and what boto3 reads (AWS_REGION, AWS_PROFILE,
AWS_ENDPOINT_URL, …). The IAM actions needed are kms:GenerateDataKey and kms:Decrypt.
"""

from __future__ import annotations

import os
from functools import lru_cache

from crypto_core.cipher import TokenCipher
from crypto_core.envelope import Envelope, Format, classify
from crypto_core.errors import EnvelopeError, InvalidTokenError, KeydeckError, KmsError, SettingsError
from crypto_core.keyring import KmsKeyring
from crypto_core.kms import KmsApi
from crypto_core.secret import Secret

__all__ = [
    "Envelope",
    "EnvelopeError",
    "Format",
    "InvalidTokenError",
    "KeydeckError",
    "KmsApi",
    "KmsError",
    "KmsKeyring",
    "Secret",
    "SettingsError",
    "TokenCipher",
    "classify",
    "decrypt_token",
    "encrypt_token",
]


def encrypt_token(token: str) -> str:
    """Return the v1 envelope of `token` under TOKEN_ENCRYPTION_KEY_ID (one KMS call).

    Raises SettingsError without a key, InvalidTokenError for an empty or oversize token, KmsError.
    """
    return _cipher_from_environment().encrypt(token).stored


def decrypt_token(stored: str) -> str:
    """Return the token that a v1 envelope holds (one KMS call, more where several keys are trusted).

    Raises EnvelopeError for a value that is no intact v1 envelope, KmsError, SettingsError.
    """
    with _cipher_from_environment().decrypt(stored) as token:
        return token.reveal()


def _cipher_from_environment() -> TokenCipher:
    names = ("TOKEN_ENCRYPTION_KEY_ID", "KEYDECK_TRUSTED_KEYS", "KEYDECK_REGIONS")
    aws = (
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_KMS",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_SESSION_TOKEN",
    )
    return _cipher(
        *(os.environ.get(name, "") for name in names),
        context=tuple(os.environ.get(name) for name in aws),
    )


@lru_cache(maxsize=4)
def _cipher(write_key: str, trusted: str, regions: str, *, context: tuple[str | None, ...]) -> TokenCipher:
    # `context` tells apart what boto3 reads by itself.
    kms = KmsApi([r.strip() for r in regions.split(",") if r.strip()])
    keys = [k.strip() for k in trusted.split(",") if k.strip()]
    return TokenCipher(KmsKeyring(kms, write_key=write_key or None, trusted=keys))
