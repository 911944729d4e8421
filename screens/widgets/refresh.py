"""How often a screen asks anew by itself."""

from __future__ import annotations

from datetime import datetime

from screens.facts import ScreenFacts


class Refreshing:
    """The rhythm of one screen, as set, else its own; and whether it's paused."""

    def __init__(self, facts: ScreenFacts, name: str, own: float) -> None:
        self.paused = False
        self._facts = facts
        self._seconds = facts.intervals.get(name, own)

    @property
    def words(self) -> str:
        if self.paused:
            return "paused"
        return f"↻{self._seconds:g}s" if self._seconds else "↻off"

    def due(self, at: datetime | None, took: float) -> bool:
        """True if what was learnt at that time, in `took` seconds, is old enough to be asked for anew.

        Asking takes at most a twentieth of the time, whatever the interval: the database is production's.
        """
        if self.paused or not self._seconds or at is None:
            return False
        return (self._facts.clock() - at).total_seconds() >= max(self._seconds, took * 20)

    def pause(self) -> bool:
        self.paused = not self.paused
        return self.paused
