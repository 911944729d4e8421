"""The filter expression being typed, and what is wrong with it under the very character."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from screens.blocking import Trouble

_PROMPT = "/ "


class FilterBar(Vertical):
    """Shown while the operator edits the filter."""

    DEFAULT_CSS = """
    FilterBar {
        height: auto; display: none; padding: 0 1;
        &.-shown { display: block; }
        & > Input { border: none; height: 1; padding: 0; background: $panel; }
        & > Input:focus { border: none; height: 1; }
        & > #fault { height: auto; display: none; }
        & > #fault.-shown { display: block; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "apply", "apply", tooltip="Show what passes the expression; an empty one shows all"),
        Binding("escape", "close", "close", tooltip="Close the filter and leave the list as it is"),
    ]

    class Submitted(Message):
        """The operator wants this filter."""

        def __init__(self, expression: str) -> None:
            super().__init__()
            self.expression = expression

    class Closed(Message):
        """The operator left the filter as it was."""

    def compose(self) -> ComposeResult:
        """The input and the line for faults."""
        yield Input(
            placeholder="provider:slack format:plaintext   Enter applies, empty shows all",
            select_on_focus=False,
        )
        yield Static(id="fault")

    def open(self, expression: str) -> None:
        """Show the bar with the current filter in it."""
        self.add_class("-shown")
        self.fault(None)
        field = self.query_one(Input)
        field.value = expression
        field.cursor_position = len(expression)
        field.focus()

    def close(self) -> None:
        """Hide the bar."""
        self.remove_class("-shown")

    @property
    def is_open(self) -> bool:
        """True while the bar is shown."""
        return self.has_class("-shown")

    def fault(self, trouble: Trouble | None) -> None:
        """Say what is wrong with the expression; a caret points at the character."""
        line = self.query_one("#fault", Static)
        line.set_class(trouble is not None, "-shown")
        if trouble is None:
            line.update("")
            return
        field = self.query_one(Input)
        parts: list[tuple[str, str]] = []
        if trouble.position is not None:
            before = cell_len(field.value[: trouble.position])
            column = min(max(before - int(field.scroll_offset.x), 0), max(self.size.width - 4, 0))
            parts.append((" " * column + "^\n", "bold $error"))
        parts += [("✖ ", "$error"), (f"{trouble.message} ", ""), (trouble.remedy, "bold")]
        line.update(Content.assemble(*parts))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Pass the expression on."""
        event.stop()
        self.post_message(self.Submitted(event.value.strip()))

    def on_input_changed(self) -> None:
        """What was wrong may no longer be."""
        self.fault(None)

    async def action_apply(self) -> None:
        """Pass the expression on."""
        await self.query_one(Input).action_submit()

    def action_close(self) -> None:
        """Leave the filter as it was."""
        self.post_message(self.Closed())
