"""Values that are no envelope by themselves, of which SQL can't rule out that one is in them.

A document in UTF-16, behind a byte order mark or as a member of another, an envelope as the name of a member,
base64 of a document, bytes that are compressed: such values are read here, one by one, and taken apart as
`json.loads` and the platform's reader do. What can't be taken apart either may hold anything.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, and_, func

from crypto_core.database.tokens.token_patterns import HOLDS_ENVELOPE, LEAST_WITH_ENVELOPE
from crypto_core.envelope import classify, content_of

MOST_READ = 2_000
"""Values of one census that are read; of more, none is ruled out."""
MOST_CHARACTERS = 1_000_000
"""A longer value is not read, and not ruled out."""
_DEPTH = 6
"""Values within values that are taken apart."""

_COMPRESSED = (b"\x1f\x8b", b"x\x9c", b"x\x01", b"x\xda", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd")
"""Begins gzip, zlib, bzip2, xz and Zstandard."""
_HOLDS = re.compile(HOLDS_ENVELOPE)
_BETWEEN = re.compile(rb"[\"'{}\[\],:;<>()]")
_STRUCTURED = r"^[\s\ufeff]*[\\{\[\"]|^\s*(ey|ew|W|H4sI|eJ)[A-Za-z0-9+/_=\s-]*$"
"""Begins like JSON or like bytes in hex, or is base64 of JSON or of compressed bytes as a whole."""


def needs_reading(stored: Any) -> ColumnElement[bool]:
    """True for values that have to be read, to be asked of those in which SQL finds no envelope."""
    return and_(func.length(stored) >= LEAST_WITH_ENVELOPE, stored.regexp_match(_STRUCTURED))


def may_hold_envelope(stored: str) -> bool:
    """False only if it is ruled out that a value has an envelope in it which the platform's reader opens."""
    if len(stored) > MOST_CHARACTERS:
        return True
    content = content_of(stored) if stored.startswith("\\x") else stored.encode("utf-8", "surrogatepass")
    return _may_hold(content, _DEPTH)


def _may_hold(content: bytes, depth: int) -> bool:
    if len(content) < LEAST_WITH_ENVELOPE:
        return False
    if not depth:
        return True
    texts = list(_texts(content))
    if not texts:
        return True
    return any(_is_in(text, content, depth) for text in texts)


def _texts(content: bytes) -> Iterator[str]:
    """The strings of a JSON document, names too; of what is no JSON, its text and the pieces of that."""
    try:
        yield from _strings(json.loads(content))
        return
    except (ValueError, RecursionError):
        pass
    try:
        yield content.decode()
    except UnicodeDecodeError:
        return
    yield from (piece.decode() for piece in _BETWEEN.split(content))


def _strings(value: Any) -> Iterator[str]:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            left += one
        elif isinstance(one, str):
            yield one
    yield ""


def _is_in(text: str, of: bytes, depth: int) -> bool:
    if classify(text).format.protected or _HOLDS.search(text):
        return True
    own = text.encode("utf-8", "surrogatepass")
    if own != of and own[:1] in (b"{", b"[", b'"') and _may_hold(own, depth - 1):
        return True
    try:
        inner = binascii.a2b_base64(text.encode("ascii", "replace"))
    except binascii.Error:
        return False
    if inner.startswith(_COMPRESSED):
        return True
    return inner.lstrip()[:1] in (b"{", b"[", b'"') and _may_hold(inner, depth - 1)
