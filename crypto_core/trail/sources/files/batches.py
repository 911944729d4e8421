"""Events on their way into the store: many at once, by another thread, while the next are read."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from crypto_core.trail.event import TrailEvent
from crypto_core.trail.prepared import Prepared
from crypto_core.trail.sources.files.reading_process import BYTES, EVENTS
from crypto_core.trail.store import Added, EventStore, SeenFile


class Batches:
    """Stores events in batches, one after the other; used as a context.

    A file is noted as read together with its last event or after it, never before. Raises EventStoreError
    of the batch before, too.
    """

    def __init__(self, store: EventStore) -> None:
        self.stored = Added()
        """What became of the events that are stored by now."""
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
        """Take an event."""
        if self._prepared:
            self._hand_over()
        self._events.append(event)
        self._bytes += len(event.raw)
        if len(self._events) >= EVENTS or self._bytes >= BYTES:
            self._hand_over()

    def put_prepared(self, prepared: Prepared) -> None:
        """Take events that are prepared."""
        if self._events:
            self._hand_over()
        self._prepared.append(prepared)
        self._held += len(prepared.ids)
        self._bytes += prepared.size
        if self._held >= EVENTS or self._bytes >= BYTES:
            self._hand_over()

    def note(self, file: SeenFile) -> None:
        """Note that all events of a file were put here."""
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
