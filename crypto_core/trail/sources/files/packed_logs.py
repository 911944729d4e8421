"""Audit logs as they were packed, in pieces of bounded size. Content decides."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from crypto_core.trail.archives.packings import packing_of
from crypto_core.trail.archives.packings import unpacked as unpacked_stream
from crypto_core.trail.archives.streams import BLOCK, BrokenStreamError, ByteStream, UnpackingLimit, of_pieces
from crypto_core.trail.archives.streams import BombError as StreamBombError
from crypto_core.values.errors import TrailError

LARGEST = 32 * 1024 * 1024
"""Bytes, unpacked, of one JSON document. CloudTrail's own have some MB. Reading may take ten times more.

Of documents that stand in lines, a file may hold any number.
"""

_MAGIC_BYTES = 10
MOST_TIMES, TIMES_FROM = 100, 8 * 1024 * 1024
"""How many times its size a file may unpack to, from so many bytes on. CloudTrail's: some 20 times."""


class UnreadableError(TrailError):
    """A file, or a part of it, that can't be read; what came before it has been."""

    def __init__(self, message: str, *, cut_short: bool = False, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.cut_short = cut_short
        """True where what came before the end is sound."""


class FileBombError(UnreadableError):
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
    """Yield bytes in bounded pieces, unpacked if they are packed. Raises UnreadableError."""
    limit = UnpackingLimit(MOST_TIMES, TIMES_FROM)
    packed = of_pieces(limit.measured(iter(pieces)))
    packing = packing_of(packed.peek(_MAGIC_BYTES))
    try:
        yield from readable(packed if packing is None else unpacked_stream(packed, packing, limit))
    except BrokenStreamError as error:
        raise unreadable(error) from error


def readable(stream: ByteStream) -> Iterator[bytes]:
    """Yield a stream's bytes. Raises UnreadableError where it breaks off."""
    try:
        while piece := stream.read(BLOCK):
            yield piece
    except BrokenStreamError as error:
        raise unreadable(error) from error


def unreadable(error: BrokenStreamError) -> UnreadableError:
    if isinstance(error, StreamBombError):
        return FileBombError(f"It unpacks to more than {MOST_TIMES} times its size, as no audit log does.")
    message = error.message
    words = f"It {message}" if message.startswith(("is ", "needs ")) else message[:1].upper() + message[1:]
    return UnreadableError(f"{words}.", cut_short=error.cut_short)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a document is, and what to import instead. Both are clean."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"It is {self.what}. {self.remedy}"
