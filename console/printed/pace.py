"""How fast something goes, and how long it takes yet, by what was seen of it here."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from screens.moments import span

_WINDOW = 60.0
"""Seconds that count: a rate of long ago says nothing of what is to come."""
_LEAST = 3.0
"""Seconds that have to be seen before anything is said."""


@dataclass(slots=True)
class Pace:
    """The pace of what is seen from time to time. What was done before it was first seen doesn't count."""

    clock: Callable[[], float] = time.monotonic
    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def per_second(self, done: int) -> float | None:
        """Take in how much is done by now; return how much a second that was of late, None if not known."""
        now = self.clock()
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _WINDOW:
            self._seen.popleft()
        since, before = self._seen[0]
        if now - since < _LEAST or done <= before:
            return None
        return (done - before) / (now - since)


def pace_words(done: int, total: int, per_second: float | None, unit: str = "") -> str:
    """Return a rate, and how long the rest takes at it, in words; "" where the rate isn't known."""
    if not per_second:
        return ""
    rate = f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.1f}"
    told = f"{rate}{f' {unit}' if unit else ''}/s"
    if done >= total:
        return told
    return f"{told}, about {span(timedelta(seconds=(total - done) / per_second))} left"
