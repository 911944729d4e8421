"""Compressed streams, unpacked as they are read: gzip, zlib, Zstandard, bzip2, xz and LZMA.

Whatever a file claims, at most BLOCK bytes are unpacked at once, and a stream that needs a larger window than
its layer may have is refused before the window is allocated.
"""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from crypto_core.trail.archives.streams import BLOCK, BrokenStreamError, ByteStream, UnpackingLimit

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PIECE = 256 << 10
"""Packed bytes that are taken at once."""
_WINDOWS = (27, 25)
"""Window sizes of the two outermost layers, as powers of two. `zstd --long` needs 27."""
_INNER_WINDOW = 23
_BEYOND_WINDOW = 2 << 20
"""Bytes that xz needs beside its dictionary."""
_ERRORS = (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError, zstd.ZstdError)


class Unpacker(Protocol):
    def unpack(self, packed: bytes, most: int) -> bytes:
        """Return further bytes; none where more packed ones are needed."""

    @property
    def hungry(self) -> bool:
        """True if nothing comes without further packed bytes."""

    @property
    def ended(self) -> bool:
        """True after the last byte of a member or frame."""

    @property
    def left(self) -> bytes:
        """Packed bytes after the end."""


@dataclass(frozen=True, slots=True)
class Packing:
    """A form of compression. Streams that begin with `magic` are read by what `unpacker` makes."""

    name: str
    magic: bytes
    unpacker: Callable[[int], Unpacker] | None
    """Takes the window that is allowed, as a power of two; None for a form that can't be read here."""
    instead: str = ""
    """What it is, and the remedy, where it can't be read."""
    single: bool = False
    """True where nothing may follow the first member."""


class _Zlib:
    """gzip, zlib and deflate, which need no more than 32 KiB."""

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


def _zstd(window: int) -> Unpacker:
    limit: dict[int, int] = {zstd.DecompressionParameter.window_log_max: window}
    return _Standard(zstd.ZstdDecompressor(options=limit))


def _xz(form: int) -> Callable[[int], Unpacker]:
    return lambda window: _Standard(lzma.LZMADecompressor(form, memlimit=(1 << window) + _BEYOND_WINDOW))


def _other(name: str, magic: bytes, command: str) -> Packing:
    words = f"is compressed with {name}, which is not read here: unpack it first: {command}"
    return Packing(name, magic, None, words)


GZIP = Packing("gzip", b"\x1f\x8b", lambda _: _Zlib(31))
ZLIB = Packing("zlib", b"", lambda _: _Zlib(15), single=True)
DEFLATE = Packing("deflate", b"", lambda _: _Zlib(-15), single=True)
ZSTD = Packing("Zstandard", b"\x28\xb5\x2f\xfd", _zstd)
BZIP2 = Packing("bzip2", b"BZh", lambda _: _Standard(bz2.BZ2Decompressor()))
XZ = Packing("xz", b"\xfd7zXZ\x00", _xz(lzma.FORMAT_XZ))
LZMA = Packing("LZMA", b"\x5d\x00\x00", _xz(lzma.FORMAT_ALONE), single=True)
LZ4 = _other("lz4", b"\x04\x22\x4d\x18", "lz4 -d")
PACKINGS = (
    *(GZIP, ZSTD, BZIP2, XZ, LZMA, LZ4),
    _other("lz4", b"\x02\x21\x4c\x18", "lz4 -d"),
    _other("7z", b"7z\xbc\xaf\x27\x1c", "7z x"),
    _other("RAR", b"Rar!\x1a\x07", "unrar x"),
    _other("lzip", b"LZIP\x01", "lzip -d"),
    _other("lzop", b"\x89LZO\x00\r\n\x1a\n", "lzop -d"),
    _other("compress", b"\x1f\x9d", "uncompress"),
    _other("Snappy", b"\xff\x06\x00\x00sNaPpY", "snzip -d"),
    Packing(
        *("Parquet", b"PAR1", None),
        "is Parquet, which is not read here: write it as JSON: duckdb -c \"COPY 'FILE' TO 'FILE.jsonl'\"",
    ),
)
"""Those that are recognised by how they begin."""


def packing_of(begins: bytes, packings: Sequence[Packing] = PACKINGS) -> Packing | None:
    """Return the form in which something is compressed, None for plain or unknown content."""
    return next((one for one in packings if begins.startswith(one.magic)), None)


def unpacked(packed: ByteStream, packing: Packing, limit: UnpackingLimit, head: bytes = b"") -> ByteStream:
    """Return the unpacked content, all members or frames, as a stream. `head` stands before what is packed.

    Raises BrokenStreamError for a form that can't be read; reading raises it for content that is damaged or
    ends too early, once everything before was read, and for one that needs too much memory; BombError beyond
    the limit.
    """
    make = packing.unpacker
    if make is None:
        raise BrokenStreamError(packing.instead)
    window = _WINDOWS[packed.layer] if packed.layer < len(_WINDOWS) else _INNER_WINDOW
    reader = make(window)
    waiting = head
    fed = False

    def pull(size: int) -> bytes:
        nonlocal reader, waiting, fed
        while True:
            if reader.ended:
                waiting = _following(reader.left, packed)
                if not waiting:
                    return b""
                if packing.single or not waiting.startswith(packing.magic):
                    raise BrokenStreamError(f"what follows the {packing.name} data is none", cut_short=True)
                reader, fed = make(window), False
            if not waiting and reader.hungry:
                waiting = packed.read(_PIECE)
                if not waiting:
                    if fed:
                        raise BrokenStreamError(f"the {packing.name} data is cut short", cut_short=True)
                    return b""
            try:
                got = reader.unpack(waiting, min(size, BLOCK))
            except _ERRORS as error:
                raise _broken(packing, window, error) from error
            fed, waiting = True, b""
            if got:
                limit.add(len(got))
                return got

    return ByteStream(pull, packed.layer + 1)


def _following(left: bytes, packed: ByteStream) -> bytes:
    """What stands behind a member, without zeros: enough of it to tell whether it is a further one."""
    found = left.lstrip(b"\0")
    while len(found) < len(XZ.magic) and (piece := packed.read(_PIECE)):
        found = (found + piece).lstrip(b"\0")
    return found


def _broken(packing: Packing, window: int, error: Exception) -> BrokenStreamError:
    words = str(error).lower()
    if "memory" in words or "window" in words:
        return BrokenStreamError(
            f"needs more memory to unpack than the {1 << window - 20} MiB allowed: unpack it first"
        )
    return BrokenStreamError(f"the {packing.name} data is damaged")
