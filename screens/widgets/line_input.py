"""One line to type in. What is pasted or recalled is foreign text too: it enters cleaned."""

from __future__ import annotations

from textual.widgets import Input

from crypto_core.foreign import clean

LONGEST = 10_000
"""Characters that a line holds."""


class LineInput(Input):
    """An input without control and format characters: Textual would paint them as they are."""

    def validate_value(self, value: str) -> str:
        """Return the text that the line holds."""
        return clean(value, LONGEST)

    def on_mount(self) -> None:
        """Nothing blinks but live data, and what is there is added to, not typed over."""
        self.cursor_blink = False
        self.select_on_focus = False
