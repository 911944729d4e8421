"""Reads CloudTrail's files and folders into the store.

What can't be read is told by name, and the rest is read. A file that was read whole is known again as long as
its size, time and inode stay, and is not read a second time. File names say nothing of what is in a file:
CloudTrail delivers late and out of order. Where many are to be read, processes on the other cores read ahead;
what they bring is stored in the order in which the files are found, as if there were none.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from threading import Event

from crypto_core.cancellation import piped
from crypto_core.errors import InterruptedRunError
from crypto_core.trail.seen_file import SeenFile
from crypto_core.trail.sources.files.find_files import FoundFile, Walk
from crypto_core.trail.sources.files.import_report import ImportProgress, ImportReport
from crypto_core.trail.sources.files.intake import Batches, Intake
from crypto_core.trail.sources.files.one_file import seen
from crypto_core.trail.sources.files.packed_logs import LARGEST
from crypto_core.trail.sources.files.readers import Answer, Readers
from crypto_core.trail.sources.files.readers import processes as reading_processes
from crypto_core.trail.store import EventStore

STDIN = "-"
LEAST = 250
"""Fewer files than these are read sooner than a process is started."""
_AS_MUCH = 16 * 1024
"""Bytes, packed, that take as long to read as one more file does."""
_FILES, _BYTES = 128, 4 * 1024 * 1024
"""Files to read of a chunk, and their bytes: some hundreds of events, so that no process waits for long."""
_AT_ONCE = 500


class FileImport:
    def __init__(
        self, store: EventStore, *, largest: int = LARGEST, processes: int | None = None, least: int = LEAST
    ) -> None:
        """`largest` is the size of the largest document that is read, in bytes, unpacked.

        By `processes` (None: as the machine has cores) small files are read, once `least` or more of those
        that are looked up at once are not known, or fewer that are as much to read.
        """
        self._store = store
        self._largest = largest
        self._processes = reading_processes() if processes is None else processes
        self._least = least

    def import_files(
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
        walk = Walk([path for path in named if path != STDIN])
        of = 0
        if progress is not None:
            of = sum(1 for _ in Walk([path for path in named if path != STDIN])) + (STDIN in named)
        interrupted = False
        with Batches(self._store) as batches, ExitStack() as stack:
            intake = Intake(batches, self._largest, progress, cancelled, of)
            try:
                if STDIN in named:
                    intake.take_pipe(piped(0, cancelled))
                for files, answer in self._read(walk, stack, cancelled, again=again):
                    intake.take_files(files, answer)
            except InterruptedRunError:
                interrupted = True
        return ImportReport(
            files=intake.files,
            records=intake.records,
            new=batches.stored.new,
            duplicates=intake.records - batches.stored.new,
            kms=intake.kms,
            failed=tuple(intake.failed),
            unchanged=intake.unchanged,
            digests=walk.skipped["Digest"],
            insights=walk.skipped["Insight"],
            others=walk.skipped["hidden"] + walk.skipped["other"],
            interrupted=interrupted,
            named=intake.named,
        )

    def _read(
        self, walk: Walk, stack: ExitStack, cancelled: Event | None, *, again: bool
    ) -> Iterator[tuple[Sequence[FoundFile], Answer | None]]:
        """The files as they are found, with a process's answer; without one, they are to be read here."""
        readers: Readers | None = None
        ahead: deque[tuple[Sequence[FoundFile], Future[Answer] | None]] = deque()

        def next_chunk() -> tuple[Sequence[FoundFile], Answer | None]:
            files, asked = ahead.popleft()
            return files, None if readers is None or asked is None else readers.answered(asked, cancelled)

        for files in self._looked_up(walk, again=again):
            if readers is None and self._processes and _work(files) >= self._least:
                readers = stack.enter_context(Readers(self._processes, self._largest))
            if readers is None:
                yield files, None
                continue
            for chunk in _chunks(files):
                paths = [file.path for file in chunk if file.small]
                ahead.append((chunk, readers.ask(paths) if paths else None))
                if len(ahead) > 2 * self._processes:
                    yield next_chunk()
        while ahead:
            yield next_chunk()

    def _looked_up(self, walk: Walk, *, again: bool) -> Iterator[list[FoundFile]]:
        found = iter(walk)
        while some := list(islice(found, _AT_ONCE)):
            known = {} if again else self._store.seen([file.path for file in some if file.status])
            yield [_known(file, known.get(file.path)) for file in some]


def _work(files: Sequence[FoundFile]) -> int:
    return sum(1 + file.size // _AS_MUCH for file in files if file.small)


def _chunks(files: Sequence[FoundFile]) -> Iterator[Sequence[FoundFile]]:
    some: list[FoundFile] = []
    number = size = 0
    for file in files:
        large = file.to_read and not file.small
        if some and (large or number >= _FILES or size + file.size > _BYTES):
            yield some
            some, number, size = [], 0, 0
        if large:
            yield [file]
            continue
        some.append(file)
        number += file.to_read
        size += file.size
    if some:
        yield some


def _known(found: FoundFile, before: SeenFile | None) -> FoundFile:
    if before is not None and found.status is not None and before.same_as(seen(found.path, found.status)):
        return replace(found, known=before)
    return found
