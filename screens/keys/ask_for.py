"""Asks for the one thing that a change of a key needs to know."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Static

from screens.widgets.dialog import Dialog, button
from screens.widgets.line_input import LineInput


class AskFor(Dialog[str | None]):
    """Returns what was typed, None if the operator went back."""

    DEFAULT_CSS = """
    AskFor #given { height: 1; padding: 0 1; border: none; background: $panel; }
    """

    def __init__(self, title: str, about: str, text: str, *, optional: bool = False) -> None:
        """`text` stands in the line at first; what is `optional` may be left empty."""
        super().__init__()
        self._optional = optional
        self._title = title
        self._about = about
        self._text = text

    def compose(self) -> ComposeResult:
        """The question, the line, and the ways on and back."""
        with Vertical(classes="frame") as frame:
            frame.border_title = Content(f"{self._title}: nothing has been changed yet")
            yield Static(Content(self._about), classes="about")
            yield LineInput(self._text, id="given", compact=True)
            with Horizontal(classes="buttons"):
                yield button("Cancel", "cancel")
                yield button("Go on", "preview")

    def on_mount(self) -> None:
        """The line first."""
        self.query_one("#given").focus()
        self.show_ready()

    @on(Input.Changed, "#given")
    def show_ready(self) -> None:
        """There is nothing to preview before something is typed."""
        self.query_one("#preview", Button).disabled = not (self._given or self._optional)

    @on(Input.Submitted, "#given")
    @on(Button.Pressed, "#preview")
    def go_on(self) -> None:
        """Return what was typed."""
        if self._given or self._optional:
            self.dismiss(self._given)

    @property
    def _given(self) -> str:
        return self.query_one("#given", Input).value.strip()

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        """Go back."""
        self.dismiss(None)
