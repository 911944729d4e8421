"""How a query under way stands, and when it is given up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from crypto_core.errors import QueryLimitError, TrailError
from crypto_core.text.cleaning import clean

Rest = Callable[[Event, float], object]
"""Waits so many seconds, or until the event is set."""


@dataclass(frozen=True, slots=True)
class QueryStatus:
    """How a query stands. `failure` is set if it came to nothing, `scanned` are bytes so far."""

    scanned: int
    done: bool = False
    failure: str = ""

    def check(self, name: str, most: int) -> None:
        """Raise TrailError for a query that came to nothing, QueryLimitError for one that scans too much."""
        if self.failure:
            raise TrailError(
                f"{name}'s query came to nothing: {clean(self.failure, 300)}.",
                remedy="Check the table or store that is set up, and what may read it.",
            )
        if self.scanned > most and not self.done:
            raise QueryLimitError(
                f"{name}'s query was stopped: it had scanned {self.scanned:,} bytes, {most:,} are allowed."
            )
