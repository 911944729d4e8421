"""Bytes that are read once, from front to back: of a file, a pipe, or something packed within one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from crypto_core.values.errors import KeydeckError

BLOCK = 4 << 20
"""Bytes that are read at once at the most."""


class BrokenStreamError(KeydeckError):
    """A stream that ends too early, or is not what it begins like. What was read of it counts."""

    def __init__(self, message: str, *, cut_short: bool = False, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.cut_short = cut_short
        """True where everything before the end is sound."""


class BombError(BrokenStreamError):
    """A stream that unpacks to far more than a file of its size holds."""


@dataclass(eq=False)
class UnpackingLimit:
    """How much one file may unpack to, over all its layers and members: `times` the bytes read of it.

    The first `free` bytes are always allowed. `packed` and `size` are the bytes before and after unpacking.
    """

    times: int
    free: int
    packed: int = 0
    size: int = 0

    @property
    def exceeded(self) -> bool:
        return self.size > max(self.free, self.times * self.packed)

    def measured(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.packed += len(piece)
            yield piece

    def add(self, size: int) -> None:
        """Count unpacked bytes. Raises BombError once they exceed the limit."""
        self.size += size
        if self.exceeded:
            raise BombError(f"unpacks to more than {self.times} times its size: read up to there")


@dataclass(eq=False)
class ByteStream:
    """Reads through `pull`, which returns at most so many bytes, and none at the end."""

    pull: Callable[[int], bytes]
    layer: int = 0
    """Compressions that were taken off to get here."""
    _ahead: bytes = field(default=b"", init=False)
    offset: int = field(default=0, init=False)

    def peek(self, size: int) -> bytes:
        while len(self._ahead) < size and (more := self.pull(size - len(self._ahead))):
            self._ahead += more
        return self._ahead[:size]

    def read(self, size: int) -> bytes:
        """Return some of the next bytes, at most `size`; none at the end."""
        if self._ahead:
            got, self._ahead = self._ahead[:size], self._ahead[size:]
        else:
            got = self.pull(size)
        self.offset += len(got)
        return got

    def exactly(self, size: int, what: str) -> bytes:
        """Return the next bytes, all of them. Raises BrokenStreamError at the end."""
        pieces = []
        left = size
        while left and (piece := self.read(left)):
            pieces.append(piece)
            left -= len(piece)
        if left:
            raise BrokenStreamError(f"{what} ends too early")
        return b"".join(pieces)

    def part(self, size: int, what: str) -> ByteStream:
        """Return the next bytes as a stream of their own, to be read before anything else is."""
        left = size

        def pull(wanted: int) -> bytes:
            nonlocal left
            piece = self.read(min(wanted, left)) if left else b""
            if left and wanted and not piece:
                left, missing = 0, left
                raise BrokenStreamError(f"{what} ends too early: {missing:,} bytes are missing")
            left -= len(piece)
            return piece

        return ByteStream(pull, self.layer)

    def skip_rest(self) -> None:
        while self.read(BLOCK):
            pass


def of_pieces(pieces: Iterator[bytes], layer: int = 0) -> ByteStream:
    """Return a stream of pieces, which are made as they are read."""
    kept, at = b"", 0

    def pull(size: int) -> bytes:
        nonlocal kept, at
        while at == len(kept):
            piece = next(pieces, None)
            if piece is None:
                return b""
            kept, at = piece, 0
        begin, at = at, min(at + size, len(kept))
        return kept[begin:at]

    return ByteStream(pull, layer)
