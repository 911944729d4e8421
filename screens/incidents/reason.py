"""Asks for one sentence that is kept with the incident: a reason, a note, an outcome."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Static

from crypto_core.text.cleaning import shortened
from screens.widgets.dialog import Dialog, button
from screens.widgets.line_input import LineInput


class AskText(Dialog[str | None]):
    """Returns what was typed, None if the operator went back. Nothing goes on without a text."""

    DEFAULT_CSS = """
    AskText #text { height: 1; padding: 0 1; border: none; background: $panel; }
    """

    def __init__(self, title: str, about: str, label: str, text: str = "") -> None:
        """`label` is on the button that goes on; `text` stands in the line from the start."""
        super().__init__()
        self._title, self._about, self._label, self._before = title, about, label, text

    def compose(self) -> ComposeResult:
        """What it is for, the line, and the ways on and back."""
        with Vertical(classes="frame") as frame:
            frame.border_title = Content(shortened(self._title, 78))
            yield Static(Content(self._about), classes="about")
            yield LineInput(self._before, id="text", compact=True)
            with Horizontal(classes="buttons"):
                yield button("Cancel", "cancel")
                yield button(self._label, "go-on")

    def on_mount(self) -> None:
        """The line first."""
        self.query_one("#text").focus()
        self.show_ready()

    @on(Input.Changed, "#text")
    def show_ready(self) -> None:
        """Without a text there is no way on."""
        self.query_one("#go-on", Button).disabled = not self._text

    @on(Input.Submitted, "#text")
    @on(Button.Pressed, "#go-on")
    def go_on(self) -> None:
        """Return the text."""
        if self._text:
            self.dismiss(self._text)

    @property
    def _text(self) -> str:
        return self.query_one("#text", Input).value.strip()

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        """Go back."""
        self.dismiss(None)
