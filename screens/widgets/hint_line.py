"""One line that says what to do about the line under the cursor."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from screens.widgets.cells import cut


class HintLine(Static):
    """Empty where there is nothing to say."""

    DEFAULT_CSS = """
    HintLine { height: 1; padding: 0 1; color: $muted; }
    """

    def say(self, hint: str) -> None:
        words = cut(hint, max(self.screen.size.width - 4, 10))
        self.update(Content.assemble(("→ ", "$accent"), words) if words else Content(""), layout=False)
