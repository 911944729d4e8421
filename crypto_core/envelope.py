"""The stored form of one token: parse, serialise, classify, seal and open. Pure, no I/O.

    v1   = base64( "v1|" b64(EDK) "|" b64(nonce, 12 bytes) "|" b64(AES-256-GCM ciphertext and tag) )
    dev  = base64( "dev|" Fernet token )
    v2   = base64( "v2|" … )

v1 has no additional authenticated data. AES-256-GCM with a 96-bit random nonce and a 128-bit tag: NIST
SP 800-38D, sections 5.2.1.1 and 8.2.2; one data key seals one token, so a nonce can't repeat under it.
Base64 is RFC 4648 section 4 with padding, read strictly: no white space, no foreign character, no missing
padding, no bits set where the padding stands. So every envelope has exactly one stored form.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto_core.errors import (
    AuthenticationFailedError,
    InvalidTokenError,
    MalformedEnvelopeError,
    SettingsError,
    UnsupportedFormatError,
)
from crypto_core.secret import DataKey, Secret

NONCE_BYTES = 12
TAG_BYTES = 16
DATA_KEY_BYTES = 32
MAX_EDK_BYTES = 6_144
"""KMS: CiphertextBlob is at most 6,144 bytes (API reference, Decrypt)."""
MAX_TOKEN_BYTES = 65_536
"""Longest token that is sealed or opened. Providers' tokens are well under 4 KiB."""
MAX_STORED_CHARACTERS = 4 * (4 * (MAX_EDK_BYTES + MAX_TOKEN_BYTES + 64) // 3 + 64) // 3
"""Longest stored value that is looked at; a longer one is refused before it is decoded."""

EDK_PREFIX_BYTES = 37
"""Version header (5 bytes) and key material identifier (32 bytes) of a KMS symmetric ciphertext."""
_EDK_HEADER = re.compile(rb"\x01[\x00-\x0f][\x00-\x0f]\x00\x78", re.DOTALL)

DEV_KEY = "Uqktv94Z9tHa5WsVKJVtBsc-QylZWQ4wTg3_sXekPaA="
"""The platform's development key, published in its source. Anyone can open what it seals."""


class Format(StrEnum):
    """How a token is stored."""

    V1 = "v1"
    V2 = "v2"
    DEV = "dev"
    PLAINTEXT = "plaintext"
    UNRECOGNISED = "unrecognised"
    EMPTY = "empty"

    @property
    def protected(self) -> bool:
        """True where only KMS can open the token."""
        return self in (Format.V1, Format.V2)


STORED_PREFIXES: dict[Format, str] = {Format.V1: "djF8", Format.V2: "djJ8", Format.DEV: "ZGV2f"}
"""What a stored value begins with: base64 of "v1|", "v2|" and "dev|". SQL counts by these."""

PROVIDER_PREFIXES: dict[str, tuple[str, ...]] = {
    "github": ("github_pat_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    "slack": ("xoxb-", "xoxp-", "xoxa-", "xoxe-", "xoxe.", "xoxr-", "xoxs-", "xapp-"),
    "atlassian": ("ATATT3", "ATCTT3"),
}
"""What the providers' tokens begin with, by provider: a stored value like that is plaintext."""


@dataclass(frozen=True, slots=True)
class Classification:
    """What a stored value is. `provider` is set for plaintext: github, slack or atlassian."""

    format: Format
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """One parsed v1 envelope. Its fields are ciphertext, hidden from repr all the same."""

    encrypted_data_key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)
    """AES-256-GCM ciphertext followed by the 16-byte tag."""

    version = Format.V1

    @property
    def edk_prefix(self) -> bytes | None:
        """The 37 bytes that envelopes under one key material share, None where the EDK has no such header."""
        return edk_prefix(self.encrypted_data_key)


def edk_prefix(encrypted_data_key: bytes) -> bytes | None:
    """Return the EDK's first 37 bytes if it begins like a KMS symmetric ciphertext, else None.

    A hint for grouping; which key wrapped an EDK is for KMS to say.
    """
    if len(encrypted_data_key) > EDK_PREFIX_BYTES and _EDK_HEADER.match(encrypted_data_key):
        return encrypted_data_key[:EDK_PREFIX_BYTES]
    return None


def classify(stored: str | None) -> Classification:
    """Tell from its beginning what a stored value is, without decoding it."""
    if not stored:
        return Classification(Format.EMPTY)
    for format_, prefix in STORED_PREFIXES.items():
        if stored.startswith(prefix):
            return Classification(format_)
    for provider, prefixes in PROVIDER_PREFIXES.items():
        if stored.startswith(prefixes):
            return Classification(Format.PLAINTEXT, provider)
    return Classification(Format.UNRECOGNISED)


def parse(stored: str | None) -> Envelope:
    """Return the envelope that a stored v1 value holds.

    Raises MalformedEnvelopeError naming the broken field, and UnsupportedFormatError where the value is
    something other than v1.
    """
    format_ = classify(stored).format
    if stored is None or format_ is not Format.V1:
        raise UnsupportedFormatError(_NOT_V1[format_])
    if len(stored) > MAX_STORED_CHARACTERS:
        raise MalformedEnvelopeError(
            "envelope", f"{len(stored):,} characters, at most {MAX_STORED_CHARACTERS:,} are read"
        )
    fields = _decode(stored.encode("ascii", "replace"), "envelope").split(b"|")
    if len(fields) != 4:
        raise MalformedEnvelopeError("envelope", f"{len(fields)} fields, v1 has 4")
    _, edk_text, nonce_text, ciphertext_text = fields
    envelope = Envelope(
        encrypted_data_key=_decode(edk_text, "encrypted data key"),
        nonce=_decode(nonce_text, "nonce"),
        ciphertext=_decode(ciphertext_text, "ciphertext"),
    )
    _check(envelope)
    return envelope


def serialise(envelope: Envelope) -> str:
    """Return the stored form. Raises MalformedEnvelopeError for what `parse` would not read."""
    _check(envelope)
    fields = (envelope.encrypted_data_key, envelope.nonce, envelope.ciphertext)
    return base64.b64encode(b"|".join([b"v1", *map(base64.b64encode, fields)])).decode("ascii")


def seal(token: Secret, data_key: DataKey, encrypted_data_key: bytes) -> Envelope:
    """Return a v1 envelope that holds `token` under `data_key`, with a fresh random nonce.

    Raises InvalidTokenError as `require_sealable` does.
    """
    require_sealable(token)
    nonce = os.urandom(NONCE_BYTES)
    ciphertext = AESGCM(_checked(data_key).view()).encrypt(nonce, token.view(), None)
    return Envelope(encrypted_data_key=encrypted_data_key, nonce=nonce, ciphertext=ciphertext)


def require_sealable(token: Secret) -> None:
    """Raise InvalidTokenError for an empty token or one over 65,536 bytes."""
    if not len(token):
        raise InvalidTokenError("The token is empty: there is nothing to protect.")
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidTokenError(
            f"The token has {len(token):,} bytes; at most {MAX_TOKEN_BYTES:,} are sealed."
        )


def open_envelope(envelope: Envelope, data_key: DataKey) -> Secret:
    """Return the token that the envelope holds. Raises AuthenticationFailedError if the tag doesn't match."""
    _check(envelope)
    cipher = AESGCM(_checked(data_key).view())
    try:
        return Secret(cipher.decrypt(envelope.nonce, envelope.ciphertext, None))
    except InvalidTag as error:
        raise AuthenticationFailedError(
            "The envelope does not open: its authentication tag does not match its data key."
        ) from error


def open_dev(stored: str, key: str = DEV_KEY) -> Secret:
    """Return the token of a value in dev format, opened with the platform's development key.

    Raises MalformedEnvelopeError, UnsupportedFormatError for another format, and AuthenticationFailedError
    where the key is another one. `key` is a Fernet key: 32 bytes in URL-safe base64; SettingsError if not.
    """
    if classify(stored).format is not Format.DEV:
        raise UnsupportedFormatError("The value is not in dev format.")
    if len(stored) > MAX_STORED_CHARACTERS:
        raise MalformedEnvelopeError("envelope", f"{len(stored):,} characters")
    version, _, token = _decode(stored.encode("ascii", "replace"), "envelope").partition(b"|")
    if version != b"dev":
        raise MalformedEnvelopeError("envelope", "it does not begin with dev|")
    fernet = _fernet(key)
    if fernet is None:
        raise SettingsError(
            "The development key is no Fernet key: 32 bytes in URL-safe base64.",
            remedy="Set DEV_ENCRYPTION_KEY to the platform's value, or unset it.",
        )
    try:
        return Secret(fernet.decrypt(token))
    except InvalidToken as error:
        raise AuthenticationFailedError(
            "The dev value does not open under the development key.",
            remedy="If the platform sets DEV_ENCRYPTION_KEY, set the same value here.",
        ) from error


_NOT_V1: dict[Format, str] = {
    Format.V2: "The value is a v2 envelope; only v1 can be opened.",
    Format.DEV: "The value is in dev format, not an envelope: anyone can open it.",
    Format.PLAINTEXT: "The value is plaintext, not an envelope.",
    Format.UNRECOGNISED: "The value is plaintext or corrupt: it begins like no known format.",
    Format.EMPTY: "The value is empty: no token is stored.",
}


def _decode(encoded: bytes, name: str) -> bytes:
    """Decode strict base64; a field's content never reaches the error or its chain."""
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise MalformedEnvelopeError(name, "not strict base64") from error
    # b64decode lets bits stand behind the last byte; two spellings of one envelope must not both be read.
    if base64.b64encode(decoded) != encoded:
        raise MalformedEnvelopeError(name, "not canonical base64")
    return decoded


def _fernet(key: str) -> Fernet | None:
    try:
        return Fernet(key)
    except ValueError:
        # A codec's exception carries the key, so it ends here.
        return None


def _check(envelope: Envelope) -> None:
    if not 1 <= len(envelope.encrypted_data_key) <= MAX_EDK_BYTES:
        raise MalformedEnvelopeError(
            "encrypted data key",
            f"{len(envelope.encrypted_data_key):,} bytes, expected 1 to {MAX_EDK_BYTES:,}",
        )
    if len(envelope.nonce) != NONCE_BYTES:
        raise MalformedEnvelopeError("nonce", f"{len(envelope.nonce)} bytes, expected {NONCE_BYTES}")
    if not TAG_BYTES < len(envelope.ciphertext) <= MAX_TOKEN_BYTES + TAG_BYTES:
        raise MalformedEnvelopeError(
            "ciphertext",
            f"{len(envelope.ciphertext):,} bytes, expected {TAG_BYTES + 1} to "
            f"{MAX_TOKEN_BYTES + TAG_BYTES:,}",
        )


def _checked(data_key: DataKey) -> DataKey:
    if len(data_key) != DATA_KEY_BYTES:
        raise MalformedEnvelopeError("data key", f"{len(data_key)} bytes, expected {DATA_KEY_BYTES}")
    return data_key
