"""Commands of the team's own: which to run on a row, whether to run it, and what it said."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from textual.content import Content

from crypto_core.text.cleaning import clean, shortened
from screens.user_command import CommandOutcome, UserCommand
from screens.widgets.cells import fit
from screens.widgets.choice_dialog import ChoiceDialog
from screens.widgets.dialog import Told
from screens.widgets.line_list import Line, line
from screens.widgets.question import Question

NONE = "No command of your own is set for this list: user_commands in the settings file has them."


class ChooseCommand(ChoiceDialog[UserCommand]):
    """Returns the command, None if the operator went back."""

    def __init__(self, commands: Sequence[UserCommand]) -> None:
        super().__init__("Your commands", "For the row under the cursor.")
        self._commands = commands

    def on_mount(self) -> None:
        self.offer(self._commands, _line)


def _line(command: UserCommand, width: int) -> Line:
    key = fit(command.key, 8)
    return line(" ", (key, "bold $accent"), fit(command.title, max(width - 10, 8)).rstrip(), target=command)


def ask_to_run(command: UserCommand, arguments: Sequence[str]) -> Question:
    about = clean(shlex.join(arguments), 16_000)
    warning = "It may change something. Keydeck can't tell, nor undo it."
    return Question(shortened(command.title, 78), (warning, "", about), "Run")


def command_said(command: UserCommand, outcome: CommandOutcome) -> Told:
    """Return what a command said, and how it ended."""
    end = outcome.trouble or f"Exit code {outcome.exit_code}."
    return Told(shortened(command.title, 78), Content("\n".join(outcome.lines) or "It said nothing."), end)
