"""Reads CloudTrail's files and folders into the store; a thread stores what was read while the next are read.

What can't be read is told by name, and the rest is read. A file that was read whole is known again as long as
its size, time and inode stay, and is not read a second time. File names say nothing of what is in a file:
CloudTrail delivers late and out of order. Where many are to be read, processes on the other cores read ahead;
what they bring is stored in the order in which the files are found, as if there were none.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from threading import Event
from types import TracebackType
from typing import Self

from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_columns import Prepared
from crypto_core.trail.seen_file import FileName, SeenFile
from crypto_core.trail.sources.files.find_files import FoundFile, Walk
from crypto_core.trail.sources.files.import_report import FailedFile, ImportProgress, ImportReport, NamedFiles
from crypto_core.trail.sources.files.one_file import FileReader, seen
from crypto_core.trail.sources.files.packed_logs import LARGEST
from crypto_core.trail.sources.files.reader_process import BYTES, EVENTS, LEFT, Part
from crypto_core.trail.sources.files.readers import Answer, Readers
from crypto_core.trail.sources.files.readers import processes as reading_processes
from crypto_core.trail.store import Added, EventStore
from crypto_core.values.cancellation import piped, stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import InterruptedRunError


class Batches:
    """Stores events in batches; used as a context. Any call may raise EventStoreError of the one before."""

    def __init__(self, store: EventStore) -> None:
        self.stored = Added()
        self._store = store
        self._events: list[TrailEvent] = []
        self._prepared: list[Prepared] = []
        self._files: list[SeenFile] = []
        self._held = self._bytes = 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="import")
        self._under_way: Future[Added] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._hand_over()
                self._await()
        finally:
            self._pool.shutdown()

    def put(self, event: TrailEvent) -> None:
        if self._prepared:
            self._hand_over()
        self._events.append(event)
        self._bytes += len(event.raw)
        if len(self._events) >= EVENTS or self._bytes >= BYTES:
            self._hand_over()

    def put_prepared(self, prepared: Prepared) -> None:
        if self._events:
            self._hand_over()
        self._prepared.append(prepared)
        self._held += len(prepared.ids)
        self._bytes += prepared.size
        if self._held >= EVENTS or self._bytes >= BYTES:
            self._hand_over()

    def note(self, file: SeenFile) -> None:
        self._files.append(file)
        if len(self._files) >= EVENTS:
            self._hand_over()

    def _hand_over(self) -> None:
        self._await()
        if self._prepared:
            self._under_way = self._pool.submit(self._store.add_prepared, self._prepared, self._files)
        elif self._events or self._files:
            self._under_way = self._pool.submit(self._store.add, self._events, self._files)
        self._events, self._prepared, self._files, self._held, self._bytes = [], [], [], 0, 0

    def _await(self) -> None:
        if self._under_way is not None:
            waited, self._under_way = self._under_way, None
            self.stored += waited.result()


class Intake:
    """Of one import, in numbers as ImportReport has them. Raises InterruptedRunError and EventStoreError."""

    def __init__(
        self,
        batches: Batches,
        largest: int,
        progress: Callable[[ImportProgress], None] | None,
        cancelled: Event | None,
        of: int,
    ) -> None:
        self.files = self.records = self.kms = self.unchanged = 0
        self.failed: list[FailedFile] = []
        self.named = NamedFiles()
        self._batches = batches
        self._progress = progress
        self._cancelled = cancelled
        self._of = of
        self._reader = FileReader(self._put, largest, stop=self._stop, tell=self._stop_or_tell)

    def take_pipe(self, pieces: Iterable[bytes]) -> None:
        self.files += 1
        _, _, trouble = self._reader.read_pieces(pieces)
        if trouble:
            self._fail(b"standard input", trouble)
        self._tell()

    def take_files(self, files: Iterable[FoundFile], answer: Iterable[Part] | None) -> None:
        parts = None if answer is None else iter(answer)
        for file in files:
            if parts is None:
                self._stop()
            self.files += 1
            if file.known is not None:
                self.unchanged += 1
                self.records += file.known.records
                self.kms += file.known.kms
                self.named.note(file.path, known=True)
            elif file.trouble:
                self._fail(file.path, file.trouble)
            else:
                read = self._taken(parts) if parts is not None else LEFT
                self._note(file.path, self._reader.read_file(file.path) if read is LEFT else read)
            self._tell()

    def _taken(self, parts: Iterator[Part]) -> SeenFile | str | None:
        for part in parts:
            if not isinstance(part, Prepared):
                return part
            self.records += part.given
            self.kms += part.kms_given
            self._batches.put_prepared(part)
        return LEFT

    def _put(self, event: TrailEvent) -> None:
        self.records += 1
        self.kms += event.is_kms
        self._batches.put(event)

    def _note(self, path: FileName, read: SeenFile | str) -> None:
        if isinstance(read, SeenFile):
            self._batches.note(read)
            self.named.note(path)
        else:
            self._fail(path, read)

    def _fail(self, path: FileName, reason: str) -> None:
        self.named.fail(path)
        name = path.decode("utf-8", "backslashreplace")
        self.failed.append(FailedFile(clean(name, 4_096), clean(reason.strip(), 500)))

    def _stop(self) -> None:
        stop_if(self._cancelled)

    def _stop_or_tell(self) -> None:
        self._stop()
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            of = max(self._of, self.files)
            self._progress(ImportProgress(self.files, of, self.records, self._batches.stored.new))


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
