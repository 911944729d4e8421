"""How fast KMS is asked: as fast as its quota leaves room, by what KMS says, and never above a limit.

The whole account takes from one quota (quota.py), as from a bucket that fills evenly, and how much production
takes is unknown. One thing is known exactly: between two moments in which the bucket was empty, a process
took what others left, whatever they did. So each time that KMS throttles, the calls made since the time
before say what is left. The pace stops for a moment, which fills the bucket for others, goes on somewhat
below what is left, comes near it, and after some seconds goes above it, to see whether there is more: the
curve is CUBIC's (RFC 9438). A bucket hides that too much is taken until it is empty. So the pace doubles only
once more was taken than could have been left, until it is throttled. Throttled again at once, it stops for
longer each time, down to next to nothing.

Calls come a few at a time: it is then mostly the last of those that finds the bucket empty, not production's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from math import inf
from time import monotonic

SLOWEST = 1.0
"""Calls a second below which throttling doesn't bring the pace."""
STARVED_PAUSES = 4
"""Pauses in a row, each throttled at once behind it, after which nothing is taken to be left."""
BURST_SECONDS = 0.01
START = 0.02
"""The part of the guessed quota with which a pace begins. Half of the guess it reaches in two seconds."""
_LEAP_SECONDS = 1.0
"""Longer than this between two looks and the process or its machine stood still: it counts as this long."""
_SLICE_SECONDS = 0.1
_GATHER_SECONDS, _GATHERED = 0.2, 20.0
_STEP_SECONDS = 0.01
_SPARSE = 20.0
"""Calls a second up to which a window is too short to tell how many are made."""
_WINDOW_SECONDS = 0.25
_PAUSE_SECONDS = 0.15
_LONGEST_PAUSE = 4
"""Times that the pause is doubled."""
_DIP = 0.18
"""How far below what is left the pace goes on after it was throttled."""
_FIRST_HOLD, _LONGEST_HOLD = 3.0, 30.0
"""Seconds until it is back at what is left, at first and at the longest."""
_CALLS_A_HOLD, _OFTEN = 2_500, 8.0
"""Calls, and seconds, between two looks for more at least: each costs production some, whatever the pace."""
_RISE, _STEEPEST = 0.05, 10.0
_FORGETTING_SECONDS = 30.0
_REFUTED = 1.1
"""More than this times what is left was taken: then more is left."""
_DOUBLING_SECONDS, _SLOW_DOUBLING_SECONDS = 0.35, 1.5
_FAMILIAR = 0.8
"""The part of what was known to be left up to which the pace doubles fast."""
_EVENING_SECONDS = 4.0
"""How long a process takes to come to what its fellows make."""


class PaceTrend(Enum):
    RISING = "rising"
    """It looks for what is left."""
    SHARED = "shared"
    """What the rest of the account leaves, as far as KMS has let through lately."""
    LIMITED = "limited"
    """The limit that was set."""
    UNUSED = "unused"
    """More than is made: something else is slower than KMS."""
    STARVED = "starved"
    """Next to nothing: KMS throttles whatever the pace."""


class CallPace:
    """Gives calls their turn. For one event loop; limit and fellows may be set from any thread."""

    def __init__(
        self, limit: float = inf, *, guess: float = 0.0, clock: Callable[[], float] = monotonic
    ) -> None:
        """`limit` is in calls a second, above 0; `guess` is the quota, as far as known.

        Without a guess the pace begins at the limit. Raises ValueError for a limit that is none, or without
        either.
        """
        self._clock = clock
        self._seen = clock()
        self._now = 0.0
        self._limit = _above_zero(limit)
        self._known = 0.0
        self._sure = False
        self._rate = 0.0
        self._left: float | None = None
        self._heard = 0
        self._begin(guess)
        self._fellows = 0.0
        self._credit, self._is_gathering = 0.0, False
        self._turns = self._empty_turns = 0
        self._empty_at = self._resumes_at = self._adjusted_at = 0.0
        self._used = 0.0
        self._hold = _FIRST_HOLD
        self._pauses = 0
        self._made, self._window_at, self._window_turns = 0.0, 0.0, 0
        self._waiting: asyncio.Lock | None = None

    @property
    def rate(self) -> float:
        """Calls a second that are made at most just now."""
        return min(self._rate, self._limit)

    @property
    def share(self) -> float:
        """Calls a second about which the rate swings, for fellows to take their mean of."""
        return min(self._left or self._rate, self._limit)

    @property
    def standing(self) -> PaceTrend:
        if self._pauses >= STARVED_PAUSES or (self._left is not None and self._rate <= SLOWEST):
            return PaceTrend.STARVED
        if self._made < self.rate / 2:
            return PaceTrend.UNUSED
        if self._rate >= self._limit:
            return PaceTrend.LIMITED
        return PaceTrend.RISING if self._left is None else PaceTrend.SHARED

    def set_rate(self, limit: float, *, guess: float = 0.0, fellows: float = 0.0) -> None:
        """Set the limit, above 0. What waits goes by it within a tenth of a second.

        `guess` counts until KMS has throttled. `fellows` is the mean share of the processes that have the
        work in common, this one among them, 0 for one alone.
        """
        self._limit = _above_zero(limit)
        self._fellows = fellows
        if not self._heard and (guess != self.guess or not guess):
            self._begin(guess)

    async def turn(self) -> int:
        """Wait until the next call may be made; returns its number, for `throttled`."""
        if self._waiting is None:
            self._waiting = asyncio.Lock()
        if not self._waiting.locked() and not self.take_turn():
            return self._turns
        async with self._waiting:
            while wait := self.take_turn():
                await asyncio.sleep(min(wait, _SLICE_SECONDS))
            return self._turns

    def take_turn(self) -> float:
        """Take the next turn if it has come; returns 0.0 then, else the seconds until it may have come."""
        passed = self._tick()
        if self._now < self._resumes_at:
            self._adjusted_at = self._now
            return self._resumes_at - self._now
        if self._now - self._adjusted_at >= _STEP_SECONDS:
            self._adjust(self._now - self._adjusted_at)
        rate = min(self._rate, self._limit)
        self._credit = min(max(_GATHERED, rate * BURST_SECONDS), self._credit + passed * rate)
        needed = min(max(1.0, rate * _GATHER_SECONDS), _GATHERED) if self._is_gathering else 1.0
        if self._credit < needed:
            self._is_gathering = True
            return (needed - self._credit) / rate
        self._credit -= 1.0
        self._is_gathering = False
        self._turns += 1
        return 0.0

    def throttled(self, turn: int = 0, seconds: float = 0.0) -> None:
        """KMS reported too many calls, ours or production's, for the call of a turn; the last, if 0.

        It did so `seconds` after the call was sent. What was sent before the last fall is throttled with
        it, and says nothing more.
        """
        self._tick()
        turn = turn or self._turns
        if turn <= self._heard:
            self._empty_turns += turn > self._empty_turns
            return
        at = max(self._now - seconds, self._resumes_at)
        taken, passed = max(turn - 1 - self._empty_turns, 0), max(at - self._empty_at, _STEP_SECONDS)
        made = taken / passed
        rate = min(self._rate, self._limit, max(self._made, made))
        before, first = self._left, not self._heard
        early = self._used < self._hold and before is not None
        if first:
            left = rate * 0.4
        elif early and self._sure and not self._fellows:
            left = min(max(made, rate / 8), rate / 3)
        else:
            left = min(max(made, rate / 4 if early else rate / 2), rate)
        left = max(left, SLOWEST)
        self._sure = before is not None
        if before is None or left < before * 0.75:
            self._hold = min(max(_FIRST_HOLD, 500 / left), 5.0)
        elif not early:
            self._hold = min(self._hold * 1.5, max(_CALLS_A_HOLD / left, _OFTEN), _LONGEST_HOLD)
        self._known = max(left, self._known)
        self._left = left
        self._pauses = min(self._pauses + 1, _LONGEST_PAUSE) if early else 0
        self._resumes_at = self._now + _PAUSE_SECONDS * 2**self._pauses
        self._used = 0.0
        self._rate = left * (1 - _DIP)
        self._credit = 0.0
        self._heard = self._turns
        self._empty_at, self._empty_turns = at, turn

    def _begin(self, guess: float) -> None:
        self.guess = guess
        """The quota that was guessed at first, 0 for none."""
        self._known = guess / 2 or self._limit
        self._rate = max(guess * START, SLOWEST) if guess else self._limit
        if self._rate == inf:
            raise ValueError("Neither a limit nor a guess.")

    def _tick(self) -> float:
        """Let time pass, as far as the clock says so: one that goes back stands still."""
        now = self._clock()
        passed = min(max(now - self._seen, 0.0), _LEAP_SECONDS)
        self._seen = now
        self._now += passed
        return passed

    def _adjust(self, passed: float) -> None:
        self._adjusted_at = self._now
        window = self._now - self._window_at
        if window >= _WINDOW_SECONDS:
            self._made = (self._turns - self._window_turns) / window
            self._window_at, self._window_turns = self._now, self._turns
        if self._made < min(self._rate, self._limit) / 2 and self._rate > _SPARSE:
            return
        most = min(self._limit, self._fellows * 2 or inf)
        if self._left is None:
            if self._rate < most:
                fast = self._rate < self._known * _FAMILIAR
                self._rate *= 2 ** (passed / (_DOUBLING_SECONDS if fast else _SLOW_DOUBLING_SECONDS))
            return
        self._used += passed
        if self._fellows:
            self._left += (self._fellows - self._left) * passed / _EVENING_SECONDS
        self._known += (self._left - self._known) * passed / _FORGETTING_SECONDS
        late = self._used - self._hold
        if late > 0:
            self._pauses = 0
            taken = (self._turns - self._empty_turns) / (self._now - self._empty_at)
            if taken > self._left * _REFUTED:
                self._left, self._hold = None, _FIRST_HOLD
                return
            rise = _RISE * min(self._known / self._left, _STEEPEST)
            self._rate = max(min(self._left * (1 + rise * late**3), most), self._left)
        else:
            self._rate = self._left * (1 + _DIP * (late / self._hold) ** 3)


def _above_zero(calls_per_second: float) -> float:
    if not calls_per_second > 0:
        raise ValueError(f"{calls_per_second} calls a second")
    return float(calls_per_second)
