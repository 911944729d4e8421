"""The frame of every dialog: a title, a body, and buttons of which the safe one has the focus."""

from __future__ import annotations

import math
from time import monotonic
from typing import Any, ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import Event, Key, Paste, Resize
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from screens.leavable_screen import LeavableScreen
from screens.worker_calls import PendingCall

Result = TypeVar("Result")


class Dialog(LeavableScreen[Result], ModalScreen[Result]):
    """A modal screen. Esc leaves it and changes nothing; q quits from here too."""

    _asked: PendingCall[Any] | None = None
    """The call that is cancelled if the dialog is left."""
    _drawn_at = math.inf
    """When all that can be pressed was first to be seen, by the clock of events."""

    AUTO_FOCUS = "Input, Button"  # where text is asked for, else the safe button
    BODY: ClassVar[int] = 58
    """How much of the screen's height a body may take, in percent; 0 leaves it to the style."""
    DEFAULT_CSS = """
    Dialog {
        align: center middle;
        background: $background 55%;
        & > .frame {
            width: 110; max-width: 94%; height: auto; max-height: 92%;
            padding: 1 2; background: $surface;
            border: round $accent 60%; border-title-color: $accent; border-title-style: bold;
        }
        .about { margin-bottom: 1; }
        .body { height: auto; max-height: 58vh; scrollbar-size-vertical: 1; }
        .buttons { height: 1; margin-top: 1; align-horizontal: right; }
        Button { margin-left: 2; background: $panel; color: $foreground; text-style: none; }
        Button:hover { background: $cursor; }
        Button:focus { background: $accent; color: $background; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", tooltip="Close without changing anything"),
        Binding("left", "app.focus_previous", "Previous", show=False, tooltip="To the button on the left"),
        Binding("right", "app.focus_next", "Next", show=False, tooltip="To the button on the right"),
        Binding("pageup", "page(-1)", "Page up", show=False, tooltip="The text above"),
        Binding("pagedown", "page(1)", "Page down", show=False, tooltip="The text below"),
        Binding("q", "app.quit", "Quit", show=False, tooltip="Quit now"),
    ]

    def premature(self, event: Event) -> bool:
        """Return True for what was pressed before it was drawn: nobody agrees to what can't be seen yet.

        Text for a field is kept, unless it is what has to be typed to confirm; Esc leads back.
        """
        if event.time >= self._drawn_at or (isinstance(event, Key) and event.key == "escape"):
            return False
        text = isinstance(event, Paste) or (isinstance(event, Key) and event.is_printable)
        return not (text and isinstance(self.focused, Input) and self.focused.id != "typed")

    def changed(self) -> None:
        """Something else can be agreed to: what was pressed before that is drawn doesn't count."""
        self._drawn_at = math.inf

    def _compositor_refresh(self) -> None:
        super()._compositor_refresh()
        shown = (one for one in self.query(Button) if one.display)
        if self._drawn_at == math.inf and all(one in self._compositor for one in shown):
            self._drawn_at = monotonic()

    def on_unmount(self) -> None:
        if self._asked is not None:
            self._asked.drop()

    @on(Resize)
    def bound(self, event: Resize) -> None:
        """Bound the bodies in cells: a frame as high as its content counts no other bound."""
        if self.BODY:
            for body in self.query(".body"):
                body.styles.max_height = max(event.size.height * self.BODY // 100, 3)

    def action_page(self, pages: int) -> None:
        """Scroll what is longer than the dialog, wherever the focus is."""
        for body in self.query(".body"):
            body.scroll_relative(y=pages * max(body.size.height - 1, 1), animate=False)

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        self.action_leave()

    def action_leave(self) -> None:
        self.dismiss(None)


class Told(Dialog[None]):
    """Says something; there is nothing to choose."""

    def __init__(self, title: str, content: Content, below: str = "") -> None:
        super().__init__()
        self._title, self._content, self._below = title, content, below

    def compose(self) -> ComposeResult:
        with framed(self._title, self._below):
            with VerticalScroll(classes="body"):
                yield Static(self._content)
            yield buttons(("Close", "cancel"))


def button(label: str, id_: str) -> Button:
    """Return a button of one line. Its label is text, never markup."""
    return Button(Content(f" {label} "), id=id_, compact=True)


def buttons(*labels: tuple[str, str]) -> Horizontal:
    """Return the row of buttons that ends a dialog, the safe one first: each a label and an id."""
    return Horizontal(*(button(label, id_) for label, id_ in labels), classes="buttons")


def framed(title: str, below: str = "") -> Vertical:
    """Return a dialog's frame, to be composed in, with its title and what stands in its lower border."""
    frame = Vertical(classes="frame")
    frame.border_title, frame.border_subtitle = Content(title), Content(below) if below else None
    return frame
