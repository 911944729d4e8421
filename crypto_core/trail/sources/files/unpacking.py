"""Bytes as they were packed, in pieces of bounded size: gzip or plain. Content decides.

RFC 1952 for gzip, several members of which may follow one another.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

from crypto_core.errors import TrailError

LARGEST = 32 * 1024 * 1024
"""Bytes, unpacked, of one JSON document. CloudTrail's own have some MB. Reading may take ten times more.

Of documents that stand in lines, a file may hold any number.
"""

_GZIP = b"\x1f\x8b"
_PIECE = 16 * 1024 * 1024
"""Bytes that are unpacked at once at most."""
MOST_TIMES, TIMES_FROM = 100, 8 * 1024 * 1024
"""How many times its size a file may unpack to, from so many bytes on. CloudTrail's: some 20 times."""


class UnreadableError(TrailError):
    """A file, or a part of it, that can't be read; what came before it has been."""

    def __init__(self, message: str, *, cut_short: bool = False, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.cut_short = cut_short
        """True where what came before the end is sound."""


class BombError(UnreadableError):
    """A file that unpacks to what no file of CloudTrail's does."""


def unpacked_at_once(packed: bytes, most: int) -> bytes | None:
    """Return what is in gzip of one member, at most so many bytes; None for all else."""
    inflater = zlib.decompressobj(31)
    try:
        found = inflater.decompress(packed, most)
    except zlib.error:
        return None
    return found if inflater.eof and not inflater.unused_data else None


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield bytes, unpacked if they are gzip, in pieces of bounded size. Raises UnreadableError."""
    pieces = iter(pieces)
    first = b""
    while len(first) < len(_GZIP) and (piece := next(pieces, b"")):
        first += piece
    if not first.startswith(_GZIP):
        if first:
            yield first
        yield from pieces
        return
    inflater = zlib.decompressobj(31)
    size = packed = 0
    for piece in chain((first,), pieces):
        rest = piece
        packed += len(piece)
        while rest:
            if inflater.eof:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                if not _GZIP.startswith(rest[:2]):
                    raise UnreadableError("What follows the gzip data is none.", cut_short=True)
                inflater = zlib.decompressobj(31)
            try:
                found = inflater.decompress(rest, _PIECE)
            except zlib.error as error:
                raise UnreadableError("The gzip data is damaged.") from error
            size += len(found)
            if size > TIMES_FROM and size > MOST_TIMES * packed:
                raise BombError(
                    f"It unpacks to more than {MOST_TIMES} times its size, as no file of CloudTrail's does."
                )
            if found:
                yield found
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    if not inflater.eof:
        found = inflater.flush()
        if found:
            yield found
        if not inflater.eof:
            raise UnreadableError("The gzip data is cut short.", cut_short=True)
