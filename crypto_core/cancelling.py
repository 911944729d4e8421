"""Cancels a call that blocks elsewhere: the waiting code registers what ends its wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock

from crypto_core.errors import InterruptedRunError


class Cancellation(Event):
    """An event with callbacks. Setting it twice calls each only once."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        self._told: list[Callable[[], None]] = []

    def set(self) -> None:
        with self._lock:
            super().set()
            told, self._told = self._told, []
        for end in told:
            end()

    @contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` if this is set while the block runs, or was set before; it must not block for long."""
        with self._lock:
            late = self.is_set()
            if not late:
                self._told.append(end)
        if late:
            end()
        try:
            yield
        finally:
            with self._lock:
                if end in self._told:
                    self._told.remove(end)


def stop_if(cancelled: Event | None) -> None:
    """Raise InterruptedRunError once `cancelled` is set."""
    if cancelled is not None and cancelled.is_set():
        raise InterruptedRunError("Cancelled.")
