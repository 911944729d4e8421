"""The heat map: controls down, days across, a cursor on one cell. Only what is in sight is painted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from rich.cells import cell_len
from textual.content import Content
from textual.events import Click, Resize
from textual.geometry import Region
from textual.strip import Strip

from screens.compliance import grid
from screens.compliance.grid import CONTROL_SIGNS, ControlState
from screens.widgets.cells import cut, fit
from screens.widgets.cursor_view import CursorView

_WIDEST = 3
"""Cells of a column where there is room for more."""
_LABEL = (22, 60)
"""The least and the most cells of a control's number and title."""
_NUMBER = 9
"""Cells of a control's number; a longer one takes what it needs."""

NO_WORDS: Mapping[str, str] = {}
_CALM = "$success 55%"
"""What is met is the rule, and steps back behind what is not."""

Part = tuple[str, str]


class HeatMap(CursorView):
    """Rows of controls below their frameworks' headings; the columns scroll on their own.

    The cursor keeps its control and its day when rows or zoom change.
    """

    STICKY = 2

    def __init__(self) -> None:
        super().__init__()
        self.zoom = grid.Zoom.DAY
        self.column = 0
        """The column that the cursor is on."""
        self.left = 0
        """The first column in sight."""
        self.rows: Sequence[grid.Row] = ()
        self.columns: Sequence[grid.DayColumn] = ()
        self._since = self._until = date.min
        self._words: Mapping[str, str] = NO_WORDS

    # What is under the cursor

    @property
    def row(self) -> grid.ControlRow | None:
        row = self.rows[self.cursor] if self.cursor < len(self.rows) else None
        return row if isinstance(row, grid.ControlRow) else None

    @property
    def day_column(self) -> grid.DayColumn | None:
        return self.columns[self.column] if self.column < len(self.columns) else None

    @property
    def cell(self) -> grid.GridCell | None:
        row, column = self.row, self.day_column
        return row.cell(column) if row is not None and column is not None else None

    # What is shown

    def show(
        self, rows: Sequence[grid.Row], since: date, until: date, words: Mapping[str, str] = NO_WORDS
    ) -> None:
        """Show these rows over these days, both included; `words` by control's id stand behind the cells."""
        self._words = words
        control, day = self.row, self.day_column
        newest = day is None or self.column == len(self.columns) - 1
        self.rows, self._since, self._until = rows, since, until
        self._lay_out(None if newest or day is None else day.last)
        same = [
            place
            for place, row in enumerate(rows)
            if control is not None
            and isinstance(row, grid.ControlRow)
            and row.control.id == control.control.id
        ]
        self.lines_changed(same[0] if same else 0 if control is None else self.cursor)

    def zoom_by(self, step: int) -> None:
        zoom, day = self.zoom.next(step), self.day_column
        if zoom is not self.zoom and day is not None:
            self.zoom = zoom
            self._lay_out(day.last)
            self.refresh()
            self._tell_moved()

    def _lay_out(self, day: date | None) -> None:
        """Make the columns anew, the cursor on the one with a day, or on the last one."""
        self.columns = grid.columns_of(self._since, self._until, self.zoom)
        last = max(len(self.columns) - 1, 0)
        self.column = last if day is None else grid.column_at(self.columns, day)
        self.left = max(last - self.in_sight + 1, 0)
        self._keep_column_in_sight()

    # Moving across

    def move_across(self, column: int) -> None:
        column = min(max(column, 0), max(len(self.columns) - 1, 0))
        if column == self.column:
            return
        left, self.column = self.left, column
        self._keep_column_in_sight()
        if self.left != left:
            self.refresh()
        else:
            self.refresh(Region(0, 0, self.size.width, self.STICKY))
            self._refresh_line(self.cursor)
        self._tell_moved()

    def next_wrong(self, step: int) -> bool:
        """To the next column in which the control is anything but met; returns False if there is none."""
        row = self.row
        place = self.column + step
        while row is not None and 0 <= place < len(self.columns):
            cell = row.cell(self.columns[place])
            if cell.gap or cell.state not in (ControlState.MET, ControlState.COMING):
                self.move_across(place)
                return True
            place += step
        return False

    def _keep_column_in_sight(self) -> None:
        fitting = self.in_sight
        self.left = min(self.left, max(len(self.columns) - fitting, 0), self.column)
        self.left = max(self.left, self.column - fitting + 1, 0)

    @property
    def in_sight(self) -> int:
        return max((self._across - self._label_cells) // self._column_cells, 1)

    @property
    def _across(self) -> int:
        """Cells of a line that no scroll bar stands on."""
        return max(self.size.width - 1, 1)

    @property
    def _label_cells(self) -> int:
        least, most = _LABEL
        return min(max(self._across * 36 // 100, least), most)

    @property
    def _column_cells(self) -> int:
        room = max(self._across - self._label_cells, 1)
        return max(min(room // max(len(self.columns), 1), _WIDEST), self.zoom.least)

    @property
    def _room_behind(self) -> int:
        shown = min(self.in_sight, len(self.columns)) * self._column_cells
        return max(self._across - self._label_cells - shown, 0)

    def on_resize(self, event: Resize) -> None:
        self.left = max(len(self.columns) - self.in_sight, 0)
        self._keep_column_in_sight()

    # Painting

    def line_count(self) -> int:
        return len(self.rows)

    def selectable(self, index: int) -> bool:
        return isinstance(self.rows[index], grid.ControlRow)

    def render_line(self, y: int) -> Strip:
        """Paint a line of what is in sight: first the months, the days, then the rows."""
        if y < self.STICKY:
            return self._laid_out(self._head(y), self.size.width, self.visual_style)
        return super().render_line(y - self.STICKY)

    def line(self, index: int) -> Content:
        """A framework's heading, or a control with its cells."""
        row = self.rows[index]
        if isinstance(row, grid.FrameworkRow):
            return self._heading(row)
        sign = CONTROL_SIGNS[row.latest]
        room = self._label_cells - 4
        number = fit(row.control.number, max(_NUMBER, cell_len(row.control.number)))
        label = fit(f"{number} {row.control.title}", room)
        split = min(len(number), len(label))
        return Content.assemble(
            " ",
            (sign.text, sign.style),
            (f" {label[:split]}", "bold" if row.wrong else ""),
            (f"{label[split:]} ", "" if row.wrong else "$muted"),
            *self._parts(index, row),
            (cut(self._words.get(row.control.id, ""), self._room_behind), "$muted"),
        )

    def _heading(self, row: grid.FrameworkRow) -> Content:
        parts: list[Part] = []
        for state, number in row.counts:
            sign = CONTROL_SIGNS[state]
            parts.append((f"  {sign.text.strip() or '…'} {number}", sign.style))
        right = Content.assemble(*parts)
        title = cut(row.title, max(self._across - right.cell_length - 2, 10))
        return Content.assemble(" ", (title, "bold $accent"), right)

    def _parts(self, index: int, row: grid.ControlRow) -> Iterator[Part]:
        """The cells in sight; neighbours that look the same are one part."""
        text, style = "", ""
        for place in range(self.left, min(self.left + self.in_sight, len(self.columns))):
            ground = " reverse" if place == self.column and index == self.cursor else ""
            for shown, looks in _painted(row.cell(self.columns[place]), self._column_cells):
                if looks + ground != style and text:
                    yield text, style
                    text = ""
                text, style = text + shown, looks + ground
        if text:
            yield text, style

    def _head(self, y: int) -> Content:
        """The line with the months, or the one with the days and the cursor's own above its column."""
        room, wide = self._label_cells, self._column_cells
        column = self.day_column
        left = column.words if y and column is not None else ""
        if not column:
            return Content("")
        line = [" "] * max(min(self.in_sight, len(self.columns)) * wide + 4, 4)
        free, cursor = 0, (self.column - self.left) * wide
        for place in range(self.left, min(self.left + self.in_sight, len(self.columns))):
            before = self.columns[place - 1] if place > self.left else None
            label = grid.label_of(self.columns[place], before, self.zoom)[y]
            at = (place - self.left) * wide
            touched = y and wide == 1 and at <= cursor < at + len(label)
            if label and at >= free and not touched:
                line[at : at + len(label)] = label
                free = at + len(label) + 1
        text = "".join(line)
        at = cursor
        here = "▼" if y and wide == 1 else text[at : at + wide]
        more = "‹" if y and self.left else " "
        return Content.assemble(
            " ",
            (fit(left, room - 2), "$accent"),
            (more, "$accent"),
            (text[:at], "$muted"),
            (here, "bold $accent on $cursor-idle" if y else "$muted"),
            (text[at + wide :], "$muted"),
        )

    def on_click(self, event: Click) -> None:
        """A click puts the cursor on the cell; a second one on it opens it."""
        place = (event.x - self._label_cells) // self._column_cells
        again = place + self.left == self.column or place < 0
        if 0 <= place < self.in_sight:
            self.move_across(place + self.left)
        if not again and event.chain > 1:
            event.prevent_default()


def _painted(cell: grid.GridCell, wide: int) -> Iterator[Part]:
    """A cell, so many cells wide: where there is room for more than a sign, a gap stands beside it."""
    sign = CONTROL_SIGNS[cell.state]
    style = _CALM if cell.state is ControlState.MET else sign.style
    yield sign.text, style
    if wide == 1:
        return
    gap = CONTROL_SIGNS[ControlState.GAP]
    beside = cell.gap and cell.state is not ControlState.GAP
    yield (gap.text if beside else " ").ljust(wide - 1), gap.style if beside else style
