"""The welcome card: what has happened in a demonstration, and the three keys to begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from screens.widgets.dialog import Dialog, buttons, framed

ABOUT = """\
This is a demonstration: a PostgreSQL with made-up connections and an AWS endpoint, both on this machine. \
Nothing you do leaves it, and all of it is gone when you quit.

It begins with the traffic of seven days. Last night somebody opened more tokens than ever before."""


@dataclass(frozen=True, slots=True)
class FirstKey:
    """A key to begin with: its name, how it's printed, the command that it stands for, why to press it."""

    key: str
    shown: str
    command: str
    why: str


FIRST_KEYS = (
    FirstKey("7", "7", "findings", "Findings: the first one is last night's; Enter opens its calls"),
    FirstKey("5", "5", "incidents", "Incidents: a leaked token, dealt with; Enter opens it"),
    FirstKey("question_mark", "?", "help", "Help: what can be done, here and on every other screen"),
)


class WelcomeCard(Dialog[str | None]):
    """Returns the command of the key that was pressed, None after Esc."""

    DEFAULT_CSS = "WelcomeCard > .frame { width: 76; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(one.key, f"begin('{one.command}')", one.command, show=False, tooltip=one.why)
        for one in FIRST_KEYS
    ]

    def compose(self) -> ComposeResult:
        with framed("Welcome to Keydeck", "Esc closes, q quits"):
            yield Static(Content(ABOUT), classes="about")
            lines = (Content.assemble((f"  {one.shown}  ", "bold $accent"), one.why) for one in FIRST_KEYS)
            yield Static(Content("\n").join(lines))
            yield buttons(("Look around", "cancel"))

    def action_begin(self, command: str) -> None:
        self.dismiss(command)
