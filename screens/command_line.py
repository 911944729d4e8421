"""The command line, with completion and history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from screens.leavable_screen import LeavableScreen
from screens.widgets.cells import fit
from screens.widgets.line_input import InputHistory, LineInput

SHOWN = 8


@dataclass(frozen=True, slots=True)
class CommandChoice:
    """A command that can be typed, what follows it, and what it does. `possible` is False where not now."""

    command: str
    argument: str
    explanation: str
    possible: bool = True
    values: tuple[str, ...] = ()
    """What the argument may be, where that is known."""


class CommandLine(LeavableScreen[str | None], ModalScreen[str | None]):
    """Returns the typed text, None without any."""

    DEFAULT_CSS = """
    CommandLine {
        background: $background 0%;
        align: left bottom;
        & > Vertical { height: auto; background: $surface; border-top: solid $accent 60%; padding: 0 1; }
        & #choices { height: auto; }
        & Horizontal { height: 1; }
        & #colon { width: 1; }
        & Input { width: 1fr; padding: 0; background: $surface; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "back"),
        Binding("up", "recall(-1)", "earlier", show=False),
        Binding("down", "recall(1)", "later", show=False),
        Binding("tab", "complete(1)", "complete", show=False),
        Binding("shift+tab", "complete(-1)", "complete", show=False),
    ]

    def __init__(self, choices: Sequence[CommandChoice], history: Sequence[str]) -> None:
        super().__init__()
        self._choices = choices
        self._recall = InputHistory(history)
        self._typed = ""
        self._at = -1
        self._completed: str | None = None

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(id="choices")
            with Horizontal():
                yield Static(Content.assemble((":", "bold $accent")), id="colon")
                yield LineInput(placeholder="a command; Tab completes, ↑ recalls, Esc closes")

    def on_mount(self) -> None:
        self._show()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.value != self._completed:
            # What is typed after a completion goes on from there.
            self._at, self._completed = -1, None
        if self._at < 0:
            self._typed = event.value
        self._show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._submit(event.value)

    def _submit(self, text: str) -> None:
        self.dismiss(text.strip().removeprefix(":").strip() or None)

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_recall(self, direction: int) -> None:
        field = self.query_one(Input)
        self._at = -1
        self._set(self._recall.step(direction, field.value))

    def action_complete(self, direction: int) -> None:
        found = self._completions()
        if not found:
            return
        self._at = (
            (self._at + direction) % len(found) if self._at >= 0 else (0 if direction > 0 else len(found) - 1)
        )
        self._completed = found[self._at]
        self._set(self._completed)

    def _set(self, text: str) -> None:
        field = self.query_one(Input)
        field.value = text
        field.cursor_position = len(text)

    def _completions(self) -> list[str]:
        name, space, argument = self._typed.partition(" ")
        if space:
            choice = next((c for c in self._choices if c.command == name), None)
            values = choice.values if choice is not None else ()
            return [f"{name} {value}" for value in values if value.startswith(argument.strip())]
        return [c.command + (" " if c.argument else "") for c in self._matching()]

    def _matching(self) -> list[CommandChoice]:
        """Commands that begin with the typed text, then those that contain it, then those explained by it."""
        name = self._typed.strip().removeprefix(":").lower().partition(" ")[0]
        if not name:
            return list(self._choices)
        ranked: list[list[CommandChoice]] = [[], [], []]
        for choice in self._choices:
            if choice.command.startswith(name):
                ranked[0].append(choice)
            elif name in choice.command:
                ranked[1].append(choice)
            elif name in choice.explanation.lower():
                ranked[2].append(choice)
        return [choice for group in ranked for choice in group]

    def _show(self) -> None:
        width = max(self.size.width - 2, 20)
        found = self._matching()
        lines = []
        for choice in found[:SHOWN]:
            style = "bold $accent" if choice.possible else "$disabled"
            usage = f"{choice.command} {choice.argument}".strip()
            words = choice.explanation + ("" if choice.possible else " (not now)")
            lines.append(
                Content.assemble(
                    (fit(usage, 26), style),
                    "  ",
                    (fit(words, width - 28).rstrip(), "" if choice.possible else "$disabled"),
                )
            )
        if not found:
            lines.append(Content.assemble(("There is no such command.", "$warning")))
        elif len(found) > SHOWN:
            lines.append(Content.assemble((f"and {len(found) - SHOWN} more", "$muted")))
        self.query_one("#choices", Static).update(Content("\n").join(lines))
