"""Archives of files: zip and tar. One file after the other, in pieces; what is in it decides what it is.

Links, folders and hidden files are left out. No archive is opened within another.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO

from crypto_core.trail.sources.files.unpacking import MOST_TIMES, TIMES_FROM, BombError, UnreadableError

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip archive begins."""
_USTAR, _USTAR_AT = b"ustar", 257
TAR_NEEDS = _USTAR_AT + len(_USTAR)
"""Bytes of a file by which tar is known."""
_PIECE = 1024 * 1024
_HEADERS = 2 * 1024 * 1024
"""Bytes of tar between two files' contents: names take some KB at most."""
_DIRECTORY = 16 * 1024 * 1024
"""Bytes of a zip archive's directory."""
_END = 22
"""Bytes of the record that ends a zip archive, before its comment."""
_COMMENT = 64 * 1024
_PLAIN_OR_DEFLATED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

Member = tuple[str, Iterator[bytes]]
"""A file of an archive: its name as it is there, and its bytes, to be read before the next one's."""


@dataclass(slots=True)
class Unpacked:
    """How much an archive's bytes have come to: `packed` bytes of it were read, and became `size`."""

    packed: int = 0
    size: int = 0

    @property
    def exceeded(self) -> bool:
        """True once it is more than any archive of CloudTrail's files comes to."""
        return self.size > max(TIMES_FROM, MOST_TIMES * self.packed)

    def count(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass on what was unpacked. Raises BombError once it is far more than the archive's own bytes."""
        for piece in pieces:
            self.size += len(piece)
            if self.exceeded:
                raise BombError(
                    f"It unpacks to more than {MOST_TIMES} times its size, as no file of CloudTrail's does."
                )
            yield piece


def is_tar(begin: bytes) -> bool:
    """True for the first bytes of a tar archive; TAR_NEEDS of them are needed."""
    return begin[_USTAR_AT:TAR_NEEDS] == _USTAR


def zip_members(file: BinaryIO) -> Iterator[Member]:
    """Yield the files of a zip archive. Raises UnreadableError."""
    _require_bounded(file)
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if not info.is_dir() and not _hidden(info.filename):
                    yield info.filename, _of_zip(archive, info)
    except (zipfile.BadZipFile, ValueError, LookupError, OverflowError, NotImplementedError) as error:
        raise UnreadableError("The zip archive is damaged, or cut short.") from error


def tar_members(pieces: Iterator[bytes]) -> Iterator[Member]:
    """Yield the files of a tar archive as it comes. Raises UnreadableError."""
    stream = _Stream(pieces)
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=tarfile.RECORDSIZE) as archive:
            while (info := archive.next()) is not None:
                content = archive.extractfile(info) if info.isreg() else None
                if content is not None and not _hidden(info.name):
                    yield info.name, _of_tar(content, stream)
                vars(archive)["members"].clear()  # it keeps all that it has seen
                stream.headers = 0
            stream.require_end(archive.offset)
    except (tarfile.TarError, ValueError, LookupError, OverflowError, EOFError, RecursionError) as error:
        raise UnreadableError("The tar archive is damaged, or cut short.") from error


def _of_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    if info.flag_bits & 1:
        raise UnreadableError("It is encrypted.")
    if info.compress_type not in _PLAIN_OR_DEFLATED:
        raise UnreadableError("It is packed in a way that is not read. Unpack the archive.")
    try:
        with archive.open(info) as content:
            while piece := content.read(_PIECE):
                yield piece
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise UnreadableError("Its data in the archive are damaged.") from error


def _of_tar(content: IO[bytes], stream: _Stream) -> Iterator[bytes]:
    try:
        while piece := content.read(_PIECE):
            stream.headers = 0
            yield piece
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise UnreadableError("Its data in the archive are cut short.") from error


class _Stream(io.RawIOBase):
    """Pieces as a file that is read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = b""
        self._place = 0
        self._last = b""
        self.headers = 0
        """Bytes that were read since a file's content was."""

    def read(self, size: int = -1) -> bytes:
        """Return up to so many bytes, b"" at the end. Raises UnreadableError for headers without end."""
        while not self._rest and (piece := next(self._pieces, b"")):
            self._rest = piece
        found, self._rest = self._rest[:size], self._rest[size:]
        self.headers += len(found)
        if self.headers > _HEADERS:
            raise UnreadableError("The tar archive has more headers than files. Unpack it.")
        self._place += len(found)
        self._last = (self._last + found)[-2 * tarfile.RECORDSIZE :]
        return found

    def require_end(self, at: int) -> None:
        """Raise UnreadableError unless all from a place on are zeros, as an archive ends.

        tarfile takes a header that is damaged, or cut short, for the end.
        """
        rest = self._last[at - self._place :] if at < self._place else b""
        whole = len(rest) >= tarfile.BLOCKSIZE
        while whole and not rest.strip(b"\0"):
            rest, self._rest = self._rest or next(self._pieces, b""), b""
            if not rest:
                return
        raise UnreadableError("The tar archive is damaged, or cut short.")


def _require_bounded(file: BinaryIO) -> None:
    """Raise UnreadableError for a zip archive whose directory is too large to be held, or is zip64."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _END - _COMMENT - 20))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    large = at < 0 or int.from_bytes(tail[at + 12 : at + 16], "little") > _DIRECTORY
    if large or b"PK\x06\x07" in tail[max(0, at - 20) : at]:
        raise UnreadableError("The zip archive is damaged, or has too many files. Unpack it.")
    file.seek(0)


def _hidden(name: str) -> bool:
    return any(
        part.startswith(".") or part == "__MACOSX" for part in name.split("/") if part not in ("", ".")
    )
