"""pg_dump's custom format, read from front to back: its table of contents, and the data of each table.

As of PostgreSQL's source, src/bin/pg_dump/pg_backup_archiver.c and pg_backup_custom.c, archive versions 1.10
to 1.16 (PostgreSQL 9.0 to 18). The data of each table is compressed for itself, in blocks with their length
before them. Nothing that the file claims is taken as a size of anything in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crypto_core.archives.packings import LZ4, ZLIB, ZSTD, Packing, unpacked
from crypto_core.archives.streams import BLOCK, BrokenStreamError, ByteStream, UnpackingLimit, of_pieces

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
