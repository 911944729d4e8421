"""A text that is read line by line; its values can be copied whole, however they are wrapped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.geometry import Size

from screens.actions.action import Action
from screens.widgets.cells import cut
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


@dataclass(frozen=True, slots=True)
class CopiedValue:
    """A value that the clipboard can have; `leads_to` is a route, None where Enter leads nowhere."""

    text: str
    leads_to: object = None


class CopiedText(EventText):
    """Lines whose values can be copied; only some lead elsewhere."""

    def possible(self, action: Action) -> bool | None:
        """Only what leads elsewhere can be opened."""
        target = self.current.target if self.current is not None else None
        if action.name == "open" and isinstance(target, CopiedValue) and target.leads_to is None:
            return None
        return super().possible(action)


def copied_lines(
    text: str, width: int, *, lead: str = "", lead_style: str = "", style: str = "", leads_to: object = None
) -> Iterator[Line]:
    """Yield a text behind a lead, wrapped and set in; `y` copies it whole, Enter follows `leads_to`."""
    hint = f"y copies: {cut(text, 200)}" if text else ""
    if leads_to is not None:
        hint = f"Enter: what it is about. {hint}"
    shown = Content(text).stylize(style)
    for number, part in enumerate(shown.wrap(max(width - len(lead), 20))):
        front = " " * len(lead) if number else lead
        line = Content.assemble((front, lead_style), part)
        yield Line(line, CopiedValue(text, leads_to), hint)
