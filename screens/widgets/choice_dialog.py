"""Asks for one of several things, each on a line of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from crypto_core.values.cancellation import Cancellation
from screens.blocking_calls import Failure
from screens.routes import Followed
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.line_list import Line, LineList
from screens.widgets.notice import trouble_content
from screens.worker_calls import ask

Choice = TypeVar("Choice")
_MOST_LINES = 10
"""Choices that are in sight at once."""


class ChoiceDialog(Dialog[Choice | None], Generic[Choice]):
    """Returns what the chosen line leads to, None if the operator went back."""

    def __init__(self, title: str, about: str = "", *, below: Content | None = None) -> None:
        """`about` stands above the choices, `below` under them."""
        super().__init__()
        self._title, self._about, self._below = title, about, below

    def compose(self) -> ComposeResult:
        with framed(self._title):
            if self._about:
                with VerticalScroll(classes="body", can_focus=False):
                    yield Static(Content(self._about), classes="about")
            yield Static(id="state")
            yield LineList(id="choices")
            if self._below is not None:
                yield Static(self._below)
            yield buttons(("Cancel", "cancel"))

    def ask_for(self, words: str, call: Callable[[Cancellation], Any], then: Callable[[Any], None]) -> None:
        """Ask in a worker what there is to choose from, and say so meanwhile; the way back has the focus."""

        def answered(answer: Any | Failure) -> None:
            if isinstance(answer, Failure):
                self.say(trouble_content(answer))
            else:
                then(answer)

        self.say(Content(words))
        ask(self, call, answered, group="choices")

    def say(self, words: Content) -> None:
        """Say why there is nothing to choose from."""
        self.query_one("#choices").display = False
        self.query_one("#state", Static).update(words)
        self.query_one("#cancel").focus()

    def offer(self, choices: Sequence[Any], line: Callable[[Any, int], Line], at: int = 0) -> None:
        """Show the choices, each as the line that it has in so many cells; one is under the cursor."""
        self.query_one("#state").display = False
        shown = self.query_one("#choices", LineList)
        shown.display = True
        shown.styles.height = min(len(choices), _MOST_LINES)
        shown.write(lambda size: [line(choice, size.width) for choice in choices])
        shown.move_to(at)
        shown.focus()

    @on(Followed)
    def choose(self, event: Followed) -> None:
        event.stop()
        self.dismiss(event.target)  # type: ignore[arg-type]
