"""The intruder's successful and refused actions. No token, no envelope, no data key."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from console.practice.game_day.scenario import Act
from crypto_core.values.references import TokenRef


class CallOutcome(StrEnum):
    DONE = "done"
    REFUSED = "refused"
    LOST = "lost"
    """No answer, or one that says neither: throttled, unreachable. Never taken as refused."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One call of the intruder. `ref` is the token that it was about, where it was about one."""

    at: datetime
    act: Act
    persona: str
    came: CallOutcome
    ref: TokenRef | None = None


class Deeds:
    """The intruder's log. Written by its thread, read by others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deeds: list[Deed] = []

    def add(self, deed: Deed) -> None:
        with self._lock:
            self._deeds.append(deed)

    def all(self) -> tuple[Deed, ...]:
        with self._lock:
            return tuple(self._deeds)


def shut_out_at(deeds: Iterable[Deed]) -> datetime | None:
    """Return since when all that the intruder tries is refused; None if it isn't, or tried nothing since."""
    since: datetime | None = None
    for deed in deeds:
        if deed.came is CallOutcome.DONE:
            since = None
        elif deed.came is CallOutcome.REFUSED and since is None:
            since = deed.at
    return since


def opened(deeds: Iterable[Deed]) -> frozenset[TokenRef]:
    return frozenset(
        deed.ref
        for deed in deeds
        if deed.act is Act.OPEN and deed.came is CallOutcome.DONE and deed.ref is not None
    )
