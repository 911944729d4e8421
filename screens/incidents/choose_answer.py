"""What a step asks to be decided."""

from __future__ import annotations

from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from crypto_core.incidents.model import StepView
from crypto_core.text.cleaning import shortened
from screens.routes import Followed
from screens.widgets.cells import fit
from screens.widgets.dialog import Dialog, button
from screens.widgets.line_list import LineList, line


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """One answer: what a line leads to."""

    text: str


class ChooseAnswer(Dialog[str | None]):
    """Returns the answer, None if the operator went back."""

    def __init__(self, step: StepView) -> None:
        super().__init__()
        self._step = step

    def compose(self) -> ComposeResult:
        """The question, the answers, and the way back."""
        with Vertical(classes="frame") as frame:
            frame.border_title = Content(shortened(self._step.step.title, 78))
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(Content(self._step.step.purpose), classes="about")
            yield LineList(id="answers")
            with Horizontal(classes="buttons"):
                yield button("Cancel", "cancel")

    def on_mount(self) -> None:
        """The first answer is under the cursor."""
        answers, choices = self.query_one("#answers", LineList), self._step.step.choices
        answers.styles.height = min(len(choices), 8)
        answers.write(
            lambda size: [
                line(" ", (fit(choice, max(size.width - 2, 8)), "bold"), target=AnswerLine(choice))
                for choice in choices
            ]
        )
        answers.focus()

    @on(Followed)
    def choose(self, event: Followed) -> None:
        """Go on with the answer."""
        event.stop()
        if isinstance(event.target, AnswerLine):
            self.dismiss(event.target.text)
