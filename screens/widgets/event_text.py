"""A text that is read line by line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.geometry import Size

from screens.actions.action import Action
from screens.widgets.line_list import Line, LineList


class EventText(LineList):
    """Text to read: the cursor rests on every line, and stays where it is when the text is written anew."""

    def selectable(self, index: int) -> bool:
        return 0 <= index < self.line_count()

    def write(self, lines: Callable[[Size], Sequence[Line]]) -> None:
        self._write = lines
        self._lines = lines(self.size)
        self.lines_changed(self.cursor)

    def possible(self, action: Action) -> bool | None:
        if action.name == "open" and (self.current is None or self.current.target is None):
            return None
        return super().possible(action)
