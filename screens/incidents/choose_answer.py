"""What a step asks to be decided."""

from __future__ import annotations

from crypto_core.incidents.model import StepView
from crypto_core.text.cleaning import shortened
from screens.widgets.cells import fit
from screens.widgets.choice_dialog import ChoiceDialog
from screens.widgets.line_list import Line, line


class ChooseAnswer(ChoiceDialog[str]):
    """Returns the answer, None if the operator went back."""

    def __init__(self, step: StepView) -> None:
        super().__init__(shortened(step.step.title, 78), step.step.purpose)
        self._choices = step.step.choices

    def on_mount(self) -> None:
        """The first answer is under the cursor."""
        self.offer(self._choices, _line)


def _line(answer: str, width: int) -> Line:
    return line(" ", (fit(answer, max(width - 2, 8)), "bold"), target=answer)
