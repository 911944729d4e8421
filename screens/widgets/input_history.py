"""Stepping through an input's history, as a shell does."""

from __future__ import annotations

from collections.abc import Sequence


class InputHistory:
    """A history that is stepped through from its end. What is being typed waits at the end."""

    def __init__(self, history: Sequence[str]) -> None:
        self._entries = [*history, ""]
        self._at = len(history)

    def step(self, direction: int, typed: str) -> str:
        """Return the entry before (-1) or behind (1) the one at hand, which is `typed` by now."""
        self._entries[self._at] = typed
        self._at = min(max(self._at + direction, 0), len(self._entries) - 1)
        return self._entries[self._at]
