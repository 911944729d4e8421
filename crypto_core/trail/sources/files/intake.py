"""Takes what an import's files hold into the store; a thread stores it while the next are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from types import TracebackType
from typing import Self

from crypto_core.cancellation import stop_if
from crypto_core.text.clean_text import clean
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_columns import Prepared
from crypto_core.trail.seen_file import FileName, SeenFile
from crypto_core.trail.sources.files.find_files import FoundFile
from crypto_core.trail.sources.files.import_report import FailedFile, ImportProgress, NamedFiles
from crypto_core.trail.sources.files.one_file import FileReader
from crypto_core.trail.sources.files.reader_process import BYTES, EVENTS, LEFT, Part
from crypto_core.trail.store import Added, EventStore


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
