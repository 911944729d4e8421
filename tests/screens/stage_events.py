"""The events of the stage: a real store in a folder that goes with it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any
from weakref import finalize

from crypto_core.lists.paging import Cursor, Page, Query
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.store import EventStore, StoredEvent, Summary
from crypto_core.trail.store.counts import Histogram, Pivot
from crypto_core.trail.store.tallies import Tallies


def _remove(store: EventStore, folder: Path) -> None:
    store.close()
    shutil.rmtree(folder, ignore_errors=True)


class StageEvents:
    """An EventStore. `enter` is what each call begins with: it may raise, or hang."""

    def __init__(self, enter: Callable[[str, Event | None], None], clock: Callable[[], datetime]) -> None:
        self._enter = enter
        folder = Path(tempfile.mkdtemp(prefix="keydeck-stage-"))
        self.store = EventStore(folder / "events.sqlite", clock=clock)
        finalize(self, _remove, self.store, folder)

    def add(self, events: Sequence[TrailEvent]) -> None:
        """Put events into the store."""
        self.store.add(events)

    def page(
        self, query: Query, start: Cursor | None = None, *, cancelled: Event | None = None, **options: Any
    ) -> Page[StoredEvent]:
        """A page."""
        self._enter("events.page", cancelled)
        return self.store.page(query, start, cancelled=cancelled, **options)

    def count(self, query: Query, *, cancelled: Event | None = None) -> int:
        """How many."""
        self._enter("events.count", cancelled)
        return self.store.count(query, cancelled=cancelled)

    def summary(self, expression: str, *, cancelled: Event | None = None) -> Summary:
        """How many, and how many hidden."""
        self._enter("events.summary", cancelled)
        return self.store.summary(expression, cancelled=cancelled)

    def histogram(
        self, expression: str = "", *, bars: int = 60, cancelled: Event | None = None
    ) -> Histogram | None:
        """Over time."""
        self._enter("events.histogram", cancelled)
        return self.store.histogram(expression, bars=bars, cancelled=cancelled)

    def pivot(
        self, field: str, expression: str = "", *, limit: int = 100, cancelled: Event | None = None
    ) -> Pivot:
        """By a field."""
        self._enter("events.pivot", cancelled)
        return self.store.pivot(field, expression, limit=limit, cancelled=cancelled)

    def tally(self, fields: Sequence[str], expression: str = "", **more: Any) -> Tallies:
        """Counts by several fields together."""
        self._enter("events.tally", more.get("cancelled"))
        return self.store.tally(fields, expression, **more)

    def event(self, event_id: str) -> StoredEvent:
        """One."""
        self._enter("events.event", None)
        return self.store.event(event_id)

    def state(self) -> tuple[int, int]:
        """Whether anything changed."""
        self._enter("events.state", None)
        return self.store.state()

    def review(self, event_ids: Sequence[str], by: str, *, reviewed: bool = True) -> int:
        """Mark as reviewed."""
        self._enter("events.review", None)
        return self.store.review(event_ids, by, reviewed=reviewed)

    def annotate(self, event_id: str, text: str, by: str) -> None:
        """Write a note."""
        self._enter("events.annotate", None)
        self.store.annotate(event_id, text, by)
