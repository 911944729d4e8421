"""Texts, fields and choices drawn from an input's bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import atheris

from tests.fuzz.inputs import FIELDS, LENGTHS, LONG_LENGTHS

T = TypeVar("T")


def text_of(payload: bytes) -> str:
    """Return the bytes as text; what is no UTF-8 becomes lone surrogates, which a str may hold too."""
    return payload.decode("utf-8", "surrogateescape")


def pick(provider: atheris.FuzzedDataProvider, options: Sequence[T]) -> T:
    place: int = provider.ConsumeIntInRange(0, len(options) - 1)
    return options[place]


def piece(provider: atheris.FuzzedDataProvider) -> str:
    """Return a text of at most 80 bytes."""
    return text_of(provider.ConsumeBytes(provider.ConsumeIntInRange(0, 80)))


def field(provider: atheris.FuzzedDataProvider) -> bytes:
    """Return an envelope's field: literal, of a length near a bound, known, or known but damaged."""
    kind = provider.ConsumeIntInRange(0, 3)
    if kind == 0:
        return bytes(provider.ConsumeBytes(provider.ConsumeIntInRange(0, 64)))
    if kind == 1:
        # A provider that has run out gives 0, and long fields are slow.
        lengths = LENGTHS if provider.ConsumeIntInRange(0, 63) < 63 else LONG_LENGTHS
        return bytes([provider.ConsumeIntInRange(0, 255)]) * pick(provider, lengths)
    known = bytearray(pick(provider, FIELDS))
    if kind == 2:
        known[provider.ConsumeIntInRange(0, len(known) - 1)] ^= provider.ConsumeIntInRange(0, 255)
    return bytes(known)
