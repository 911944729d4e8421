"""Which columns a table shows, in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.widgets import Button

from screens.routes import Followed
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.line_list import Line, LineList, line
from screens.widgets.table.listing import Listing


class ColumnChooser(Dialog[tuple[str, ...] | None]):
    """Returns the choice, None if it stays as it is. The first column is always shown."""

    DEFAULT_CSS = """
    ColumnChooser LineList { height: auto; max-height: 14; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "show_or_hide", "show or hide"),
        Binding("shift+up,K", "move(-1)", "move up"),
        Binding("shift+down,J", "move(1)", "move down"),
    ]

    def __init__(self, listing: Listing[Any], chosen: Sequence[str]) -> None:
        super().__init__()
        self._listing = listing
        self._shown = set(chosen)
        self._order = [*chosen, *(c.name for c in listing.columns if c.name not in chosen)]

    def compose(self) -> ComposeResult:
        with framed("Columns", "space shows or hides, K J move"):
            yield LineList()
            yield buttons(("Cancel", "cancel"), ("As at first", "reset"), ("Apply", "apply"))

    def on_mount(self) -> None:
        columns = self.query_one(LineList)
        columns.styles.height = min(len(self._order), 14)
        columns.write(self._lines)
        columns.focus()

    def _lines(self, size: Size) -> Sequence[Line]:
        lines = []
        for name in self._order:
            column = self._listing.column(name)
            if column is None:
                continue
            sign = "✔" if name in self._shown else "·"
            lines.append(line(" ", (f"{sign} ", "$accent"), (column.title, "bold"), target=name))
        return lines

    @property
    def _under_cursor(self) -> str:
        line = self.query_one(LineList).current
        return str(line.target) if line is not None else self._order[0]

    @on(Followed)
    def action_show_or_hide(self) -> None:
        name = self._under_cursor
        if name != self._listing.columns[0].name:
            self._shown ^= {name}
            self._paint()

    def action_move(self, by: int) -> None:
        lines = self.query_one(LineList)
        at = self._order.index(self._under_cursor)
        to = at + by
        if at > 0 and 0 < to < len(self._order):
            self._order.insert(to, self._order.pop(at))
            self._paint()
            lines.move_to(to)

    def _paint(self) -> None:
        self.query_one(LineList).write(self._lines)

    @on(Button.Pressed, "#apply")
    def apply(self) -> None:
        self.dismiss(tuple(n for n in self._order if n in self._shown))

    @on(Button.Pressed, "#reset")
    def reset(self) -> None:
        self.dismiss(())
