"""An account's KMS quota, the platform that takes from it, and jobs beside it, in simulated time.

Time goes by in steps of a millisecond. The quota is a token bucket of one second's calls: what finds it empty
is refused, whoever asks. The platform's calls come at random (Poisson); refused, they are made again as
botocore's mode "standard" does, up to three times in all. A job has as many calls to make as it may, and
makes each refused one again. Calls take a time that is drawn, and a caller hears of its refusal after that.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from typing import Protocol

from crypto_core.reencryption.bulk.pace import CallPace

STEP_SECONDS = 0.001
WINDOW_SECONDS = 0.1
BEAT_SECONDS = 1.0
"""How often the processes of a job hear of each other's pace."""
ATTEMPTS = 3
"""botocore's mode "standard" makes a call so often."""

Platform = Callable[[float], float]
"""Gives the platform's calls a second at a moment."""


class AccountQuota:
    """A token bucket: `rate` calls a second, and at most one second's calls at once."""

    def __init__(self, rate: float, now: float = 0.0) -> None:
        self.rate = self.level = rate
        self._at = now

    def take(self, now: float) -> bool:
        self.level = min(self.rate, self.level + (now - self._at) * self.rate)
        self._at = now
        if self.level < 1.0:
            return False
        self.level -= 1.0
        return True


class SimulatedClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Caller(Protocol):
    hears_all: bool
    """Whether it is told of calls that were answered, too."""

    def ask(self) -> int: ...

    def hear(self, turn: int, seconds: float, *, throttled: bool) -> None:
        """A call was answered or throttled, so many seconds after it was sent."""
        ...


class Paced:
    hears_all = False

    def __init__(self, pace: CallPace) -> None:
        self.pace = pace
        self._turn = 0

    def ask(self) -> int:
        if self.pace.take_turn():
            return 0
        self._turn += 1
        return self._turn

    def hear(self, turn: int, seconds: float, *, throttled: bool) -> None:
        if throttled:
            self.pace.throttled(turn, seconds)


@dataclass(slots=True)
class Window:
    """A tenth of a second: calls of each caller that were let through and refused, and the platform's."""

    at: float
    left: float
    """Calls that the platform left of the quota."""
    taken: list[int]
    refused: list[int]
    platform: int = 0
    platform_refused: int = 0


@dataclass(slots=True)
class Simulation:
    """What came of it. `latencies` are the platform's, from a call's first attempt to its end, in order."""

    windows: list[Window] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def share(self, *spans: tuple[float, float]) -> float:
        """How much of what the platform left the job took within spans of time."""
        inside = [w for w in self.windows if any(a <= w.at < b for a, b in spans)]
        return sum(sum(w.taken) for w in inside) / max(sum(w.left for w in inside), 1.0)

    def platform_throttled(self) -> float:
        refused = sum(w.platform_refused for w in self.windows)
        return refused / max(sum(w.platform for w in self.windows), 1)

    def p99(self) -> float:
        return self.latencies[int(len(self.latencies) * 0.99)] if self.latencies else 0.0

    def yielded(self, burst: float, most: float) -> float:
        """Seconds from the first refusal in a burst until the job makes no more calls than are left.

        Calls are counted over the second that follows. Returns `most` for a job that never does.
        """
        behind = [w for w in self.windows if w.at >= burst - 1e-9]
        first = next((n for n, w in enumerate(behind) if w.platform_refused or any(w.refused)), None)
        if first is None or behind[first].at > burst + most:
            return 0.0
        second = round(1.0 / WINDOW_SECONDS)
        for n in range(first, len(behind) - second):
            ahead = behind[n : n + second]
            made = sum(sum(w.taken) + sum(w.refused) for w in ahead)
            if made <= sum(w.left for w in ahead):
                return min((n - first) * WINDOW_SECONDS, most)
        return most

    def back(self, end: float, most: float) -> float:
        """Seconds from a burst's end until the job takes 90 % of what is left, over half a second."""
        behind = [w for w in self.windows if w.at >= end - 1e-9]
        half = round(0.5 / WINDOW_SECONDS)
        for n in range(half, len(behind) + 1):
            before = behind[n - half : n]
            if sum(sum(w.taken) for w in before) >= 0.9 * sum(w.left for w in before):
                return n * WINDOW_SECONDS
        return most


def simulate(
    quota: float | Platform,
    platform: Platform,
    seconds: float,
    make: Sequence[Callable[[SimulatedClock], Caller]],
    seed: int = 1,
    *,
    each_step: Callable[[float], None] = lambda now: None,
) -> Simulation:
    """Let callers and the platform share a quota, which may change, for so long."""
    arriving, drawing, ordering = (random.Random(f"{seed} {what}") for what in ("calls", "seconds", "order"))
    clock = SimulatedClock()
    callers = [one(clock) for one in make]
    allowed = quota if callable(quota) else lambda now: quota
    account = AccountQuota(allowed(0.0))
    paces = [one.pace for one in callers if isinstance(one, Paced)]
    found = Simulation()
    due: list[tuple[float, int, int, int, float, bool]] = []
    number, next_arrival, next_beat = 0, 0.0, BEAT_SECONDS
    window = Window(0.0, 0.0, [0] * len(callers), [0] * len(callers))
    for step in range(round(seconds / STEP_SECONDS)):
        now = clock.now = step * STEP_SECONDS
        each_step(now)
        account.rate = allowed(now)
        rate = platform(now)
        if now - window.at >= WINDOW_SECONDS - 1e-9:
            found.windows.append(window)
            window = Window(now, 0.0, [0] * len(callers), [0] * len(callers))
        window.left += max(account.rate - rate, 0.0) * STEP_SECONDS
        calls: list[tuple[int, int, float]] = []
        if rate > 0:
            next_arrival = max(next_arrival, now)
            while next_arrival < now + STEP_SECONDS:
                calls.append((-1, 1, now))
                next_arrival += arriving.expovariate(rate)
        while due and due[0][0] <= now:
            _, _, who, turn, sent, throttled = heappop(due)
            if who < 0:
                calls.append((who, turn, sent))
            else:
                callers[who].hear(turn, now - sent, throttled=throttled)
        for who, caller in enumerate(callers):
            while turn := caller.ask():
                calls.append((who, turn, now))
        if callers:
            ordering.shuffle(calls)
        for who, turn, sent in calls:
            let = account.take(now)
            number += 1
            if who >= 0:
                window.taken[who] += let
                window.refused[who] += not let
                if not let or callers[who].hears_all:
                    heappush(due, (now + _seconds(ordering), number, who, turn, now, not let))
                continue
            took = _seconds(drawing) if turn == 1 else _seconds(ordering)
            window.platform += 1
            window.platform_refused += not let
            if let or turn == ATTEMPTS:
                found.latencies.append(now - sent + took)
            else:
                again = now + took + ordering.random() * 2 ** (turn - 1)
                heappush(due, (again, number, who, turn + 1, sent, False))
        if len(paces) > 1 and now >= next_beat:
            next_beat = now + BEAT_SECONDS
            mean = sum(pace.share for pace in paces) / len(paces)
            for pace in paces:
                pace.set_rate(inf, guess=pace.guess, fellows=mean)
    found.latencies.sort()
    return found


def _seconds(drawn: random.Random) -> float:
    """How long a call takes: 5 ms in the middle, 16 ms in the 99th percentile."""
    return drawn.lognormvariate(-5.3, 0.5)
