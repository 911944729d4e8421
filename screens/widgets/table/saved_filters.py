"""The saved filters of a table: apply one, forget one, save the one that is set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.widgets import Input, Static

from screens.memory import Memory
from screens.routes import Followed
from screens.widgets.cells import cut, fit
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.line_input import LineInput
from screens.widgets.line_list import Line, LineList


class SavedFilters(Dialog[str | None]):
    """Returns the filter to apply, None for none."""

    DEFAULT_CSS = """
    SavedFilters LineList { height: auto; max-height: 10; }
    SavedFilters #name { margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("delete,D", "forget", "forget", tooltip="Delete the filter under the cursor"),
    ]

    def __init__(self, memory: Memory, table: str, current: str) -> None:
        super().__init__()
        self._memory = memory
        self._table = table
        self._current = current

    def compose(self) -> ComposeResult:
        with framed("Saved filters", "Enter applies, D forgets, Esc closes"):
            yield Static(id="none")
            yield LineList()
            if self._current:
                now = self._current
                yield LineInput(placeholder=f"A name to save {now} under", id="name", max_length=60)
            yield buttons(("Close", "cancel"))

    def on_mount(self) -> None:
        self._show()
        if self._memory.saved_filters(self._table):
            self.query_one(LineList).focus()

    def _show(self) -> None:
        filters = self._memory.saved_filters(self._table)
        none = self.query_one("#none", Static)
        none.display = not filters
        none.update(Content("No saved filters. Set one with /, save it here, then type @NAME after /."))
        lines = self.query_one(LineList)
        lines.display = bool(filters)
        lines.write(self._lines)

    def _lines(self, size: Size) -> Sequence[Line]:
        room = max(size.width - 24, 10)
        return [
            Line(Content.assemble(" ", (fit("@" + name, 20), "bold"), "  ", cut(text, room)), name)
            for name, text in self._memory.saved_filters(self._table).items()
        ]

    @on(Followed)
    def apply(self, event: Followed) -> None:
        event.stop()
        self.dismiss(self._memory.saved_filters(self._table).get(str(event.target)))

    @on(Input.Submitted, "#name")
    def save(self, event: Input.Submitted) -> None:
        name = "-".join(event.value.strip().removeprefix("@").split())
        if name and not self._memory.save_filter(self._table, name, self._current):
            self.app.notify("This filter can't be saved.", markup=False)
            return
        event.input.clear()
        self._show()

    def action_forget(self) -> None:
        line = self.query_one(LineList).current
        if line is not None:
            self._memory.forget_filter(self._table, str(line.target))
            self._show()
