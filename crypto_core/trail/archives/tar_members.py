"""The members of a tar archive, as the standard library reads them, from front to back.

`tarfile` ends without a word at a damaged header, reads a header's text whole, however long it claims to be,
and keeps those of headers that follow one another: all are errors here.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

from crypto_core.trail.archives.streams import BLOCK, BrokenStreamError, ByteStream

RECORD = tarfile.BLOCKSIZE
_MAGIC = slice(257, 262)
_LONGEST_HEADERS = 1 << 20
"""Bytes of the headers before one member, and of those about all that follow."""
_ENCODED = ("utf-8", "replace")
_DAMAGE = (tarfile.TarError, ValueError, OverflowError, RecursionError)
"""What `tarfile` raises for headers that are none."""


def is_tar(begins: bytes) -> bool:
    """Return whether something begins like a tar archive whose first header has the right sum."""
    try:
        tarfile.TarInfo.frombuf(begins[:RECORD], *_ENCODED)
    except _DAMAGE:
        return False
    return begins[_MAGIC] == b"ustar"


def members(stream: ByteStream) -> Iterator[tuple[str, ByteStream, bool]]:
    """Return each member's name, its content, to be read at once, and whether it is a plain file.

    Raises BrokenStreamError for an archive that ends too early or has a damaged header.
    """
    while head := stream.peek(RECORD):
        if head.strip(b"\0"):
            yield from _of_archive(stream)
        else:
            stream.exactly(len(head), "the tar archive")


def _of_archive(stream: ByteStream) -> Iterator[tuple[str, ByteStream, bool]]:
    file = _Forwards(stream)
    try:
        archive = tarfile.TarFile(fileobj=file, encoding=_ENCODED[0], errors=_ENCODED[1])
    except _DAMAGE as error:
        raise _damaged() from error
    while (member := _next(archive)) is not None:
        file.headers = 0
        # Of a sparse file, which may claim any size, what is stored counts.
        size = archive.offset - member.offset_data if member.issparse() else member.size
        content = stream.part(size if member.isreg() else 0, "the tar archive")
        yield member.name, content, member.isreg()
        content.skip_rest()
    if file.last.strip(b"\0"):
        raise _damaged()
    if not file.last:
        raise BrokenStreamError("the tar archive is cut short")


def _next(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return archive.next()
    except _DAMAGE as error:
        raise _damaged() from error
    finally:
        # Else all of them are kept.
        archive.members = []  # type: ignore[attr-defined]
        archive.pax_headers = {}


class _Forwards(io.RawIOBase):
    """A stream as `tarfile` takes it. `last` is what it read last, `headers` the bytes since a member."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream, self._begin = stream, stream.offset
        self.last, self.headers = b"", 0

    def tell(self) -> int:
        return self._stream.offset - self._begin

    def seek(self, place: int, _whence: int = 0, /) -> int:
        while (left := place - self.tell()) > 0 and self._stream.read(min(left, BLOCK)):
            pass
        return self.tell()

    def read(self, size: int = -1, /) -> bytes:
        self.headers += size
        if not 0 <= size <= self.headers <= _LONGEST_HEADERS:
            raise _damaged()
        found = self._stream.read(size)
        while len(found) < size and (piece := self._stream.read(size - len(found))):
            found += piece
        self.last = found
        return found


def _damaged() -> BrokenStreamError:
    return BrokenStreamError("the tar archive has a damaged header")
