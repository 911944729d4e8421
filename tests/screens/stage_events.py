"""The events of the stage: a real store in a folder that goes with it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from weakref import finalize

from crypto_core.trail.store import EventStore
from tests.screens.stage_gate import Enter, Gated

_CALLS = (
    *("annotate", "count", "event", "histogram", "page"),
    *("pivot", "review", "state", "summary", "tally"),
)


def _remove(store: EventStore, folder: Path) -> None:
    store.close()
    shutil.rmtree(folder, ignore_errors=True)


class StageEvents(Gated):
    def __init__(self, enter: Enter, clock: Callable[[], datetime]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="keydeck-stage-"))
        self.store = EventStore(folder / "events.sqlite", clock=clock)
        super().__init__(self.store, enter, {call: f"events.{call}" for call in _CALLS})
        finalize(self, _remove, self.store, folder)
