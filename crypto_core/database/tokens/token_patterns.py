"""What a token looks like inside other text: in a JSON document, in hex, in a sentence.

The expressions are PostgreSQL's (documentation, 9.7.3) and mean the same to Python's `re`. They know tokens
by the prefixes that the census goes by, so what it would call an envelope is found wherever it stands.

Of some values SQL can't rule out that an envelope is in them: a document in UTF-16, behind a byte order mark
or as a member of another, an envelope as the name of a member, base64 of a document, bytes that are
compressed. They are read here, one by one, and taken apart as `json.loads` and the platform's reader do. What
can't be taken apart either may hold anything.
"""

from __future__ import annotations

import binascii
import json
import re
import string
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any

from sqlalchemy import ColumnElement, and_, func

from crypto_core import envelope
from crypto_core.values.errors import EnvelopeError

LEAST_CHARACTERS = 40
LEAST_OF_A_TOKEN = 10

_BASE64 = r"[A-Za-z0-9+/_\\-]"
"""Standard and URL-safe; a backslash stands before a slash in some writers' JSON."""


_DIGITS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"


def _in_hex(prefix: str) -> str:
    digits = prefix.encode().hex()
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)


def _in_json(prefix: str) -> str:
    return "".join(rf"({letter}|\\+u00{_in_hex(letter)})" for letter in prefix)


def _stored(format_: envelope.Format) -> str:
    """A value in one of the stored formats: as it is, in JSON, in hex, or with the outer base64 taken off."""
    prefix = envelope.STORED_PREFIXES[format_]
    return (
        f"{_in_json(prefix)}{_BASE64}{{{LEAST_CHARACTERS}}}"
        f"|{_in_hex(prefix)}[0-9A-Fa-f]{{{2 * LEAST_CHARACTERS}}}"
        f"|{envelope.MARKS[format_]}[|][A-Za-z0-9+/=_-]{{{LEAST_CHARACTERS}}}"
    )


_BETWEEN = r"(\\([nrtbf]|u00[0-9A-Fa-f]{2}|[0-7]{3})?|[^A-Za-z0-9+/\\])*"
"""Foreign characters that a lenient reader skips, in JSON and in binary as PostgreSQL escapes it, too."""
_DATA_KEY_BEGINS = ("|", "A", "Q", "AEIMQUYcgkosw048", "ABCDEFGHIJKLMNOP", "A", "H", "ghij")
"""The characters that may begin an encrypted data key of KMS in base64, behind a separator."""


def _respelt() -> str:
    """The base64 of how the data key begins behind any version word, foreign characters within it or not."""
    return "|".join(_BETWEEN.join(_base64_of(_DATA_KEY_BEGINS, place)) for place in range(3))


@cache
def respelt_within() -> str:
    """Return the pattern of a v1 envelope with foreign bytes in its data key's own base64.

    Up to three of them, in one place. For PostgreSQL, which reads each character once.
    """
    any_byte = "".join(map(chr, range(256)))
    found: list[str] = []
    for place, gap, before in product(range(3), range(1, 4), range(1, len(_DATA_KEY_BEGINS))):
        parts = (*_DATA_KEY_BEGINS[:before], *gap * [any_byte], *_DATA_KEY_BEGINS[before:])
        found.append("[^A-Za-z0-9+/]*".join(_base64_of(parts, place)))
    return "|".join(found)


def _base64_of(characters: tuple[str, ...], place: int) -> Iterator[str]:
    """The base64 digits that bytes determine wholly, as classes; `place` is the first one's in its three."""
    bits = [[f"{ord(c):08b}" for c in some] for some in characters]
    for begins in range(0, 8 * (place + len(bits)), 6):
        first, last = begins // 8 - place, (begins + 5) // 8 - place
        if first < 0 or last >= len(bits):
            continue
        skipped = begins % 8
        heads = {one[skipped : skipped + 6] for one in bits[first]}
        tails = {one[: skipped - 2] for one in bits[last]} if last > first else {""}
        digits = {_DIGITS[int(head + tail, 2)] for head, tail in product(heads, tails)}
        if digits == set(_DIGITS):
            yield "[A-Za-z0-9+/]"
        else:
            yield f"[{''.join(sorted(digits))}]" if len(digits) > 1 else re.escape(digits.pop())


def _issued(prefixes: tuple[str, ...]) -> str:
    any_of_them = "|".join(map(re.escape, prefixes))
    return f"(^|[^A-Za-z0-9])({any_of_them})[A-Za-z0-9_=-]{{{LEAST_OF_A_TOKEN}}}"


PATTERNS: dict[str, str] = {
    envelope.Format.V1.value: f"{_stored(envelope.Format.V1)}|{_respelt()}",
    **{
        f.value: _stored(f)
        for f in (*envelope.ENVELOPE_FORMATS, envelope.Format.DEV)
        if f is not envelope.Format.V1
    },
    **{provider: _issued(prefixes) for provider, prefixes in envelope.PROVIDER_PREFIXES.items()},
}
"""The stored formats, then the providers with known prefixes."""

ANY_TOKEN = "|".join(f"({pattern})" for pattern in PATTERNS.values())
BEGINS_AS_TOKEN = f"^({'|'.join([*map(re.escape, envelope.STORED_PREFIXES.values())])})|^({ANY_TOKEN})"
"""A value that is a token, rather than one that holds some."""

HOLDS_ENVELOPE = "|".join(
    (
        *(f"({PATTERNS[f.value]})" for f in envelope.ENVELOPE_FORMATS),
        r"\\u00(3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa])",
        "5[Cc]7530303[3-7]",  # the same in hex
    )
)
"""A value with an envelope in it, or with letters that a writer of JSON has escaped for no good reason."""
LEAST_WITH_ENVELOPE = 200
"""The least characters of such a value."""


def holds_whole_envelope(value: str) -> bool:
    """True if a value that is no envelope by itself has a whole one in it, as it stands.

    So is one that the platform's reader opens, and that is out of bounds here.
    """
    if envelope.lenient_fields(value) is not None and not _is_envelope(value):
        return True
    marks = "|".join(re.escape(envelope.STORED_PREFIXES[f]) for f in envelope.ENVELOPE_FORMATS)
    for begins in re.finditer(f"(?=({marks}))", value):
        rest = value[begins.start() :]
        ends = [len(run[0]) for run in (re.match(r"[A-Za-z0-9+/]+={0,2}", rest),) if run]
        ends += [other.start() for other in re.finditer(f"(?=({marks}))", rest) if other.start()]
        if any(_is_envelope(rest[:end]) for end in ends if end < len(value)):
            return True
    return False


def _is_envelope(value: str) -> bool:
    try:
        envelope.parse(value)
    except EnvelopeError:
        return False
    return True


MOST_READ = 2_000
MOST_CHARACTERS = 1_000_000
_DEPTH = 6

_COMPRESSED = (b"\x1f\x8b", b"x\x9c", b"x\x01", b"x\xda", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd")
_HOLDS = re.compile(HOLDS_ENVELOPE)
_PARTS = re.compile(rb"[\"'{}\[\],:;<>()]")
_STRUCTURED = r"^[\s\ufeff]*[\\{\[\"]|^\s*(ey|ew|W|H4sI|eJ)[A-Za-z0-9+/_=\s-]*$"
"""Begins like JSON or like bytes in hex, or is base64 of JSON or of compressed bytes as a whole."""


def needs_reading(stored: Any) -> ColumnElement[bool]:
    """For values in which SQL finds no envelope."""
    return and_(func.length(stored) >= LEAST_WITH_ENVELOPE, stored.regexp_match(_STRUCTURED))


def may_hold_envelope(stored: str) -> bool:
    """False only if it is ruled out that a value has an envelope in it which the platform's reader opens."""
    if len(stored) > MOST_CHARACTERS:
        return True
    content = (
        envelope.content_of(stored) if stored.startswith("\\x") else stored.encode("utf-8", "surrogatepass")
    )
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
    yield from (piece.decode() for piece in _PARTS.split(content))


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
    if envelope.classify(text).format.protected or _HOLDS.search(text):
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
