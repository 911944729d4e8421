"""Bounds of an envelope's fields, their strict base64, and the lenient base64 of the platform's own reader.

Base64 is RFC 4648 section 4 with padding, written and first read strictly: no white space, no foreign
character, no missing padding, no bits set where the padding stands. The platform reads v1 with Python's
`base64.b64decode`, which skips foreign characters and stops behind padding, and it ignores the version word:
`lenient_fields` is that reader, and `database.tokens.spellings` the same in SQL.
"""

from __future__ import annotations

import binascii
import re
import string

from crypto_core.values.errors import MalformedEnvelopeError

NONCE_BYTES = 12
TAG_BYTES = 16
DATA_KEY_BYTES = 32
MAX_EDK_BYTES = 6_144
"""KMS: CiphertextBlob is at most 6,144 bytes (API reference, Decrypt)."""
MAX_KEY_ARN_BYTES = 120
"""The longest key ARN of today's partitions and Regions has 92 bytes."""
MAX_TOKEN_BYTES = 65_536
"""Longest token that is sealed or opened. Providers' tokens are well under 4 KiB."""
MAX_STORED_CHARACTERS = 4 * (4 * (MAX_KEY_ARN_BYTES + MAX_EDK_BYTES + MAX_TOKEN_BYTES + 192) // 3 + 64) // 3
"""Longest stored value that is looked at; a longer one is refused before it is decoded."""

EDK_PREFIX_BYTES = 37
"""Version header (5 bytes) and key material identifier (32 bytes) of a KMS symmetric ciphertext."""
_EDK_HEADER = re.compile(rb"\x01[\x00-\x0f][\x00-\x0f]\x00\x78", re.DOTALL)

LEAST_V1_CHARACTERS = 64
"""Characters of the shortest v1 value that any reader opens: of fields of 1, 12 and 17 bytes."""

_IN_HEX = re.compile(r"\\x([0-9a-f]{2})+")
_a2b = binascii.a2b_base64
_DIGITS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
_LAST_CHARACTERS = frozenset(
    ending.encode()
    for ending in (
        *(f"{last}==" for last in _DIGITS[::16]),
        *(f"{digit}{last}=" for digit in _DIGITS for last in _DIGITS[::4]),
    )
)
"""What a last group of 1 or 2 bytes ends with, its spare bits zero: three characters, padding among them."""


def edk_prefix(encrypted_data_key: bytes) -> bytes | None:
    """Return the EDK's first 37 bytes if it begins like a KMS symmetric ciphertext, else None.

    A hint for grouping; which key wrapped an EDK is for KMS to say.
    """
    if len(encrypted_data_key) > EDK_PREFIX_BYTES and _EDK_HEADER.match(encrypted_data_key):
        return encrypted_data_key[:EDK_PREFIX_BYTES]
    return None


def decode(encoded: bytes, name: str) -> bytes:
    """Decode strict base64. Raises MalformedEnvelopeError naming the field; its content is never told."""
    try:
        decoded = _a2b(encoded, strict_mode=True)
    except binascii.Error as error:
        raise MalformedEnvelopeError(name, "not strict base64") from error
    # Strict mode lets padding stand behind a whole group, and bits behind the last byte of an incomplete one;
    # two spellings of one envelope must not both be read.
    if encoded.endswith(b"=") and (len(encoded) % 4 or encoded[-3:] not in _LAST_CHARACTERS):
        raise MalformedEnvelopeError(name, "not canonical base64")
    return decoded


def lenient_fields(stored: str) -> tuple[bytes, bytes, bytes] | None:
    """Return EDK, nonce and ciphertext as the platform's reader takes them from a v1 value; None if it can't.

    Bytes that are no text are given in hex, as PostgreSQL prints them. No upper bound is checked.
    """
    if len(stored) < LEAST_V1_CHARACTERS:
        return None
    try:
        _, *parts = _a2b(content_of(stored)).split(b"|")
        edk, nonce, ciphertext = map(_a2b, parts)
    except ValueError:  # binascii.Error is one; so is another number of fields
        return None
    whole = edk and len(nonce) == NONCE_BYTES and len(ciphertext) > TAG_BYTES
    return (edk, nonce, ciphertext) if whole else None


def decode_leniently(stored: str, name: str) -> bytes:
    """Decode base64 as the platform does. Raises MalformedEnvelopeError naming the field."""
    try:
        return _a2b(content_of(stored))
    except binascii.Error as error:
        raise MalformedEnvelopeError(name, "not base64") from error


def content_of(stored: str) -> bytes:
    """Return a stored value in bytes, of which those of base64 count."""
    if _IN_HEX.fullmatch(stored):
        return bytes.fromhex(stored[2:])
    return stored.encode("ascii", "replace")


def encode(content: bytes) -> bytes:
    return binascii.b2a_base64(content, newline=False)


def bounded(name: str, content: bytes | bytearray | memoryview, least: int, most: int) -> None:
    """Raise MalformedEnvelopeError unless `content` has from `least` to `most` bytes."""
    if not least <= len(content) <= most:
        expected = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        raise MalformedEnvelopeError(name, f"{len(content):,} bytes, expected {expected}")
