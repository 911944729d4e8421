"""Further processes for a job, one after the other, while a core is full and another is free."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from crypto_core.reencryption.jobs.model import JobState, JobView

LOOK_SECONDS = 5.0
"""How long is measured before it is decided: a process that was just started has to show what it does."""
FULL = 0.85
"""The share of a core from which it counts as full: the rest goes into waiting for PostgreSQL and KMS."""
FREE = 0.5
"""How much of a core must be idle on this machine."""
WORTH_SECONDS = 30.0
"""A job that is done sooner isn't worth a further process, which takes seconds to start."""


def cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def idle_cores() -> float:
    """Return how many cores were idle since the last call; without sense at the first."""
    import psutil

    return cores() * (100.0 - psutil.cpu_percent()) / 100.0


class Growth:
    """Measures this process, whose load is that of each process that works on the same job."""

    def __init__(
        self,
        most: int,
        *,
        used: Callable[[], float] = time.process_time,
        idle: Callable[[], float] = idle_cores,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`most` is how many processes there may be in all. `used` is in seconds of processor time."""
        self._most = most
        self._used = used
        self._idle = idle
        self._clock = clock
        self._idle()  # It tells what was since the call before.
        self._begin()

    def wants_more(self, running: int, view: JobView) -> bool:
        """Return whether a further process should be started beside the `running` ones. Ask often."""
        if running >= self._most:
            return False
        passed = self._clock() - self._since
        if passed < LOOK_SECONDS:
            return False
        share = (self._used() - self._used_before) / passed
        is_free = self._idle() >= FREE
        self._begin()
        is_long = view.state is JobState.RUNNING and (view.eta_seconds or 0.0) >= WORTH_SECONDS
        return share >= FULL and is_free and is_long

    def _begin(self) -> None:
        self._since, self._used_before = self._clock(), self._used()
