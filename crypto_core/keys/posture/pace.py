"""A polite pace for questions that KMS answers only so many of a second, for the whole account."""

from __future__ import annotations

import threading
from collections.abc import Callable
from threading import Event
from time import monotonic

from crypto_core.values.cancellation import stop_if


class CallerPace:
    """Lets so many callers a second through. Thread-safe."""

    def __init__(
        self,
        per_second: float,
        *,
        clock: Callable[[], float] = monotonic,
        rest: Callable[[Event, float], object] = Event.wait,
    ) -> None:
        self._interval = 1.0 / per_second
        self._clock = clock
        self._rest = rest
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self, cancelled: Event | None = None) -> None:
        """Return when it is this caller's turn. Raises InterruptedRunError once `cancelled` is set."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._interval
        if turn > now:
            self._rest(cancelled or Event(), turn - now)
        stop_if(cancelled)
