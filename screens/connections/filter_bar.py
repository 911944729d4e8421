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

from crypto_core.database.inventory_expressions import FIELDS
from screens.blocking import Trouble

_HELP = Content(
    "Enter applies, Esc closes. -term excludes, a,b is either, * is anything.\nFields: "
    + " ".join(dict.fromkeys(field.name for field in FIELDS.values()))
)


class FilterBar(Vertical):
    """Shown while the operator edits the filter."""

    DEFAULT_CSS = """
    FilterBar {
        height: auto; display: none; padding: 0 1;
        &.-shown { display: block; }
        & > Input { border: none; height: 1; padding: 0; background: $panel; }
        & > Input:focus { border: none; height: 1; }
        & > #fault { height: auto; }
        & > #fault.-help { color: $muted; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
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
            placeholder="provider:slack format:plaintext,dev -org:acme",
            select_on_focus=False,
        )
        yield Static(id="fault")

    def open(self, expression: str) -> None:
        """Show the bar with the current filter in it."""
        self.add_class("-shown")
        field = self.query_one(Input)
        field.value = expression
        field.cursor_position = len(expression)
        self.fault(None)
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
        line.set_class(trouble is None, "-help")
        if trouble is None:
            line.update(_HELP)
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

    def action_close(self) -> None:
        """Leave the filter as it was."""
        self.post_message(self.Closed())
