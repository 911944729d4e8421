"""Cancels a call that blocks elsewhere: the waiting code registers what ends its wait."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock

from crypto_core.values.errors import InterruptedRunError

_PIPED = 1 << 20
"""Bytes that are taken from a pipe at once."""
_LOOK_SECONDS = 0.2
"""How often a pipe that brings nothing is left to see whether the operator still waits."""


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


def piped(descriptor: int, cancelled: Event | None) -> Iterator[bytes]:
    """Yield what a pipe brings. Raises OSError, InterruptedRunError."""
    while True:
        stop_if(cancelled)
        ready, _, _ = select.select([descriptor], [], [], _LOOK_SECONDS)
        if not ready:
            continue
        try:
            piece = os.read(descriptor, _PIPED)
        except BlockingIOError:
            continue
        if not piece:
            return
        yield piece
