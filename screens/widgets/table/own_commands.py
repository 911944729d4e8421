"""Commands of the team's own: which to run on a row, whether to run it, and what it said."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from crypto_core.text.cleaning import clean, shortened
from screens.user_command import CommandOutcome, UserCommand
from screens.widgets.cells import fit
from screens.widgets.choice_dialog import ChoiceDialog
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.line_list import Line, line

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


class AskToRun(Dialog[bool]):
    """Returns True if it is to be run; the safe button has the focus."""

    def __init__(self, command: UserCommand, arguments: Sequence[str]) -> None:
        super().__init__()
        self._command, self._arguments = command, arguments

    def compose(self) -> ComposeResult:
        with framed(shortened(self._command.title, 78)):
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(Content(clean(shlex.join(self._arguments), 16_000)))
            yield Static(
                Content("It may change something. Keydeck can't tell, nor undo it."), classes="about"
            )
            yield buttons(("Cancel", "cancel"), ("Run", "run"))

    def on_mount(self) -> None:
        self.query_one("#cancel").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "run":
            event.stop()
            self.dismiss(True)


class CommandSaid(Dialog[None]):
    """What a command said, and how it ended."""

    def __init__(self, command: UserCommand, outcome: CommandOutcome) -> None:
        super().__init__()
        self._command, self._outcome = command, outcome

    def compose(self) -> ComposeResult:
        outcome = self._outcome
        end = outcome.trouble or f"Exit code {outcome.exit_code}."
        with framed(shortened(self._command.title, 78), end):
            with VerticalScroll(classes="body", can_focus=True):
                yield Static(Content("\n".join(outcome.lines) or "It said nothing."))
            yield buttons(("Close", "cancel"))
