"""How often a screen asks anew by itself."""

from __future__ import annotations

from datetime import datetime

from screens.facts import Facts

INTERVALS = (5.0, 10.0, 30.0, 60.0, 300.0, 0.0)
"""Seconds that are offered, 0 for never."""


class Refreshing:
    """The rhythm of one screen, as chosen last, else as set, else its own; and whether it's paused."""

    def __init__(self, facts: Facts, name: str, own: float) -> None:
        self._facts = facts
        self._name = name
        self._own = own
        self.paused = False

    @property
    def seconds(self) -> float:
        """Seconds between refreshes, 0 for never."""
        chosen = self._facts.memory.interval(self._name)
        return chosen if chosen is not None else self._facts.intervals.get(self._name, self._own)

    @property
    def words(self) -> str:
        if self.paused:
            return "paused"
        return f"↻{self.seconds:g}s" if self.seconds else "↻off"

    def due(self, at: datetime | None, took: float) -> bool:
        """True if what was learnt at that time, in `took` seconds, is old enough to be asked for anew.

        Asking takes at most a twentieth of the time, whatever the interval: the database is production's.
        """
        if self.paused or not self.seconds or at is None:
            return False
        return (self._facts.clock() - at).total_seconds() >= max(self.seconds, took * 20)

    def pause(self) -> bool:
        self.paused = not self.paused
        return self.paused

    def choose(self, seconds: float) -> None:
        self.paused = False
        self._facts.memory.remember_interval(self._name, seconds)

    def next(self) -> float:
        longer = [s for s in INTERVALS if s > self.seconds]
        return INTERVALS[0] if not self.seconds else (longer[0] if longer else 0.0)
