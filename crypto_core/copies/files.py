"""The files of a copy: one file, a folder with all below it, a pipe, or standard input."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import IO

from crypto_core.cancelling import stop_if
from crypto_core.unpacking.streams import BrokenStreamError, ByteStream

STDIN = "-"
_LOOK_SECONDS = 0.2
"""How often a pipe that brings nothing is left to see whether the operator still waits."""
_PIPED = 1 << 20
"""Bytes that are taken from a pipe at once."""


@dataclass(eq=False)
class FileWalk:
    """Finds the regular files of a path. `left_out` are those that are not read, each with its reason."""

    path: str
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Return each file's path and its size in bytes, by name. Links below a folder are not followed."""
        try:
            status = Path(self.path).stat()
        except (OSError, ValueError) as error:
            self.left_out.append((self.path, _reason(error)))
            return
        if stat.S_ISDIR(status.st_mode):
            yield from self._below()
        else:
            yield self.path, status.st_size

    def _below(self) -> Iterator[tuple[str, int]]:
        folders = [self.path]
        while folders:
            folder = folders.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                self.left_out.append((folder, _reason(error)))
                continue
            below = []
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError as error:
                    self.left_out.append((entry.path, _reason(error)))
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield entry.path, status.st_size
                elif stat.S_ISDIR(status.st_mode):
                    below.append(entry.path)
                else:
                    self.left_out.append((entry.path, _KINDS.get(stat.S_IFMT(status.st_mode), "no file")))
            folders += reversed(below)


_KINDS = {
    stat.S_IFLNK: "is a link, and not followed: name what it points to, too",
    stat.S_IFIFO: "is a pipe, and not read",
    stat.S_IFSOCK: "is a socket, and not read",
    stat.S_IFCHR: "is a device, and not read",
    stat.S_IFBLK: "is a device, and not read",
}


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file to be read: as a stream, and, for one that can be read from its end too, itself."""

    stream: ByteStream
    file: IO[bytes] | None
    size: int


@contextmanager
def opened(path: str, cancelled: Event | None, read: Callable[[int], None]) -> Iterator[OpenedFile]:
    """Open a file, pipe or stdin; `read` hears of each piece. Raises OSError, and as streams do."""
    if path == STDIN:
        yield OpenedFile(_piped(0, cancelled, read), None, 0)
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if stat.S_ISFIFO(status.st_mode):
            yield OpenedFile(_piped(descriptor, cancelled, read), None, 0)
            return
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no file and no pipe")

        def pull(size: int) -> bytes:
            stop_if(cancelled)
            try:
                piece = file.read(size) or b""
            except OSError as error:
                raise BrokenStreamError(_reason(error)) from error
            read(len(piece))
            return piece

        yield OpenedFile(ByteStream(pull), file, status.st_size)


def _piped(descriptor: int, cancelled: Event | None, read: Callable[[int], None]) -> ByteStream:
    def pull(size: int) -> bytes:
        while True:
            stop_if(cancelled)
            ready, _, _ = select.select([descriptor], [], [], _LOOK_SECONDS)
            if not ready:
                continue
            try:
                piece = os.read(descriptor, min(size, _PIPED))
            except BlockingIOError:
                continue
            except OSError as error:
                raise BrokenStreamError(_reason(error)) from error
            read(len(piece))
            return piece

    return ByteStream(pull)


def _reason(error: OSError | ValueError) -> str:
    return f"can't be read: {getattr(error, 'strerror', None) or error}"
