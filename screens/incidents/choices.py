"""Choices about a step: what it asks to be decided, and which of its commands is copied."""

from __future__ import annotations

from collections.abc import Sequence

from crypto_core.incidents.model import StepView
from crypto_core.values.clean_text import shortened
from screens.widgets.cells import fit, fit_middle
from screens.widgets.choice_dialog import ChoiceDialog
from screens.widgets.line_list import Line, line

SAFE = "if undecided"
"""Stands beside the safe answer."""


class ChooseAnswer(ChoiceDialog[str]):
    """Returns the answer, None if the operator went back."""

    def __init__(self, step: StepView) -> None:
        super().__init__(shortened(step.step.title, 78), step.step.purpose)
        self._choices = step.step.choices
        self._safe = step.step.undecided

    def on_mount(self) -> None:
        """The safe answer is under the cursor; where none is known to be safe, the way back has the focus."""
        self.offer(self._choices, self._line, self._choices.index(self._safe) if self._safe else 0)
        if not self._safe:
            self.query_one("#cancel").focus()

    def _line(self, answer: str, width: int) -> Line:
        note = f"  {SAFE}" if answer == self._safe else ""
        shown = fit(answer, max(width - 2 - len(note), 8))
        return line(" ", (shown.rstrip(), "bold"), (note, "$muted"), target=answer)


class ChooseCommandToCopy(ChoiceDialog[str]):
    """Returns the command, None if the operator went back."""

    def __init__(self, commands: Sequence[str]) -> None:
        super().__init__("Copy which command?", "It is copied whole, as a shell takes it.")
        self._commands = commands

    def on_mount(self) -> None:
        self.offer(self._commands, _line)


def _line(command: str, width: int) -> Line:
    return line(" ", fit_middle(command, max(width - 2, 8)), target=command)
