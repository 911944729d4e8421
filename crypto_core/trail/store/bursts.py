"""The stretch of time in which one principal did most. Stretches begin every half of their length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from crypto_core.text.cleaning import CleanText


@dataclass(frozen=True, slots=True)
class Burst:
    """The most that one principal did within one stretch of time, from `since` on."""

    principal: CleanText
    number: int
    since: datetime


Stretch = tuple[int, int]
"""How many events there are, and the half of a stretch with which it begins."""


def stretches(halves: Mapping[int, int]) -> list[Stretch]:
    """Each two halves that follow each other."""
    begins = {begin for at in halves for begin in (at - 1, at)}
    return [(halves.get(at, 0) + halves.get(at + 1, 0), at) for at in begins]


def busiest(stretches: Iterable[Stretch]) -> Stretch:
    """The one with the most events, the earliest of several."""
    return max(stretches, key=lambda one: (one[0], -one[1]))


def most_different(stretches: Iterable[Stretch], different: Callable[[int], int]) -> Stretch:
    """The one with the most different values: no stretch has more of these than events."""
    best = (0, 0)
    for events, at in sorted(stretches, key=lambda one: (-one[0], one[1])):
        if events <= best[0]:
            break
        best = max(best, (different(at), at), key=lambda one: one[0])
    return best
