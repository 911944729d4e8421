"""Answers that are the same for every token, remembered while many are asked about one after the other."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from time import monotonic
from typing import Any, TypeVar

from crypto_core.trail.store import EventStore

SECONDS = 60.0
"""So long an answer is remembered at most: what tokens are stored may change without the events."""
_T = TypeVar("_T")


class Remembered:
    """Answers about one store, until it changes. Several threads may ask: at worst, each is answered anew."""

    def __init__(self) -> None:
        self._state: tuple[Hashable, ...] = ()
        self._answers: dict[Hashable, Any] = {}

    def once(self, store: EventStore, question: Hashable, answer: Callable[[], _T]) -> _T:
        """Return what was answered to a question, or the answer. Raises what `answer` does."""
        state = (*store.state(), monotonic() // SECONDS)
        if state != self._state:
            self._state, self._answers = state, {}
        known = self._answers
        if question not in known:
            known[question] = answer()
        found: _T = known[question]
        return found
