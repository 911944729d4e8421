"""The members of a zip archive, which is read from its end: of a file, or of bytes in memory."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO

from crypto_core.copies.streams import BrokenStreamError, ByteStream

MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
MOST_MEMBERS = 200_000
_LARGEST_DIRECTORY = 64 << 20
_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_BYTES = 22
_ENCRYPTED = 0x1
_ERRORS = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError)


def members(file: IO[bytes]) -> Iterator[tuple[str, ByteStream | str]]:
    """Return each member's name, and its content, to be read at once, or why it can't be read.

    Raises BrokenStreamError for what is no zip archive, and for one with more members than are looked at.
    """
    if _directory_bytes(file) > _LARGEST_DIRECTORY:
        raise BrokenStreamError("the zip archive's directory is larger than 64 MiB")
    try:
        archive = zipfile.ZipFile(file)
    except _ERRORS as error:
        raise BrokenStreamError("the zip archive is damaged") from error
    with archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            if member.flag_bits & _ENCRYPTED:
                yield member.filename, "is encrypted, and not read"
                continue
            try:
                opened = archive.open(member)
            except _ERRORS:
                yield member.filename, "is packed in a way that is not read, or damaged"
                continue
            with opened:
                yield member.filename, ByteStream(_reading(opened))


def _reading(opened: IO[bytes]) -> Callable[[int], bytes]:
    def pull(size: int) -> bytes:
        try:
            return opened.read(size)
        except _ERRORS as error:
            raise BrokenStreamError("the zip archive is damaged, or ends too early") from error

    return pull


def _directory_bytes(file: IO[bytes]) -> int:
    """How large the directory at the end is, as the archive tells."""
    end = file.seek(0, 2)
    file.seek(max(end - (1 << 16) - _END_BYTES - 76, 0))
    tail = file.read()
    file.seek(0)
    at, at_64 = tail.rfind(_END), tail.rfind(_END_64)
    if at_64 >= 0 and _LOCATOR_64 in tail:
        return int.from_bytes(tail[at_64 + 40 : at_64 + 48], "little")
    return int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
