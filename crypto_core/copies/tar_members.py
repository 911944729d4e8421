"""The members of a tar archive, read from front to back (POSIX.1-1988 and 2001, GNU)."""

from __future__ import annotations

from collections.abc import Iterator

from crypto_core.copies.streams import BrokenStreamError, ByteStream

RECORD = 512
_MAGIC = slice(257, 262)
_LONGEST_NAME = 4096
_LONG_NAME, _EXTENDED = b"L", b"x"
_WITHOUT_DATA = b"123456"
"""Links, devices, folders and pipes."""


def is_tar(begins: bytes) -> bool:
    """True for what begins like a tar archive whose first header has the right sum."""
    return begins[_MAGIC] == b"ustar" and _sum_is_right(begins[:RECORD])


def members(stream: ByteStream) -> Iterator[tuple[str, ByteStream]]:
    """Return each member's name and content, to be read at once.

    Raises BrokenStreamError for an archive that ends too early or has a damaged header.
    """
    named = ""
    while header := stream.peek(RECORD):
        if not header.strip(b"\0"):
            stream.skip_rest()
            return
        header = stream.exactly(RECORD, "the tar archive")
        if not _sum_is_right(header):
            raise BrokenStreamError("the tar archive has a damaged header")
        size, kind = _number(header[124:136]), header[156:157]
        if kind in _WITHOUT_DATA and kind:
            size = 0
        content = stream.part(size, "the tar archive")
        if kind in (_LONG_NAME, _EXTENDED) and size <= _LONGEST_NAME:
            named = _named(content.exactly(size, "the tar archive"), kind) or named
        else:
            yield named or _text(header[:100]), content
            named = ""
        content.skip_rest()
        stream.exactly(-size % RECORD, "the tar archive")


def _named(content: bytes, kind: bytes) -> str:
    if kind == _LONG_NAME:
        return _text(content)
    paths = (line.partition(b" path=")[2] for line in content.split(b"\n"))
    return next((_text(path) for path in paths if path), "")


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def _number(raw: bytes) -> int:
    """Octal digits, or binary where the first bit is set. Raises BrokenStreamError."""
    if raw[0] & 0x80:
        return int.from_bytes(bytes([raw[0] & 0x3F]) + raw[1:], "big")
    try:
        return int(raw.strip(b" \0") or b"0", 8)
    except ValueError as error:
        raise BrokenStreamError("the tar archive has a damaged header") from error


def _sum_is_right(header: bytes) -> bool:
    try:
        told = int(header[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return told == sum(header[:148]) + 8 * 32 + sum(header[156:])
