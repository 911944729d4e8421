"""Some files of an import that are read one after the other, here or by a process that reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from threading import Event

from crypto_core.trail.seen_file import FileName, SeenFile
from crypto_core.trail.sources.files.readers import Answer, Readers

_SMALL = 2 * 1024 * 1024
"""Bytes, packed, of the largest file that is not read here."""
_FILES, _BYTES = 128, 4 * 1024 * 1024
"""Files to read of a chunk, and their bytes: some hundreds of events, so that no process waits for long."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that was found: `unchanged` if it need not be read again; `trouble` says why it can't be."""

    path: FileName
    size: int = 0
    unchanged: SeenFile | None = None
    trouble: str = ""

    @property
    def to_read(self) -> bool:
        """True if it is to be read."""
        return self.unchanged is None and not self.trouble

    @property
    def small(self) -> bool:
        """True if it is to be read, and small."""
        return self.to_read and self.size <= _SMALL


@dataclass(frozen=True, slots=True)
class FileChunk:
    """Files in the order in which they were found."""

    files: Sequence[File]
    readers: Readers | None = None
    asked: Future[Answer] | None = None

    def begun(self, readers: Readers) -> FileChunk:
        """Have small files read by a process. All that are to be read are small, or none is."""
        paths = [file.path for file in self.files if file.small]
        return replace(self, readers=readers, asked=readers.ask(paths)) if paths else self

    def answer(self, cancelled: Event | None) -> Answer | None:
        """Return what a process answers, None if the files are to be read here.

        Raises InterruptedRunError within moments of `cancelled`.
        """
        if self.readers is None or self.asked is None:
            return None
        return self.readers.answered(self.asked, cancelled)


def parted(files: Sequence[File]) -> Iterator[FileChunk]:
    """Yield the files in chunks. One that is large, to be read here, is a chunk by itself."""
    some: list[File] = []
    number = size = 0
    for file in files:
        large = file.to_read and not file.small
        if some and (large or number >= _FILES or size + file.size > _BYTES):
            yield FileChunk(some)
            some, number, size = [], 0, 0
        if large:
            yield FileChunk([file])
            continue
        some.append(file)
        number += file.to_read
        size += file.size
    if some:
        yield FileChunk(some)
