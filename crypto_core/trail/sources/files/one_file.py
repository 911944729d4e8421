"""Reads one file: its events and its outcome. The same in the import's own process and in others."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from crypto_core.text.counting import counted
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.record_reader import read_records
from crypto_core.trail.seen_file import FileName, SeenFile
from crypto_core.trail.sources.files.decoding import UnreadableError, records_in, unpacked
from crypto_core.trail.sources.files.find_files import NO_FILE, why

TOLD_EVERY = 2_000
"""Events of one file after which progress is told, and it is seen whether the operator still waits."""
_NO_EVENTS = 100_000
"""Records that are no events, beyond those that are, after which a file is given up."""
PIECE = 4 * 1024 * 1024
"""Bytes that are read at once."""


class OversizeError(Exception):
    """A file holds more than is read here."""


@dataclass(frozen=True, slots=True)
class FileReader:
    """How files are read: `put` takes each event, `stop` and `tell` are called meanwhile and may raise.

    `largest` is the size of the largest document that is read, `most` of the largest content of a file (0:
    none is), in bytes, unpacked.
    """

    put: Callable[[TrailEvent], None]
    largest: int
    most: int = 0
    stop: Callable[[], None] = lambda: None
    """Called with every piece of a file."""
    tell: Callable[[], None] = lambda: None
    """Called after every TOLD_EVERY events of a file."""

    def read_file(self, path: FileName) -> SeenFile | str:
        """Read a file; return it as it is if all of it was read, else why not, or not all of it.

        Raises OversizeError, and what `put`, `stop` and `tell` raise.
        """
        try:
            # What became a pipe meanwhile must not block.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError as error:
            return why(error)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return NO_FILE
            records, kms, trouble = self.read_pieces(self._pieces(descriptor))
            if trouble:
                return trouble
            file = seen(path, status)
            if not file.same_as(seen(path, os.fstat(descriptor))):
                return "The file changed while it was read; the part that was read is imported."
            return replace(file, records=records, kms=kms)
        finally:
            os.close(descriptor)

    def read_pieces(self, pieces: Iterable[bytes]) -> tuple[int, int, str]:
        """Read a file's bytes; return its events, those of KMS, and what of it could not be read, if any."""
        events = kms = others = 0
        trouble = ""
        try:
            content = self._bounded(unpacked(pieces))
            for event in read_records(records_in(content, largest=self.largest)):
                if event is None:
                    others += 1
                    _require_events(events, others)
                    continue
                events += 1
                kms += event.is_kms
                self.put(event)
                if events % TOLD_EVERY == 0:
                    self.tell()
        except UnreadableError as error:
            trouble = error.message
        except OSError as error:
            trouble = why(error)
        if others and not events:
            trouble = f"None of its {counted(others, 'record')} is an event of CloudTrail. {trouble}"
        elif others:
            trouble = (
                f"{others:,} of its {counted(others + events, 'record')} are no events; "
                f"the others are imported. {trouble}"
            )
        return events, kms, trouble

    def _bounded(self, content: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        for piece in content:
            size += len(piece)
            if size > self.most > 0:
                raise OversizeError
            yield piece

    def _pieces(self, descriptor: int) -> Iterator[bytes]:
        while piece := os.read(descriptor, PIECE):
            yield piece
            self.stop()


def _require_events(events: int, others: int) -> None:
    if others > events + _NO_EVENTS:
        raise UnreadableError("No more of it is read.")


def seen(path: FileName, status: os.stat_result) -> SeenFile:
    """Return a file as it is."""
    return SeenFile(path, status.st_size, status.st_mtime_ns, status.st_ino)
