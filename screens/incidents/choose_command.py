"""Which of a step's commands goes to the clipboard."""

from __future__ import annotations

from collections.abc import Sequence

from screens.widgets.cells import fit_middle
from screens.widgets.choice_dialog import ChoiceDialog
from screens.widgets.line_list import Line, line


class ChooseCommand(ChoiceDialog[str]):
    """Returns the command, None if the operator went back."""

    def __init__(self, commands: Sequence[str]) -> None:
        super().__init__("Copy which command?", "It is copied whole, as a shell takes it.")
        self._commands = commands

    def on_mount(self) -> None:
        self.offer(self._commands, _line)


def _line(command: str, width: int) -> Line:
    return line(" ", fit_middle(command, max(width - 2, 8)), target=command)
