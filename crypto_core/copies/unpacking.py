"""Compressed streams, unpacked as they are read: gzip, zlib, Zstandard, bzip2 and xz.

Whatever a file claims, no more than a block is in memory. A file that unpacks to far more than any backup
does is a bomb: it is read up to there, and named.
"""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crypto_core.copies.streams import BLOCK, BrokenStreamError, ByteStream

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PIECE = 256 << 10
"""Packed bytes that are taken at once."""
_XZ_MEMORY = 128 << 20
_ERRORS = (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError, zstd.ZstdError)


@dataclass(frozen=True, slots=True)
class Packing:
    """A way of compression: what begins with `magic` is unpacked by what `unpacker` makes."""

    name: str
    magic: bytes
    unpacker: Callable[[], Any] | None
    """Makes what has `unpack(packed, most)`, `ended` and `left`; None for a way that can't be read here."""
    instead: str = ""
    """What to do where it can't be read."""


class _Zlib:
    """gzip and zlib by zlib, which names what it left differently from the others."""

    def __init__(self, bits: int) -> None:
        self._one = zlib.decompressobj(bits)

    def unpack(self, packed: bytes, most: int) -> bytes:
        return self._one.decompress(self._one.unconsumed_tail + packed, most)

    @property
    def hungry(self) -> bool:
        return not self._one.unconsumed_tail

    @property
    def ended(self) -> bool:
        return self._one.eof

    @property
    def left(self) -> bytes:
        return self._one.unused_data


class _Standard:
    """What bz2, lzma and zstd have in common."""

    def __init__(self, one: Any) -> None:
        self._one = one

    def unpack(self, packed: bytes, most: int) -> bytes:
        return bytes(self._one.decompress(packed, most))

    @property
    def hungry(self) -> bool:
        return bool(self._one.needs_input)

    @property
    def ended(self) -> bool:
        return bool(self._one.eof)

    @property
    def left(self) -> bytes:
        return bytes(self._one.unused_data)


GZIP = Packing("gzip", b"\x1f\x8b\x08", lambda: _Zlib(31))
ZLIB = Packing("zlib", b"", lambda: _Zlib(15))
ZSTD = Packing("zstd", b"\x28\xb5\x2f\xfd", lambda: _Standard(zstd.ZstdDecompressor()))
LZ4 = Packing("lz4", b"\x04\x22\x4d\x18", None, "unpack it first: lz4 -d")
PACKINGS = (
    GZIP,
    ZSTD,
    LZ4,
    Packing("bzip2", b"BZh", lambda: _Standard(bz2.BZ2Decompressor())),
    Packing("xz", b"\xfd7zXZ\x00", lambda: _Standard(lzma.LZMADecompressor(memlimit=_XZ_MEMORY))),
)
"""Those that are told by how they begin."""


def packing_of(begins: bytes) -> Packing | None:
    """Return the way in which something is compressed, None for none that is known."""
    return next((one for one in PACKINGS if begins.startswith(one.magic)), None)


def unpacked(packed: ByteStream, packing: Packing) -> ByteStream:
    """Return what is packed, one member or frame behind the other, as a stream.

    Raises BrokenStreamError for a way that can't be read; reading raises it for what is damaged or ends too
    early, once all before that was read.
    """
    make = packing.unpacker
    if make is None:
        raise BrokenStreamError(
            f"is compressed with {packing.name}, which is not read here: {packing.instead}"
        )
    reader = make()
    waiting = b""
    fed = False

    def pull(size: int) -> bytes:
        nonlocal reader, waiting, fed
        while True:
            if reader.ended:
                waiting = reader.left or packed.read(_PIECE)
                if not waiting.strip(b"\0"):
                    if not waiting:
                        return b""
                    packed.skip_rest()
                    return b""
                reader, fed = make(), False
            if not waiting and reader.hungry:
                waiting = packed.read(_PIECE)
                if not waiting:
                    if fed:
                        raise BrokenStreamError(f"{packing.name} ends too early")
                    return b""
            try:
                got: bytes = reader.unpack(waiting, min(size, BLOCK))
            except _ERRORS as error:
                raise BrokenStreamError(f"{packing.name} is damaged") from error
            fed, waiting = True, b""
            if got:
                return got

    return ByteStream(pull)
