"""A dialog that asks for a file's name, writes the file in the background, and says what is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from crypto_core.values.cancellation import Cancellation
from crypto_core.values.typed_names import expanded
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.widgets.dialog import Dialog, buttons
from screens.widgets.line_input import LineInput
from screens.widgets.notice import trouble_content
from screens.worker_calls import ask


class FileDialog(Dialog[None]):
    """Subclasses write the file, and word the result."""

    DEFAULT_CSS = "FileDialog #path { margin: 1 0; }"
    LIMIT_SECONDS: ClassVar[float] = 600.0

    def __init__(self, facts: ScreenFacts, path: str) -> None:
        """`path` is what the file's name begins as."""
        super().__init__()
        self._facts = facts
        self._path = path

    def writer(self, path: Path) -> Callable[[Cancellation], int]:
        """Return what writes the file in a worker, and returns how much; raises what the service raises."""
        raise NotImplementedError

    def done(self, written: int, path: Path) -> str:
        """Return the sentence about the written file."""
        raise NotImplementedError

    def asking(self, said: str) -> Iterator[Widget]:
        """Yield the line for the file's name, what is `said` below it, and the ways on and back."""
        yield LineInput(self._path, id="path")
        yield Static(Content(said), id="said")
        yield buttons(("Cancel", "cancel"), ("Write", "write"))

    def say(self, content: Content) -> None:
        self.query_one("#said", Static).update(content)

    @property
    def writing(self) -> bool:
        return self._asked is not None and self._asked.waiting

    @on(Input.Submitted, "#path")
    @on(Button.Pressed, "#write")
    def write(self) -> None:
        if self.writing:
            return
        path = expanded(self.query_one("#path", Input).value.strip())
        self._asked = ask(
            self,
            self.writer(path),
            lambda answer: self._ended(answer, path),
            group="file",
            limit=self.LIMIT_SECONDS,
        )

    def _ended(self, answer: int | Failure, path: Path) -> None:
        if isinstance(answer, Failure):
            self.say(trouble_content(answer))
            return
        self.say(Content.assemble(("● ", "$success"), f"{self.done(answer, path)} Only you may read it."))
        self.query_one("#write").display = False
        close = self.query_one("#cancel", Button)
        close.label = Content(" Close ")
        close.focus()
