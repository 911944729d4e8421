"""Waits out what passes: a lost connection, a restarted server, a full disk, a lost race for a lock.

Also a KMS that is throttled, fails or does not answer, where it is asked besides the bulk calls.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from threading import Event
from time import monotonic
from typing import TypeVar

from crypto_core.values.errors import DatabaseError, KmsError

_log = logging.getLogger(__name__)

PATIENCE_SECONDS = 600.0
"""Longer than a database takes to fail over, or than a line that was cut off usually stays so."""
FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0

T = TypeVar("T")


class Endurance:
    """Tries what fails for a while again, until it succeeds, it is stopped, or that lasts too long."""

    def __init__(self, stopped: Event, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._stopped = stopped
        self._patience_seconds = patience_seconds

    def __call__(self, call: Callable[[], T]) -> T:
        """Return what `call` returns, which must be safe to do twice. Raises what it raised last."""
        began, wait = monotonic(), FIRST_WAIT_SECONDS
        while True:
            try:
                return call()
            except (DatabaseError, KmsError) as error:
                passing = error.passing if isinstance(error, DatabaseError) else error.transient
                if not passing or self._stopped.is_set():
                    raise
                if monotonic() - began > self._patience_seconds:
                    raise
                _log.info("Refused for now: %s", error.message)
            self._stopped.wait(wait * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, no secret
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
