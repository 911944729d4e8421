"""What KMS calls came to lately: how many, how many of them throttled, and how long they took."""

from __future__ import annotations

from dataclasses import dataclass

_MOST = 20_000
"""Latencies that are kept between two looks."""


@dataclass(frozen=True, slots=True)
class CallSample:
    """The calls since the look before, each attempt counted. Latencies are in milliseconds.

    `pace` is the share of the quota that the pace keeps to, in calls a second, and `standing` why (pace.py).
    """

    calls: int = 0
    throttled: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    pace: float = 0.0
    standing: str = ""


class CallWatch:
    """Told of every call by the event loop; any one thread may look."""

    def __init__(self) -> None:
        self.calls = 0
        self.throttled = 0
        self._seen = (0, 0)
        self._seconds: list[float] = []

    def call(self, seconds: float) -> None:
        self.calls += 1
        if len(self._seconds) < _MOST:
            self._seconds.append(seconds)

    def take_sample(self) -> CallSample:
        seconds, self._seconds = self._seconds, []
        calls, throttled = self.calls, self.throttled
        before, self._seen = self._seen, (calls, throttled)
        seconds.sort()
        return CallSample(
            calls - before[0],
            throttled - before[1],
            _percentile(seconds, 0.50) * 1000,
            _percentile(seconds, 0.99) * 1000,
        )


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
