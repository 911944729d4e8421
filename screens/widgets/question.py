"""Asks the operator: whether something is to be done, with the safe button first, or for one line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Static

from crypto_core.guard.consent import agrees
from crypto_core.values.clean_text import shortened
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.line_input import LineInput


class Question(Dialog[bool]):
    """Returns True if the operator agreed; `typed` is the text that has to be typed, "" for a press alone."""

    DEFAULT_CSS = "Question #typed { width: 36; margin-top: 1; }"

    def __init__(
        self, title: str, lines: Sequence[str], label: str, typed: str = "", *, safe: str = "Cancel"
    ) -> None:
        super().__init__()
        self._safe = safe
        self._title = title
        self._about = lines
        self._label = label
        self._typed = typed

    def compose(self) -> ComposeResult:
        with framed(self._title):
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(Content("\n").join(Content(line) for line in self._about))
            if self._typed:
                line = LineInput(placeholder=f"Type {self._typed} to confirm", id="typed", compact=True)
                line.cursor_blink = False
                yield line
            yield buttons((self._safe, "cancel"), (self._label, "confirm"))

    def on_mount(self) -> None:
        self.show_ready()

    @property
    def _agreed(self) -> bool:
        return not self._typed or agrees(self.query_one("#typed", Input).value, self._typed)

    @on(Input.Changed, "#typed")
    def show_ready(self) -> None:
        self.query_one("#confirm", Button).disabled = not self._agreed

    @on(Input.Submitted, "#typed")
    @on(Button.Pressed, "#confirm")
    def go_on(self) -> None:
        if self._agreed:
            self.dismiss(True)

    def action_leave(self) -> None:
        self.dismiss(False)


class Leaving(Question):
    """Returns True to leave all the same. q leaves at once from here too."""

    def __init__(self, jobs: Sequence[int], actions: Mapping[int, str]) -> None:
        about: list[str] = []
        named: list[str] = []
        if jobs:
            numbers = ", ".join(str(job) for job in jobs)
            these = f"job {numbers}" if len(jobs) == 1 else f"jobs {numbers}"
            named.append(these)
            about += [
                f"This console works on {these}. Its processes end with it, after writing what they hold.",
                "Nothing is lost: the job's progress is in the database. Continue it on any host with:",
                *(f"  keydeck jobs join {job}" for job in jobs),
            ]
        if actions:
            named.append(", ".join(f"INC-{incident}" for incident in actions))
            about += [
                *(f"INC-{incident}: {words}" for incident, words in actions.items()),
                "The step stops where it is. Nothing is lost: continue it on any host with:",
                *(f"  keydeck incident next {incident}" for incident in actions),
            ]
        super().__init__(
            f"Leave Keydeck while it works on {' and '.join(named)}?", about, "Leave", safe="Stay"
        )


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
