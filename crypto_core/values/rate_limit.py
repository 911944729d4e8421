"""How often one thing is logged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

_MOST = 1_000
"""How many kinds are remembered; past that, all are forgotten."""


class LogRateLimit:
    """Lets one event of a kind through in so many seconds. Thread-safe."""

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[tuple[str, ...], float] = {}

    def due(self, *kind: str) -> bool:
        now = self._clock()
        with self._lock:
            last = self._last.get(kind)
            if last is not None and now - last < self._seconds:
                return False
            if len(self._last) >= _MOST:
                self._last.clear()
            self._last[kind] = now
            return True
