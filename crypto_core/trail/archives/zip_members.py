"""The members of a zip archive, read by its directory: of a file, or of bytes in memory (APPNOTE 6.3.10).

The directory is read entry by entry, and never held; each member is unpacked as it is read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from crypto_core.trail.archives.packings import BZIP2, DEFLATE, LZMA, XZ, ZSTD, Packing, unpacked
from crypto_core.trail.archives.streams import BLOCK, BrokenStreamError, ByteStream, UnpackingLimit

MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
MOST_MEMBERS = 1_000_000
_STORED, _LZMA = 0, 14
_PACKINGS: dict[int, Packing] = {8: DEFLATE, 12: BZIP2, _LZMA: LZMA, 93: ZSTD, 95: XZ}
_ENCRYPTED, _HAS_END_MARK, _UTF_8 = 0x1, 0x2, 0x800
_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_END = struct.Struct("<4s4H2IH")
_END_64, _LOCATOR_64 = struct.Struct("<4sQ2H2I4Q"), struct.Struct("<4sIQI")
_LONGEST_COMMENT = 1 << 16
_IN_EXTRA = (1 << 32) - 1
"""The number that stands for one in the zip64 field."""


@dataclass(frozen=True, slots=True)
class _ZipEntry:
    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    at: int

    @property
    def text(self) -> str:
        return self.name.decode("utf-8" if self.flags & _UTF_8 else "cp437", "replace")


def members(
    file: IO[bytes], limit: UnpackingLimit, *, layer: int = 0
) -> Iterator[tuple[str, ByteStream | str]]:
    """Return each member's name, and its content, to be read at once, or why it can't be read.

    `layer` is that of the stream which the file stands for. Raises BrokenStreamError for content that is no
    zip archive or damaged, and beyond MOST_MEMBERS; reading a member raises as `unpacked`.
    """
    number = 0
    for entry, shift in _entries(file):
        if entry.name.endswith(b"/"):
            continue
        number += 1
        if number > MOST_MEMBERS:
            raise BrokenStreamError(f"the zip archive has more than {MOST_MEMBERS:,} members")
        if entry.flags & _ENCRYPTED:
            yield entry.text, "is encrypted, and not read"
        elif entry.method != _STORED and entry.method not in _PACKINGS:
            yield entry.text, "is packed in a way that is not read: unpack the archive first"
        else:
            try:
                content = _content(file, entry, shift, limit, layer)
            except BrokenStreamError as error:
                yield entry.text, error.message
            else:
                yield entry.text, content


def _content(file: IO[bytes], entry: _ZipEntry, shift: int, limit: UnpackingLimit, layer: int) -> ByteStream:
    begin = entry.at + shift
    local = _LOCAL.unpack(_at(file, begin, _LOCAL.size))
    begin += _LOCAL.size
    if local[0] != MAGICS[0] or _at(file, begin, local[-2]) != entry.name:
        raise _damaged()
    raw = _raw(file, begin + local[-2] + local[-1], entry.packed, layer)
    if entry.method == _STORED:
        return _checked(_counted(raw, limit), entry)
    packing, head = _PACKINGS[entry.method], b""
    if entry.method == _LZMA:
        # Version, length of the properties, properties; the form that stands alone has the size behind them.
        head = raw.exactly(9, "the zip archive")[4:]
        head += struct.pack("<q", -1 if entry.flags & _HAS_END_MARK else entry.size)
    return _checked(unpacked(raw, packing, limit, head), entry)


def _checked(inner: ByteStream, entry: _ZipEntry) -> ByteStream:
    """The stream, which breaks off at its end unless its size and sum are those that the directory names."""
    crc = 0

    def pull(size: int) -> bytes:
        nonlocal crc
        piece = inner.read(size)
        crc = zlib.crc32(piece, crc)
        if inner.offset > entry.size or (
            size and not piece and (inner.offset, crc) != (entry.size, entry.crc)
        ):
            raise _damaged()
        return piece

    return ByteStream(pull, inner.layer)


def _counted(inner: ByteStream, limit: UnpackingLimit) -> ByteStream:
    """The stream, counted like an unpacked one: entries may name the same bytes again and again."""

    def pull(size: int) -> bytes:
        piece = inner.read(size)
        limit.add(len(piece))
        return piece

    return ByteStream(pull, inner.layer)


def _raw(file: IO[bytes], begin: int, size: int, layer: int) -> ByteStream:
    at = 0

    def pull(wanted: int) -> bytes:
        nonlocal at
        wanted = min(wanted, size - at, BLOCK)
        piece = _at(file, begin + at, wanted) if wanted else b""
        at += len(piece)
        return piece

    return ByteStream(pull, layer)


def _entries(file: IO[bytes]) -> Iterator[tuple[_ZipEntry, int]]:
    """Each entry of the directory, and how many bytes stand in front of the archive."""
    at, end, number, shift = _directory(file)
    while at < end:
        raw = _at(file, at, _ENTRY.size)
        (magic, _, _, flags, method, _, _, crc, packed, size, *lengths, _, _, _, place) = _ENTRY.unpack(raw)
        name, extra, comment = lengths
        if magic != b"PK\x01\x02":
            raise _damaged()
        texts = _at(file, at + _ENTRY.size, name + extra)
        size, packed, place = _large(texts[name:], [size, packed, place])
        yield _ZipEntry(texts[:name], flags, method, crc, packed, size, place), shift
        at += _ENTRY.size + name + extra + comment
        number -= 1
    if at != end or number % (1 << 16):
        raise _damaged()


def _large(extra: bytes, numbers: list[int]) -> list[int]:
    """The numbers, those that need 64 bits from the zip64 field."""
    while len(extra) >= 4:
        kind, length = struct.unpack("<2H", extra[:4])
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == 1:
            wide = [field[at : at + 8] for at in range(0, len(field), 8)]
            return [int.from_bytes(wide.pop(0), "little") if n == _IN_EXTRA and wide else n for n in numbers]
    return numbers


def _directory(file: IO[bytes]) -> tuple[int, int, int, int]:
    """Where the directory begins and ends, its entries, and how many bytes stand in front of the archive."""
    length = file.seek(0, 2)
    from_ = max(length - _LONGEST_COMMENT - _END.size - _LOCATOR_64.size, 0)
    tail = _at(file, from_, length - from_)
    place = tail.rfind(MAGICS[1])
    if place < 0 or len(tail) - place < _END.size:
        raise BrokenStreamError("the zip archive is damaged, or cut short")
    _, _, _, _, number, size, offset, _ = _END.unpack(tail[place : place + _END.size])
    end, locator = from_ + place, tail[max(place - _LOCATOR_64.size, 0) : place]
    if len(locator) == _LOCATOR_64.size and locator.startswith(b"PK\x06\x07"):
        end -= _LOCATOR_64.size + _END_64.size
        record = _END_64.unpack(_at(file, end, _END_64.size)) if end >= 0 else (b"",)
        if record[0] != b"PK\x06\x06":
            raise _damaged()
        number, size, offset = record[-3:]
    begin = end - size
    if begin < offset:
        raise BrokenStreamError("the zip archive's directory is damaged, or the archive is cut short")
    return begin, end, number, begin - offset


def _at(file: IO[bytes], place: int, size: int) -> bytes:
    """So many bytes from a place on. Raises BrokenStreamError where there are fewer."""
    try:
        file.seek(place)
        found = file.read(size)
        while len(found) < size and (piece := file.read(size - len(found))):
            found += piece
    except (OSError, ValueError) as error:
        raise BrokenStreamError("the zip archive can't be read") from error
    if len(found) < size:
        raise BrokenStreamError("the zip archive is damaged, or cut short")
    return found


def _damaged() -> BrokenStreamError:
    return BrokenStreamError("the zip archive is damaged")
