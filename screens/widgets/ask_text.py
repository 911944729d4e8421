"""Asks for one line of text: a reason, a note, a number, the one thing that a change needs to know."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Button, Input, Static

from crypto_core.values.clean_text import shortened
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.line_input import LineInput


class AskText(Dialog[str | None]):
    """Returns the typed text, None if the operator went back."""

    def __init__(
        self, title: str, about: str, text: str = "", *, label: str = "Go on", optional: bool = False
    ) -> None:
        """`text` is there at first; `label` is on the button, which needs a text unless it is `optional`."""
        super().__init__()
        self._title, self._about, self._before = title, about, text
        self._label, self._optional = label, optional

    def compose(self) -> ComposeResult:
        with framed(shortened(self._title, 78)):
            yield Static(Content(self._about), classes="about")
            yield LineInput(self._before, id="text", compact=True)
            yield buttons(("Cancel", "cancel"), (self._label, "go-on"))

    def on_mount(self) -> None:
        self.show_ready()

    @on(Input.Changed, "#text")
    def show_ready(self) -> None:
        """Without a text that is needed there is no way on."""
        self.query_one("#go-on", Button).disabled = not (self._text or self._optional)

    @on(Input.Submitted, "#text")
    @on(Button.Pressed, "#go-on")
    def go_on(self) -> None:
        if self._text or self._optional:
            self.dismiss(self._text)

    @property
    def _text(self) -> str:
        return self.query_one("#text", Input).value.strip()
