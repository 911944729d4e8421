"""One value in bytes: from where it begins to where it ends, its escapes undone, and what it is.

A value that begins like an envelope counts as one only if it is parsed strictly; what has the beginning of an
envelope and is none, because it is cut, wrapped or damaged, is damaged. Random base64 is neither.
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64decode
from binascii import Error as Base64Error
from binascii import a2b_base64, unhexlify
from dataclasses import dataclass

from crypto_core.envelope import (
    ENVELOPE_FORMATS,
    MARKS,
    MAX_STORED_CHARACTERS,
    PROVIDER_PREFIXES,
    STORED_PREFIXES,
    VERSIONS,
    Envelope,
    Format,
    parse,
)
from crypto_core.values.errors import EnvelopeError

LONGEST = MAX_STORED_CHARACTERS + 64
"""Bytes of the longest value, with its padding escaped."""
BEFORE = 256
"""Bytes before a value that tell about it: a letter, or the length that a page of PostgreSQL's has."""
MARGIN = 32
"""Bytes behind a value, within which its end is not decided before they are there."""
LEAST_CHARACTERS = 44
"""Characters of an envelope at the least; less than these is no damaged one either."""

_LETTER = rb"[A-Za-z0-9]"
"""All that envelopes have of base64: what they encode is letters, digits and a few signs."""
_RUN = re.compile(_LETTER + rb"+(?:={1,2}|(?:\\{1,4}u003[dD]){1,2})?")
_ESCAPED = re.compile(rb"\\+u003[dD]")
"""A padding as some writers of JSON escape it, whose backslash COPY and strings double."""
_BASE64 = rb"[A-Za-z0-9+/]"
_FIELD = rb"(?:" + _BASE64 + rb"{4})*(?:" + _BASE64 + rb"{2}==|" + _BASE64 + rb"{3}=)?"
_LEAST_ISSUED = 10
_ISSUED = re.compile(rb"[A-Za-z0-9_=-]{%d,}" % _LEAST_ISSUED)
_HEX = re.compile(rb"[0-9A-Fa-f]+")
_WIDTHS = (64, 76)
"""Characters of a line, where tools wrap base64: PEM's and MIME's."""
_VARLENA = 4
"""Bytes of the length that PostgreSQL stores before a text of more than 126 bytes."""


@dataclass(frozen=True, slots=True)
class Head:
    format: Format
    provider: str | None = None
    in_hex: bool = False


def _heads() -> dict[bytes, Head]:
    plain = {prefix.encode(): Head(format_) for format_, prefix in STORED_PREFIXES.items()}
    for provider, prefixes in PROVIDER_PREFIXES.items():
        plain |= {prefix.encode(): Head(Format.PLAINTEXT, provider) for prefix in prefixes}
    hexed = {head.hex().encode(): Head(w.format, w.provider, in_hex=True) for head, w in plain.items()}
    return plain | hexed


HEADS: dict[bytes, Head] = _heads()
"""By how they begin, as they stand and in hex, in small letters."""
LONGEST_HEAD = max(map(len, HEADS))
_MARKED = {
    **{f: re.compile(MARKS[f].encode() + rb"\|" + _BASE64 + rb"{9}") for f in ENVELOPE_FORMATS},
    Format.DEV: re.compile(rb"dev\|gAAAA"),
}
"""What the first characters of a value decode to, so that random base64 is not taken for a damaged one."""
_MARKED_CHARACTERS = 16
V1_RUN = re.compile(
    re.escape(STORED_PREFIXES[Format.V1].encode())
    + rb"(?:[K-OQ-WY-e][A-Za-z0-9]{2}[B-Zah-z0-6]){3}[A-Za-z0-9]*={0,2}"
)
"""A run that begins as v1 does: its mark, and nine letters of base64 in base64."""
_INNER = {
    **{
        f: re.compile(MARKS[f].encode() + rb"(?:\|" + _FIELD + rb"){%d}" % len(version.field_names))
        for f, version in VERSIONS.items()
    },
    Format.DEV: re.compile(rb"dev\|gAAA(?:[A-Za-z0-9_-]{4})+(?:[A-Za-z0-9_-]{2}==|[A-Za-z0-9_-]{3}=)?"),
}
_FOREIGN = re.compile(rb"[^A-Za-z0-9+/=_-]")
_FERNET_BYTES = 57
"""Bytes of a Fernet token besides its ciphertext, which is whole blocks (Fernet spec, "Token Format")."""
_BLOCK = 16


@dataclass(frozen=True, slots=True, repr=False)
class FoundValue:
    """A value in some bytes. `end` is where the search goes on."""

    end: int
    format: Format | None = None
    provider: str | None = None
    text: bytes = b""
    """The value without escapes, to be told from others; never shown."""
    envelope: Envelope | None = None
    damaged: bool = False


def read_run(data: bytes, at: int, end: int, *, final: bool) -> FoundValue | None:
    """Return what stands between `at` and `end`, which `V1_RUN` found; as `read_value`."""
    if not final and end + MARGIN > len(data) and end - at < LONGEST:
        return None
    if data[end : end + 1] != b"\\" and end - at <= LONGEST:
        envelope = _parsed(data[at:end])
        if envelope is not None and not 0 < _stored_length(data, at) < end - at:
            return FoundValue(end, Format.V1, text=data[at:end], envelope=envelope)
    return _stored(data, at, Format.V1, final)


def read_value(data: bytes, at: int, head: bytes, *, final: bool) -> FoundValue | None:
    """Return what stands at `at`, where `head` was found; None if that needs more bytes, not if `final`."""
    what = HEADS[head]
    if what.in_hex:
        return _hexed(data, at, unhexlify(head), final)
    if what.format is Format.PLAINTEXT:
        return _issued(data, at, len(head), what, final)
    return _stored(data, at, what.format, final)


def _stored(data: bytes, at: int, format_: Format, final: bool) -> FoundValue | None:
    begins = data[at : at + _MARKED_CHARACTERS]
    if len(begins) < _MARKED_CHARACTERS and not final:
        return None
    if not _MARKED[format_].match(_decoded(begins)):
        return FoundValue(at + 1)
    run = _RUN.match(data, at, at + LONGEST)
    end = run.end() if run else at + 1
    if not final and end + MARGIN > len(data) and end - at < LONGEST:
        return None
    text = data[at:end]
    if b"\\" in text:
        text = _ESCAPED.sub(b"=", text)
    length = _stored_length(data, at)
    if 0 < length < len(text) and (value := _value(text[:length], at + length, format_)):
        return value
    return _value(text, end, format_) or _within(data, at, end, text, format_, final)


def _stored_length(data: bytes, at: int) -> int:
    """The length that stands before a text of more than 126 bytes in PostgreSQL's pages; 0 for none."""
    header = int.from_bytes(data[at - _VARLENA : at], "little") if at >= _VARLENA else 1
    return 0 if header & 3 else (header >> 2) - _VARLENA


def _within(data: bytes, at: int, end: int, text: bytes, format_: Format, final: bool) -> FoundValue | None:
    """A value that something runs into, or whose lines are wrapped; else a damaged one."""
    after = _next_head(text)
    for length in _lengths(text[:after], format_):
        if value := _value(text[:length], at + length, format_):
            return value
    if end - at in _WIDTHS and data[end : end + 1] in (b"\r", b"\n"):
        wrapped = _unwrapped(data, at, end - at, final)
        if wrapped is None:
            return None
        if value := _value(*wrapped, format_):
            return value
    return FoundValue(at + after if after < len(text) else end, format_, damaged=True)


def _next_head(text: bytes) -> int:
    """Where the next value begins that runs into this one; its length for none."""
    places = [text.find(prefix.encode(), LEAST_CHARACTERS) for prefix in STORED_PREFIXES.values()]
    return min((place for place in places if place > 0), default=len(text))


def _lengths(text: bytes, format_: Format) -> list[int]:
    """Where a value may end before the run does: at the next value or at other text, not where it is cut."""
    decoded = _decoded(text)
    inner = _INNER[format_].match(decoded)
    lengths = [len(text)]
    if inner and not inner.end() % 3 and _FOREIGN.search(decoded, inner.end(), inner.end() + 4):
        lengths.append(inner.end() // 3 * 4)
    return [length for length in lengths if LEAST_CHARACTERS <= length <= len(text)]


def _unwrapped(data: bytes, at: int, width: int, final: bool) -> tuple[bytes, int] | None:
    """The lines of one width from here on, and the shorter one behind, as one; None to wait for more."""
    line = rb"\r?\n[ \t]*" + _BASE64
    lines = re.compile(
        _BASE64 + rb"{%d}(?:%s{%d})*(?:%s{1,%d}={0,2}|={0,2})" % (width, line, width, line, width)
    )
    found = lines.match(data, at, at + LONGEST)
    end = found.end() if found else at + 1
    if not final and end + MARGIN > len(data) and end - at < LONGEST:
        return None
    return b"".join(data[at:end].split()), end


def _value(text: bytes, end: int, format_: Format) -> FoundValue | None:
    if format_.protected:
        envelope = _parsed(text)
        return FoundValue(end, format_, text=text, envelope=envelope) if envelope else None
    inner = _decoded(text)
    whole = b64encode(inner) == text and _INNER[format_].fullmatch(inner) and _is_fernet(inner[4:])
    return FoundValue(end, format_, text=text) if whole else None


def _is_fernet(token: bytes) -> bool:
    try:
        blocks = len(urlsafe_b64decode(token)) - _FERNET_BYTES
    except Base64Error:
        return False
    return blocks >= _BLOCK and blocks % _BLOCK == 0


def _issued(data: bytes, at: int, head: int, what: Head, final: bool) -> FoundValue | None:
    """A token as its provider issued it, where no other word runs into it, or a page tells its length."""
    found = _ISSUED.match(data, at + head, at + LONGEST)
    end = found.end() if found else at + head
    if not final and end + MARGIN > len(data) and end - at < LONGEST:
        return None
    if found is None:
        return FoundValue(at + 1)
    for length in (_short_length(data, at), _stored_length(data, at)):
        if head + _LEAST_ISSUED <= length <= end - at:
            return FoundValue(at + length, Format.PLAINTEXT, what.provider, data[at : at + length])
    if data[max(at - 1, 0) : at].isalnum():
        return FoundValue(at + 1)
    return FoundValue(end, Format.PLAINTEXT, what.provider, data[at:end])


def _short_length(data: bytes, at: int) -> int:
    """The length that stands before a text of up to 126 bytes in PostgreSQL's pages; 0 for none.

    It is a byte that a sign before a token may be too: it is one only among bytes that are no text.
    """
    header = data[at - 1] if at else 0
    if not header & 1 or b"\0" not in data[max(at - BEFORE, 0) : at]:
        return 0
    return (header >> 1) - 1


def _hexed(data: bytes, at: int, head: bytes, final: bool) -> FoundValue | None:
    found = _HEX.match(data, at, at + 2 * LONGEST)
    end = found.end() if found else at + 1
    whole = final or end < len(data) or end - at >= 2 * LONGEST
    begins = at - 2 if at >= 2 and _HEX.fullmatch(data, at - 2, at) else at
    text = unhexlify(data[begins : end - (end - at) % 2])
    skipped = (at - begins) // 2
    inner = read_value(text, skipped, head, final=whole)
    if inner is None:
        return None
    length = max(inner.end - skipped, 1)
    return FoundValue(
        at + 2 * length, inner.format, inner.provider, inner.text, inner.envelope, inner.damaged
    )


def _parsed(text: bytes) -> Envelope | None:
    try:
        return parse(text.decode("ascii"))
    except EnvelopeError:
        return None


def _decoded(text: bytes) -> bytes:
    whole = text.rstrip(b"=")
    try:
        return a2b_base64(whole[: len(whole) // 4 * 4]) + _last(text)
    except Base64Error:
        return b""


def _last(text: bytes) -> bytes:
    if not text.endswith(b"=") or len(text) % 4:
        return b""
    try:
        return a2b_base64(text[-4:], strict_mode=True)
    except Base64Error:
        return b""
