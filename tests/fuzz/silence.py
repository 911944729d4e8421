"""What must hold for every error: it is one of ours, and it tells nothing of what is hidden."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import crypto_core
from crypto_core.values.errors import KeydeckError
from tests.fuzz.inputs import LONGEST_INPUT, REF

T = TypeVar("T")

SLICE = 12
"""Bytes of hidden content in a row that no error may hold."""
_BETWEEN = b"\xff" * SLICE
_HOME = Path(crypto_core.__file__).parent


def attempt(
    operation: Callable[[], T], hidden: Callable[[], Iterator[bytes]] | None = None, *, named: str = ""
) -> T | KeydeckError:
    """Return what `operation` returns, or the error of ours that it raises.

    The error must hold nothing of what is `hidden`; `named` is what the caller named, which it may repeat.
    """
    try:
        return operation()
    except KeydeckError as error:
        if hidden is not None:
            require_silent(tuple(_told(error)), hidden(), named)
        return error


def require_silent(texts: tuple[str, ...], hidden: Iterator[bytes], named: str) -> None:
    """Assert that no text holds 12 bytes in a row of what is hidden, except of what the caller named."""
    content, open_to_all = _BETWEEN.join(hidden), named.encode("utf-8", "surrogatepass")
    for piece in _pieces_told(texts):
        assert piece not in content or piece in open_to_all, f"it tells {piece!r}"


def _told(error: BaseException | None) -> Iterator[str]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield str(error)
        yield from map(str, error.args)
        yield from map(str, vars(error).values())
        error = error.__cause__ or error.__context__


@lru_cache(maxsize=4096)
def _pieces_told(texts: tuple[str, ...]) -> frozenset[bytes]:
    # Messages are few and inputs many, so what they may say anyway is taken out once.
    pieces: set[bytes] = set()
    for text in texts:
        pieces |= _pieces(text.encode("utf-8", "surrogatepass"))
    return frozenset(pieces - _OWN_WORDS)


def _pieces(text: bytes) -> set[bytes]:
    return {text[start : start + SLICE] for start in range(len(text) - SLICE + 1)}


_OWN_WORDS = _pieces(str(REF).encode())
for _module in (*_HOME.glob("*.py"), *_HOME.glob("envelope/*.py")):
    _OWN_WORDS |= _pieces(_module.read_bytes())
"""What errors may say: the product's own words, and the reference of the known envelopes."""


def contents(stored: str) -> Iterator[bytes]:
    """Return what a stored value gives away: itself, its fields, what those decode to, as shown and in hex.

    What is longer than an input was built of one byte repeated, so its beginning is as good as the whole.
    """
    text = stored[:LONGEST_INPUT].encode("utf-8", "surrogatepass")
    yield text
    for field in _leniently_decoded(text).split(b"|"):
        content = _leniently_decoded(field)
        yield from (field, content, repr(content).encode(), content.hex().encode())


def _leniently_decoded(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text[: len(text) // 4 * 4])
    except binascii.Error:
        return b""
