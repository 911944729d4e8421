"""Renews a lease in a row while a block runs, and gives it back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from crypto_core.errors import DatabaseError, DutyLostError, StepLostError

_log = logging.getLogger(__name__)


@contextmanager
def renewed(name: str, seconds: float, renew: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    """Renew a lease every so many seconds, until the block ends or `renew` says that another one has it.

    Nothing renews it once `end` is called.
    """
    over, turn = Event(), Lock()

    def keep() -> None:
        while not over.wait(seconds):
            with turn:
                if over.is_set():
                    return
                try:
                    renew()
                except (StepLostError, DutyLostError):
                    return  # the next write raises it
                except DatabaseError as error:
                    _log.info("The lease of %s can't be renewed for now: %s", name, error.message)

    Thread(target=keep, name="keydeck-lease", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        try:
            with turn:
                end()
        except DatabaseError as error:
            _log.info("The lease of %s ends by itself: %s", name, error.message)
