"""Lines to read whose values can be copied whole, however they are wrapped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from textual.content import Content

from screens.actions.action import Action
from screens.widgets.cells import cut
from screens.widgets.event_text import EventText
from screens.widgets.line_list import Line


@dataclass(frozen=True, slots=True)
class CopiedValue:
    """A value that the clipboard can have."""

    text: str


class CopiedText(EventText):
    """Lines whose values can be copied; a value leads nowhere."""

    def possible(self, action: Action) -> bool | None:
        """A value can't be opened."""
        if (
            action.name == "open"
            and self.current is not None
            and isinstance(self.current.target, CopiedValue)
        ):
            return None
        return super().possible(action)


def copied_lines(
    text: str, width: int, *, lead: str = "", lead_style: str = "", style: str = "", target: object = None
) -> Iterator[Line]:
    """Yield a text behind a lead, wrapped and set in; `y` copies it whole, Enter follows `target`."""
    shown = Content(text).stylize(style)
    for number, part in enumerate(shown.wrap(max(width - len(lead), 20))):
        front = " " * len(lead) if number else lead
        line = Content.assemble((front, lead_style), part)
        yield Line(line, target or CopiedValue(text), f"y copies: {cut(text, 200)}" if text else "")
