"""How fast KMS is asked: at most so many calls a second, and fewer while KMS throttles.

Throttled, the pace falls by a third at once and comes back evenly within seconds (additive increase,
multiplicative decrease, as TCP does it: RFC 5681). A call that was throttled waits for its next turn like any
other, so hundreds in flight don't come back all at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

FALL = 0.7
FALL_SECONDS = 0.5
"""One fall in this time: what is in flight is throttled together, and says the same thing."""
RECOVERY_SECONDS = 20.0
"""How long the pace takes from nothing back to its limit."""
SLOWEST = 2.0
"""Calls a second below which throttling doesn't bring the pace."""
BURST_SECONDS = 0.02
_SLICE_SECONDS = 0.1


class CallPace:
    """Gives calls their turn. For one event loop; the limit may be set from any thread."""

    def __init__(self, calls_per_second: float, *, clock: Callable[[], float] = monotonic) -> None:
        """`calls_per_second` is the limit, above 0."""
        self._clock = clock
        self._limit = self._rate = _above_zero(calls_per_second)
        self._credit = 0.0
        self._now = self._counted_since = self._fell_at = clock()
        self._counted = 0
        self._measured = 0.0
        self._waiting: asyncio.Lock | None = None

    @property
    def rate(self) -> float:
        """Calls a second that are made at most just now."""
        return self._rate

    def set_rate(self, calls_per_second: float) -> None:
        """Set the limit, above 0. What waits goes by it within a tenth of a second."""
        held_back = self._rate < self._limit
        self._limit = _above_zero(calls_per_second)
        self._rate = min(self._rate, self._limit) if held_back else self._limit

    async def turn(self) -> None:
        """Wait until the next call may be made."""
        if self._waiting is None:
            self._waiting = asyncio.Lock()
        if not self._waiting.locked() and self._taken():
            return
        async with self._waiting:
            while not self._taken():
                await asyncio.sleep(min((1.0 - self._credit) / self._rate, _SLICE_SECONDS))

    def throttled(self) -> None:
        """Go slower: KMS reported too many calls, ours or production's."""
        now = self._clock()
        if now - self._fell_at < FALL_SECONDS:
            return
        self._fell_at = now
        made = min(self._rate, self._measured or self._rate)
        self._rate = max(min(SLOWEST, self._limit), made * FALL)

    def _taken(self) -> bool:
        now = self._clock()
        passed, self._now = max(now - self._now, 0.0), now
        if self._rate < self._limit:
            self._rate = min(self._limit, self._rate + self._limit * passed / RECOVERY_SECONDS)
        most = max(1.0, self._rate * BURST_SECONDS)
        self._credit = min(most, self._credit + passed * self._rate)
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        self._counted += 1
        counting = now - self._counted_since
        if counting >= FALL_SECONDS:
            self._measured = self._counted / counting
            self._counted, self._counted_since = 0, now
        return True


def _above_zero(calls_per_second: float) -> float:
    if not calls_per_second > 0:
        raise ValueError(f"{calls_per_second} calls a second")
    return float(calls_per_second)
