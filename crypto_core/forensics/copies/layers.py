"""From a file to the plain streams within it: archives and compression are taken off, one in the other.

pg_dump's custom format is read from front to back: its table of contents, and the data of each table. As of
PostgreSQL's source, src/bin/pg_dump/pg_backup_archiver.c and pg_backup_custom.c, archive versions 1.10 to
1.16 (PostgreSQL 9.0 to 18). The data of each table is compressed for itself, in blocks with their length
before them. Nothing that the file claims is taken as a size of anything in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import IO

from crypto_core.trail.archives import tar_members, zip_members
from crypto_core.trail.archives.packings import LZ4, ZLIB, ZSTD, Packing, packing_of, unpacked
from crypto_core.trail.archives.streams import BLOCK, BrokenStreamError, ByteStream, UnpackingLimit, of_pieces

MAGIC = b"PGDMP"
_CUSTOM = 1
_DATA, _BLOBS = 1, 3
_OLDEST, _NEWEST = (1, 10), (1, 16)
_LONGEST_STRING = 1 << 30
_PACKINGS: dict[int, Packing | None] = {0: None, 1: ZLIB, 2: LZ4, 3: ZSTD}


@dataclass(eq=False)
class ArchiveReader:
    """Reads one archive. `contents` first, to its end; then `data`."""

    stream: ByteStream
    limit: UnpackingLimit
    _version: tuple[int, int] = (0, 0)
    _int_size: int = 4
    _offset_size: int = 8
    _packing: Packing | None = None
    holds_data: bool = False
    """True, once the contents are read, for the format that has the data in the same file."""

    def contents(self) -> ByteStream:
        """Return the texts of the table of contents: definitions, names, COPY statements."""
        return of_pieces(self._contents())

    def data(self) -> Iterator[tuple[str, ByteStream]]:
        """Yield each table's and large object's data, to be read at once. Raises BrokenStreamError."""
        while kind := self.stream.read(1):
            if kind[0] not in (_DATA, _BLOBS):
                raise BrokenStreamError("the archive has a block of an unknown kind")
            entry = self._number()
            if kind[0] == _DATA:
                yield from self._unpacked(f"entry {entry}")
                continue
            while oid := self._number():
                yield from self._unpacked(f"large object {oid}")

    def _unpacked(self, name: str) -> Iterator[tuple[str, ByteStream]]:
        raw = of_pieces(self._blocks(), self.stream.layer)
        try:
            if self._packing is None:
                yield name, raw
            else:
                yield name, unpacked(raw, self._packing, self.limit)
        finally:
            raw.skip_rest()

    def _blocks(self) -> Iterator[bytes]:
        while left := self._number():
            if left < 0:
                raise BrokenStreamError("the archive has a block of less than no bytes")
            while left:
                piece = self.stream.read(min(left, BLOCK))
                if not piece:
                    raise BrokenStreamError("the archive ends too early")
                left -= len(piece)
                yield piece

    def _contents(self) -> Iterator[bytes]:
        self._header()
        for _ in range(7):
            self._number()  # when it was made
        for _ in range(3):
            yield from self._text()  # the database, the versions of server and pg_dump
        entries = self._number()
        for _ in range(max(entries, 0)):
            yield from self._entry()

    def _header(self) -> None:
        self.stream.exactly(len(MAGIC), "the archive")
        major, minor, _, self._int_size, self._offset_size, kind = self.stream.exactly(6, "the archive")
        self._version = (major, minor)
        if not _OLDEST <= self._version <= _NEWEST:
            raise BrokenStreamError(f"the archive has version {major}.{minor}, and 1.10 to 1.16 are read")
        if not (1 <= self._int_size <= 8 and 1 <= self._offset_size <= 8):
            raise BrokenStreamError("the archive's head is damaged")
        self.holds_data = kind == _CUSTOM
        if self._version < (1, 15):
            self._packing = ZLIB if self._number() else None
            return
        way = self.stream.exactly(1, "the archive")[0]
        if way not in _PACKINGS:
            raise BrokenStreamError("the archive is compressed in an unknown way")
        self._packing = _PACKINGS[way]

    def _entry(self) -> Iterator[bytes]:
        self._number()  # its id
        self._number()  # whether it has data
        for _ in range(4):  # OIDs, name, kind
            yield from self._text()
        if self._version >= (1, 11):
            self._number()  # section
        texts = 5 + (self._version >= (1, 14))  # definition, drop, COPY, schema, tablespace, access method
        for _ in range(texts):
            yield from self._text()
        if self._version >= (1, 16):
            self._number()  # kind of relation
        for _ in range(2):  # owner, with OIDs
            yield from self._text()
        while (depends := self._length()) is not None:
            yield from self._of_length(depends)
        if self.holds_data:
            self.stream.exactly(1 + self._offset_size, "the archive")
        else:
            yield from self._text()  # its file

    def _number(self) -> int:
        raw = self.stream.exactly(1 + self._int_size, "the archive")
        number = int.from_bytes(raw[1:], "little")
        return -number if raw[0] else number

    def _length(self) -> int | None:
        length = self._number()
        return None if length < 0 else length

    def _text(self) -> Iterator[bytes]:
        length = self._length()
        if length:
            yield from self._of_length(length)
        yield b"\n"

    def _of_length(self, length: int) -> Iterator[bytes]:
        if length > _LONGEST_STRING:
            raise BrokenStreamError("the archive's table of contents is damaged")
        left = length
        while left:
            piece = self.stream.read(min(left, BLOCK))
            if not piece:
                raise BrokenStreamError("the archive ends too early")
            left -= len(piece)
            yield piece
        yield b"\n"


MOST_LAYERS = 6
"""Archives and compressions, one in the other, that are taken off."""
MOST_TIMES = 200
"""How many times its own size a file may unpack to, if that is more than `FREE_BYTES`."""
FREE_BYTES = 1 << 30
LARGEST_ZIP_WITHIN = 64 << 20
"""Bytes of a zip archive that is no file of its own: it is read from its end, and so kept in memory."""

OF_LOGS = (
    "PostgreSQL's write-ahead log may hold of a changed value only what differs from the one before: it may "
    "have more envelopes than were counted"
)
OF_PAGES = (
    "PostgreSQL's data files hold values of more than about 2,000 characters in pieces, and may hold them "
    "compressed: such a value counts as damaged, or is not found"
)
_PAGE_LAYOUT = b"\x04\x20"
"""The size of 8 KiB and the version of the layout, as data files have it in each page's header."""
_LAYOUT_AT = slice(18, 20)


@dataclass(frozen=True, slots=True)
class PlainStream:
    """Something without a further layer. `name` is the file's, and those of the archives' members."""

    name: str
    stream: ByteStream


Problem = Callable[[str, int, str], None]
"""Is told what could not be read: name, bytes read until then, why; without a name, of all such files."""


@dataclass(eq=False)
class Layers:
    """Takes the layers off one file. `file` is the file itself where it can be read from its end, too."""

    stream: ByteStream
    problem: Problem
    file: IO[bytes] | None = None
    size: int = 0
    """Bytes of the file; 0 where that is not known before it was read."""
    _limit: UnpackingLimit = field(init=False)
    _held: int = field(default=0, init=False)
    """Bytes of zip archives within the file that are in memory."""

    def __post_init__(self) -> None:
        self._limit = UnpackingLimit(MOST_TIMES, FREE_BYTES, self.size)
        self.stream = self._measured(self.stream)

    def plain_streams(self, name: str) -> Iterator[PlainStream]:
        """Return the streams within the file, each to be read in turn. Reading raises BrokenStreamError."""
        yield from self._within(self.stream, name, 0)

    def _within(self, stream: ByteStream, name: str, layers: int) -> Iterator[PlainStream]:
        try:
            yield from self._taken_off(stream, name, layers)
        except BrokenStreamError as error:
            self.problem(name, stream.offset, error.message)

    def _taken_off(self, stream: ByteStream, name: str, layers: int) -> Iterator[PlainStream]:
        begins = stream.peek(tar_members.RECORD)
        packing = packing_of(begins)
        is_zip, is_tar = begins.startswith(zip_members.MAGICS), tar_members.is_tar(begins)
        if layers >= MOST_LAYERS and (packing or is_zip or is_tar):
            self.problem(name, 0, f"is packed more than {MOST_LAYERS} times, one in the other: not read")
        elif packing is not None:
            yield from self._within(unpacked(stream, packing, self._limit), name, layers + 1)
        elif is_zip:
            yield from self._zipped(stream, name, layers + 1)
        elif is_tar:
            for member, content, _ in tar_members.members(stream):
                yield from self._within(content, f"{name}: {member}", layers + 1)
        elif begins.startswith(MAGIC):
            yield from self._dumped(ArchiveReader(stream, self._limit), name)
        elif size := page_size(begins):
            self.problem("", 0, OF_LOGS)
            yield PlainStream(name, of_pieces(_wal_records(stream, size)))
        else:
            if begins[_LAYOUT_AT] == _PAGE_LAYOUT:
                self.problem("", 0, OF_PAGES)
            yield PlainStream(name, stream)

    def _dumped(self, archive: ArchiveReader, name: str) -> Iterator[PlainStream]:
        yield PlainStream(f"{name}: table of contents", archive.contents())
        if archive.holds_data:
            for entry, content in archive.data():
                yield PlainStream(f"{name}: {entry}", content)

    def _zipped(self, stream: ByteStream, name: str, layers: int) -> Iterator[PlainStream]:
        if layers == 1 and self.file is not None:
            yield from self._members(self.file, stream, name, layers)
            return
        content, size = BytesIO(), 0
        while self._held + size <= LARGEST_ZIP_WITHIN and (piece := stream.read(BLOCK)):
            size += content.write(piece)
        if self._held + size > LARGEST_ZIP_WITHIN:
            self.problem(name, 0, "is a zip archive within another stream, larger than 64 MiB: unpack it")
            return
        self._held += size
        try:
            yield from self._members(content, stream, name, layers)
        finally:
            self._held -= size

    def _members(self, file: IO[bytes], stream: ByteStream, name: str, layers: int) -> Iterator[PlainStream]:
        for member, opened in zip_members.members(file, self._limit, layer=stream.layer):
            if self._limit.exceeded:
                break
            inner = f"{name}: {member}"
            if isinstance(opened, str):
                self.problem(inner, 0, opened)
            else:
                yield from self._within(opened, inner, layers)

    def _measured(self, stream: ByteStream) -> ByteStream:
        def pull(size: int) -> bytes:
            piece = stream.read(size)
            self._limit.packed = max(self._limit.packed, stream.offset)
            return piece

        return ByteStream(pull)


_SHORT, _LONG = 24, 40
_HAS_LONG_HEADER = 0x0002
_PAGE_SIZES = {1 << bits for bits in range(10, 17)}
_MAGICS = range(0xD061, 0xD200)
"""The versions of the write-ahead log: of PostgreSQL 9.0 and later."""
_PAGES = 256


def page_size(begins: bytes) -> int:
    """Return the size of the pages of a segment of PostgreSQL's write-ahead log; 0 for anything else."""
    if len(begins) < _LONG:
        return 0
    magic, info = int.from_bytes(begins[:2], "little"), int.from_bytes(begins[2:4], "little")
    size = int.from_bytes(begins[36:40], "little")
    return size if magic in _MAGICS and info & _HAS_LONG_HEADER and size in _PAGE_SIZES else 0


def _wal_records(stream: ByteStream, size: int) -> Iterator[bytes]:
    """The records of a segment without its pages' headers, the first of which is long (xlog_internal.h)."""
    header = _LONG
    kept = b""
    while piece := stream.read(size * _PAGES):
        kept += piece
        whole = len(kept) // size * size
        for at in range(0, whole, size):
            yield kept[at + header : at + size]
            header = _SHORT
        kept = kept[whole:]
    yield kept[header:]
