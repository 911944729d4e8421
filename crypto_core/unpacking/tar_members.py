"""The members of a tar archive, read from front to back (POSIX.1-1988 and 2001, GNU)."""

from __future__ import annotations

from collections.abc import Iterator

from crypto_core.unpacking.streams import BrokenStreamError, ByteStream

RECORD = 512
_MAGIC = slice(257, 262)
_LONGEST_NAME = 4096
_LONG_NAME = b"L"
_ABOUT_THE_NEXT = (_LONG_NAME, b"x")
_FILES = (b"0", b"\0", b"7")
_WITHOUT_DATA = b"123456"
"""Links, devices, folders and pipes."""


def is_tar(begins: bytes) -> bool:
    """True for what begins like a tar archive whose first header has the right sum."""
    return begins[_MAGIC] == b"ustar" and _sum_is_right(begins[:RECORD])


def members(stream: ByteStream) -> Iterator[tuple[str, ByteStream, bool]]:
    """Return each member's name, its content, to be read at once, and whether it is a plain file.

    Raises BrokenStreamError for an archive that ends too early or has a damaged header.
    """
    named, larger, ended = "", None, False
    while header := stream.peek(RECORD):
        header = stream.exactly(RECORD, "the tar archive")
        if not header.strip(b"\0"):
            ended = True
            continue
        if not _sum_is_right(header):
            raise BrokenStreamError("the tar archive has a damaged header")
        size, kind, ended = _number(header[124:136]), header[156:157], False
        if kind in _WITHOUT_DATA and kind:
            size = 0
        if larger is not None and kind in _FILES:
            size = larger
        content = stream.part(size, "the tar archive")
        if kind in _ABOUT_THE_NEXT and size <= _LONGEST_NAME:
            text = content.exactly(size, "the tar archive")
            named, larger = (_text(text), larger) if kind == _LONG_NAME else _extended(text, named)
        else:
            yield named or _text(header[:100]), content, kind in _FILES
            named, larger = "", None
        content.skip_rest()
        stream.exactly(-size % RECORD, "the tar archive")
    if not ended:
        raise BrokenStreamError("the tar archive is cut short")


def _extended(content: bytes, named: str) -> tuple[str, int | None]:
    """The name and the size in an extended header, each where it has one."""
    fields = dict(line.partition(b" ")[2].partition(b"=")[::2] for line in content.split(b"\n"))
    size = fields.get(b"size", b"")
    return _text(fields.get(b"path", b"")) or named, int(size) if size.isdigit() else None


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
