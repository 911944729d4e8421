"""Reads CloudTrail's files and folders into the store.

What can't be read is told by name, and the rest is read. A file that was read whole is known again as long as
its size, time and inode stay, and is not read a second time. File names say nothing of what is in a file:
CloudTrail delivers late and out of order.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from threading import Event
from typing import Any

from crypto_core.cancelling import stop_if
from crypto_core.counting import counted
from crypto_core.errors import InterruptedRunError
from crypto_core.foreign import clean
from crypto_core.trail.reading import read_records
from crypto_core.trail.sources.batches import Batches
from crypto_core.trail.sources.decoding import LARGEST, UnreadableError, records
from crypto_core.trail.sources.walking import NO_FILE, Found, Walk, why
from crypto_core.trail.store import EventStore, SeenFile

STDIN = "-"
"""The path that means standard input."""
_AT_ONCE = 500
"""Files that are looked up at once."""
_TOLD_EVERY = 2_000
"""Events of one file after which progress is told, and it is seen whether the operator still waits."""
_PIECE = 4 * 1024 * 1024
_LOOK_SECONDS = 0.2
"""How often a pipe that brings nothing is left to see whether the operator still waits."""


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """Where an import stands. `of` is how many files there were to begin with."""

    files: int
    of: int
    records: int
    new: int


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that was not read, or not all of it, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import brought.

    `files` are CloudTrail's files that were found, those that failed and those that are unchanged included;
    `records` the events in them, `kms` those of KMS. `duplicates` were in the store already, or came twice.
    """

    files: int = 0
    records: int = 0
    new: int = 0
    duplicates: int = 0
    kms: int = 0
    failed: tuple[FailedFile, ...] = ()
    unchanged: int = 0
    """Files that were read by an earlier import and not read again."""
    digests: int = 0
    insights: int = 0
    others: int = 0
    """Files in folders that were left out: hidden ones, and those with another suffix."""
    interrupted: bool = False

    def as_json(self) -> dict[str, Any]:
        """The report as a JSON document."""
        return {
            "files": self.files,
            "records": self.records,
            "new": self.new,
            "duplicates": self.duplicates,
            "kms": self.kms,
            "failed": [{"file": failed.file, "reason": failed.reason} for failed in self.failed],
        }


class FileImport:
    """Imports files into a store."""

    def __init__(self, store: EventStore, *, largest: int = LARGEST) -> None:
        """`largest` is the size of the largest document that is read, in bytes, unpacked."""
        self._store = store
        self._largest = largest

    def run(
        self,
        paths: Sequence[str | os.PathLike[str]],
        progress: Callable[[ImportProgress], None] | None = None,
        cancelled: Event | None = None,
        *,
        again: bool = False,
    ) -> ImportReport:
        """Read files, and all files below folders; `-` is standard input. Raises EventStoreError.

        `again` also reads files that are known and unchanged. Once `cancelled` is set, what was read is
        stored and reported.
        """
        named = [os.fspath(path) for path in paths]
        return _Run(self._store, self._largest, progress, cancelled, again=again).over(named)


class _Run:
    """One import."""

    def __init__(
        self,
        store: EventStore,
        largest: int,
        progress: Callable[[ImportProgress], None] | None,
        cancelled: Event | None,
        *,
        again: bool,
    ) -> None:
        self._store = store
        self._largest = largest
        self._progress = progress
        self._cancelled = cancelled
        self._again = again
        self._files = self._of = self._records = self._kms = self._unchanged = 0
        self._failed: list[FailedFile] = []

    def over(self, paths: list[str]) -> ImportReport:
        folders = [path for path in paths if path != STDIN]
        if self._progress is not None:
            self._of = sum(1 for _ in Walk(folders)) + (STDIN in paths)
        walk = Walk(folders)
        interrupted = False
        with Batches(self._store) as batches:
            try:
                if STDIN in paths:
                    self._take(batches, _piped(self._cancelled), "standard input")
                    self._tell(batches)
                for some in _groups(walk):
                    self._group(batches, some)
            except InterruptedRunError:
                interrupted = True
        return ImportReport(
            files=self._files,
            records=self._records,
            new=batches.stored.new,
            duplicates=self._records - batches.stored.new,
            kms=self._kms,
            failed=tuple(self._failed),
            unchanged=self._unchanged,
            digests=walk.skipped["Digest"],
            insights=walk.skipped["Insight"],
            others=walk.skipped["hidden"] + walk.skipped["other"],
            interrupted=interrupted,
        )

    def _group(self, batches: Batches, found: list[Found]) -> None:
        named = {file.path: os.fsencode(file.path) for file in found if file.status is not None}
        known = {} if self._again else self._store.seen(list(named.values()))
        for file in found:
            stop_if(self._cancelled)
            if file.status is None:
                self._files += 1
                self._fail(file.path, file.trouble)
                continue
            before = known.get(named[file.path])
            if before is not None and before.same_as(_seen(named[file.path], file.status)):
                self._files += 1
                self._unchanged += 1
                self._records += before.records
                self._kms += before.kms
            else:
                self._read(batches, file.path)
            self._tell(batches)

    def _read(self, batches: Batches, path: str) -> None:
        try:
            # What became a pipe meanwhile must not block.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError as error:
            self._files += 1
            self._fail(path, why(error))
            return
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                self._files += 1
                self._fail(path, NO_FILE)
                return
            records_before, kms_before = self._records, self._kms
            whole = self._take(batches, _pieces(descriptor, self._cancelled), path)
            file = _seen(os.fsencode(path), status)
            if not whole:
                return
            if not file.same_as(_seen(file.path, os.fstat(descriptor))):
                self._fail(path, "It changed while it was read; what was there is imported.")
                return
            batches.note(replace(file, records=self._records - records_before, kms=self._kms - kms_before))
        finally:
            os.close(descriptor)

    def _take(self, batches: Batches, pieces: Iterable[bytes], path: str) -> bool:
        """Take the events of one file; returns whether all of it could be read."""
        self._files += 1
        events = others = 0
        trouble = ""
        try:
            for event in read_records(records(pieces, largest=self._largest)):
                if event is None:
                    others += 1
                    continue
                events += 1
                self._records += 1
                self._kms += event.is_kms
                batches.put(event)
                if events % _TOLD_EVERY == 0:
                    stop_if(self._cancelled)
                    self._tell(batches)
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
        if trouble:
            self._fail(path, trouble)
        return not trouble

    def _fail(self, path: str, reason: str) -> None:
        name = os.fsencode(path).decode("utf-8", "backslashreplace")
        self._failed.append(FailedFile(clean(name, 4_096), clean(reason.strip(), 500)))

    def _tell(self, batches: Batches) -> None:
        if self._progress is not None:
            of = max(self._of, self._files)
            self._progress(ImportProgress(self._files, of, self._records, batches.stored.new))


def _groups(walk: Walk) -> Iterator[list[Found]]:
    found = iter(walk)
    while some := list(islice(found, _AT_ONCE)):
        yield some


def _seen(path: bytes, status: os.stat_result) -> SeenFile:
    return SeenFile(path, status.st_size, status.st_mtime_ns, status.st_ino)


def _pieces(descriptor: int, cancelled: Event | None) -> Iterator[bytes]:
    """The bytes of a file."""
    while piece := os.read(descriptor, _PIECE):
        yield piece
        stop_if(cancelled)


def _piped(cancelled: Event | None) -> Iterator[bytes]:
    """The bytes of standard input, however slowly they come."""
    while True:
        stop_if(cancelled)
        ready, _, _ = select.select([0], [], [], _LOOK_SECONDS)
        if ready:
            piece = os.read(0, _PIECE)
            if not piece:
                return
            yield piece
