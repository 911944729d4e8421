"""Zip and tar: each plain file in pieces, without links, hidden files or archives within the archive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from crypto_core.trail.sources.files.unpacking import readable, unreadable
from crypto_core.unpacking import tar_members as tar
from crypto_core.unpacking import zip_members as zips
from crypto_core.unpacking.streams import BrokenStreamError, ByteStream, UnpackingLimit, of_pieces

ZIP = zips.MAGICS
TAR_NEEDS = tar.RECORD
"""Bytes of a file by which tar is known."""
is_tar = tar.is_tar

Member = tuple[str, Iterator[bytes]]
"""A file of an archive: its name as it is there, and its bytes, to be read before the next one's."""


def zip_members(file: BinaryIO, limit: UnpackingLimit) -> Iterator[Member]:
    """Yield the files of a zip archive. Raises UnreadableError."""
    try:
        for name, content in zips.members(file, limit):
            if not _hidden(name):
                yield name, _member(content)
    except BrokenStreamError as error:
        raise unreadable(error) from error


def tar_members(pieces: Iterator[bytes]) -> Iterator[Member]:
    """Yield the files of a tar archive as it comes. Raises UnreadableError."""
    try:
        for name, content, is_file in tar.members(of_pieces(pieces)):
            if is_file and not _hidden(name):
                yield name, readable(content)
    except BrokenStreamError as error:
        raise unreadable(error) from error


def _member(content: ByteStream | str) -> Iterator[bytes]:
    if isinstance(content, str):
        raise unreadable(BrokenStreamError(content))
    yield from readable(content)


def _hidden(name: str) -> bool:
    return any(
        part.startswith(".") or part == "__MACOSX" for part in name.split("/") if part not in ("", ".")
    )
