"""PostgreSQL's write-ahead log without the headers of its pages, which cut records wherever a page ends.

As of src/include/access/xlog_internal.h: a segment begins with a long header, which tells the page size; each
further page has a short one.
"""

from __future__ import annotations

from collections.abc import Iterator

from crypto_core.unpacking.streams import ByteStream, of_pieces

_SHORT, _LONG = 24, 40
_HAS_LONG_HEADER = 0x0002
_PAGE_SIZES = {1 << bits for bits in range(10, 17)}
_MAGICS = range(0xD061, 0xD200)
"""The versions of the log: of PostgreSQL 9.0 and later."""
_PAGES = 256
"""Pages that are read at once."""


def page_size(begins: bytes) -> int:
    """Return the size of the pages of what begins like a segment of the log; 0 for anything else."""
    if len(begins) < _LONG:
        return 0
    magic, info = int.from_bytes(begins[:2], "little"), int.from_bytes(begins[2:4], "little")
    size = int.from_bytes(begins[36:40], "little")
    return size if magic in _MAGICS and info & _HAS_LONG_HEADER and size in _PAGE_SIZES else 0


def without_headers(stream: ByteStream, size: int) -> ByteStream:
    """Return the records of a segment as they follow each other. `size` is that of its pages."""
    return of_pieces(_records(stream, size))


def _records(stream: ByteStream, size: int) -> Iterator[bytes]:
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
