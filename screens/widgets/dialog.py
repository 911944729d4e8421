"""The frame of every dialog: a title, a body, and buttons of which the safe one has the focus."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button

Result = TypeVar("Result")


class Dialog(ModalScreen[Result]):
    """A modal screen. Esc leaves it and changes nothing; q quits from here too."""

    CSS_PATH = "dialog.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", tooltip="Close this and change nothing"),
        Binding("left", "app.focus_previous", "Previous", show=False, tooltip="To the button on the left"),
        Binding("right", "app.focus_next", "Next", show=False, tooltip="To the button on the right"),
        Binding("q", "app.quit", "Quit", show=False, tooltip="Leave Keydeck at once"),
    ]

    def action_leave(self) -> None:
        """Close the dialog without a result."""
        self.dismiss(None)


def button(label: str, id_: str) -> Button:
    """Return a button of one line. Its label is text, never markup."""
    return Button(Content(f" {label} "), id=id_, compact=True)
