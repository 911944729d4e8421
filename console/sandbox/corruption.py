"""Eight ways in which a stored token is broken, as operators have met them."""

from __future__ import annotations

import base64
from dataclasses import replace
from enum import StrEnum

from crypto_core.envelope import EnvelopeV1, Format, serialise


class Corruption(StrEnum):
    TRUNCATED = "truncated envelope"
    WRONG_ALPHABET = "wrong alphabet inside"
    DOUBLE_BASE64 = "double base64"
    FLIPPED_BIT = "flipped ciphertext bit"
    GARBAGE = "garbage text"
    EMPTY = "empty string"
    SWAPPED_DATA_KEY = "another token's encrypted data key"
    MISSING_PADDING = "missing padding"

    @property
    def looks_like(self) -> Format:
        match self:
            case Corruption.DOUBLE_BASE64 | Corruption.GARBAGE:
                return Format.UNRECOGNISED
            case Corruption.EMPTY:
                return Format.EMPTY
            case _:
                return Format.V1


def corrupt(kind: Corruption, envelope: EnvelopeV1, other_encrypted_data_key: bytes) -> str:
    """Return `envelope` broken in that way. What still looks like v1 keeps its head, so its key is known."""
    stored = serialise(envelope)
    match kind:
        case Corruption.TRUNCATED:
            return stored[: len(stored) // 2]
        case Corruption.WRONG_ALPHABET:
            middle = len(stored) * 3 // 4
            return f"{stored[:middle]}*{stored[middle + 1 :]}"
        case Corruption.DOUBLE_BASE64:
            return base64.b64encode(stored.encode()).decode()
        case Corruption.FLIPPED_BIT:
            first, rest = envelope.ciphertext[0], envelope.ciphertext[1:]
            return serialise(replace(envelope, ciphertext=bytes([first ^ 1]) + rest))
        case Corruption.GARBAGE:
            return "[object Object]"
        case Corruption.EMPTY:
            return ""
        case Corruption.SWAPPED_DATA_KEY:
            return serialise(replace(envelope, encrypted_data_key=other_encrypted_data_key))
        case Corruption.MISSING_PADDING:
            return _without_padding(envelope)


def _without_padding(envelope: EnvelopeV1) -> str:
    """The whole value or, where that has no padding, one of its fields has lost its "=" signs."""
    stored = serialise(envelope)
    if stored.endswith("="):
        return stored.rstrip("=")
    fields = base64.b64decode(stored)
    return base64.b64encode(fields.rstrip(b"=")).decode().rstrip("=")
