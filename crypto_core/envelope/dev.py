"""The platform's development format: base64( "dev|" Fernet token ), under a key that is public."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from crypto_core.envelope.fields import MAX_STORED_CHARACTERS, decode_leniently, encode
from crypto_core.envelope.formats import Format, classify
from crypto_core.values import errors
from crypto_core.values.secret import Secret

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

DEV_KEY = "Uqktv94Z9tHa5WsVKJVtBsc-QylZWQ4wTg3_sXekPaA="
"""The platform's development key, published in its source. Anyone can open what it seals."""


def open_dev(stored: str, key: str = DEV_KEY) -> Secret:
    """Return the token of a value in dev format, opened with the platform's development key.

    Raises MalformedEnvelopeError, UnsupportedFormatError for another format, and AuthenticationFailedError
    where the key is another one. `key` is a Fernet key: 32 bytes in URL-safe base64; SettingsError if not.
    """
    from cryptography.fernet import InvalidToken

    if classify(stored).format is not Format.DEV:
        raise errors.UnsupportedFormatError("The value is not in dev format.")
    if len(stored) > MAX_STORED_CHARACTERS:
        raise errors.MalformedEnvelopeError("envelope", f"{len(stored):,} characters")
    version, _, token = decode_leniently(stored, "envelope").partition(b"|")
    if version != b"dev":
        raise errors.MalformedEnvelopeError("envelope", "it does not begin with dev|")
    fernet = _fernet(key)
    try:
        return Secret(fernet.decrypt(token))
    except InvalidToken as error:
        raise errors.AuthenticationFailedError(
            "The dev value does not open under the development key.",
            remedy="If the platform sets DEV_ENCRYPTION_KEY, set the same value here.",
        ) from error


def seal_dev(token: Secret, key: str = DEV_KEY) -> str:
    """Return a token in dev format, unprotected. Raises SettingsError where `key` is no Fernet key."""
    return encode(b"dev|" + _fernet(key).encrypt(token.reveal().encode())).decode("ascii")


def _fernet(key: str) -> Fernet:
    from cryptography.fernet import Fernet

    # A codec's exception carries the key, so it ends here.
    with suppress(ValueError):
        return Fernet(key)
    raise errors.SettingsError(
        "The development key is not a Fernet key: 32 bytes in URL-safe base64.",
        remedy="Set DEV_ENCRYPTION_KEY to the platform's value, or unset it.",
    )
