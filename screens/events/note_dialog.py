"""Asks for a note on an event."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Static

from screens.widgets.dialog import Dialog, button
from screens.widgets.line_input import LineInput


class NoteDialog(Dialog[str | None]):
    """Returns the note, "" to take it away, None if it stays as it is."""

    DEFAULT_CSS = """
    NoteDialog #note { height: 1; padding: 0 1; border: none; background: $panel; }
    """

    def __init__(self, about: str, note: str) -> None:
        """`about` names the event, in clean text."""
        super().__init__()
        self._about = about
        self._note = note

    def compose(self) -> ComposeResult:
        """The event, the line, and the ways on and back."""
        with Vertical(classes="frame") as frame:
            frame.border_title = Content("Note")
            words = "Kept in the local store, with your identity and the time. Empty takes it away."
            yield Static(Content(f"{self._about}\n{words}"), classes="about")
            yield LineInput(self._note, id="note", compact=True)
            with Horizontal(classes="buttons"):
                yield button("Cancel", "cancel")
                yield button("Keep", "keep")

    def on_mount(self) -> None:
        """The line first."""
        self.query_one("#note").focus()

    @on(Input.Submitted, "#note")
    @on(Button.Pressed, "#keep")
    def keep(self) -> None:
        """Return the note."""
        self.dismiss(self.query_one("#note", Input).value.strip())

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        """Leave it as it is."""
        self.dismiss(None)
