"""One line to type in, or to enter a secret in, and stepping through an input's history as a shell does.

What is pasted or recalled is foreign text too: it enters cleaned. A secret is masked, gone once it is taken,
and in no message.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.events import Key
from textual.message import Message
from textual.widgets import Input

from crypto_core.values.clean_text import clean
from crypto_core.values.secret import Secret

LONGEST = 10_000


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


class LineInput(Input):
    """An input without control and format characters: Textual would paint them as they are."""

    DEFAULT_CSS = """
    LineInput {
        height: 1; padding: 0 1; border: none; background: $panel;
        &.-textual-compact { padding: 0 1; }
        &:focus { border: none; }
    }
    """

    def validate_value(self, value: str) -> str:
        return clean(value, LONGEST)

    def validate_placeholder(self, placeholder: str | Content) -> str | Content:
        """Return what stands in the line while it is empty: it may name what is foreign."""
        return clean(placeholder, LONGEST) if isinstance(placeholder, str) else placeholder

    def on_mount(self) -> None:
        """Nothing blinks but live data, and what is there is added to, not typed over."""
        self.cursor_blink = False
        self.select_on_focus = False

    async def on_key(self, event: Key) -> None:
        """Do what a key is bound to before the next one is looked at.

        Textual takes letters and what is pasted at once, but bound keys only when they have bubbled up to the
        app: in one burst, what is typed would overtake the key that clears the line.
        """
        if event.is_printable or self.app.screen is not self.screen:
            return
        if await self.app._check_bindings(event.key):  # noqa: SLF001  # as App does
            event.stop()
            event.prevent_default()


class SecretInput(LineInput):
    """What is in it is taken once, as a Secret; messages about it tell only that it changed."""

    def __init__(self, *, placeholder: str = "", id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(placeholder=placeholder, password=True, id=id, compact=True)

    def post_message(self, message: Message) -> bool:
        """Send a message without the text: messages are logged, and kept longer than the field."""
        if isinstance(message, Input.Changed | Input.Submitted):
            message.value = ""
        return super().post_message(message)

    def take(self) -> Secret | None:
        """Return the entered text without blanks around it and empty the field; None if it is empty."""
        text = self.value.strip()
        self.clear()
        return Secret.of(text) if text else None

    def action_copy(self) -> None:
        """What is masked goes to no clipboard."""

    def action_cut(self) -> None:
        """What is masked goes to no clipboard."""
