"""The table itself: paints what its window holds, with a cursor on a row and on a column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from textual.content import Content
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from crypto_core.lists.paging import Query
from screens.facts import ScreenFacts
from screens.widgets.cursor_view import CursorView
from screens.widgets.table.columns import GAP, Cell, Column, Placed, cell_of, fitted, place, wanted
from screens.widgets.table.marks import Marks
from screens.widgets.table.row_painter import LineLook, Painter
from screens.widgets.table.table_list import Listing, arrow
from screens.widgets.table.window import RowWindow

Row = TypeVar("Row")

WIDE = 137
"""The width from which optional columns are shown."""


class ShownColumns(Generic[Row]):
    """The first column of the listing always comes first."""

    def __init__(self, listing: Listing[Row], facts: ScreenFacts) -> None:
        self._listing = listing
        self._facts = facts
        self._wanted: dict[str, int] = {}
        self._own_choice = False
        self.chosen: tuple[Column[Row], ...] = tuple(c for c in listing.columns if c.shown)
        self.placed: tuple[Placed[Row], ...] = ()
        self.current = self.chosen[0]

    @property
    def taken(self) -> int:
        return sum(placed.width + GAP for placed in self.placed)

    def choose(self, names: Iterable[str]) -> None:
        """Show these columns, or those of the listing if there are none."""
        first, *others = self._listing.columns
        by_name = {c.name: c for c in others}
        names = list(dict.fromkeys(names))
        self._own_choice = bool(names)
        shown = names or [c.name for c in others if c.shown]
        self.chosen = (first, *(by_name[name] for name in shown if name in by_name))
        if self.current not in self.chosen:
            self.current = first

    def move(self, by: int) -> None:
        """Put the cursor so many columns further, as far as there are any."""
        at = self.chosen.index(self.current) + by
        self.current = self.chosen[min(max(at, 0), len(self.chosen) - 1)]

    def focus(self, column: Column[Row]) -> None:
        if column in self.chosen:
            self.current = column

    def want(self, rows: Iterable[Row], width: int, *, anew: bool = False) -> None:
        """Look how much room these rows want; that of others is kept, unless all are `anew`."""
        columns = (*self.chosen, *self._spare(width))
        self._wanted = wanted(rows, columns, self._facts, {} if anew else self._wanted)

    def place(self, width: int) -> None:
        name = self.current.name
        self.placed = place(width, self.chosen, self._wanted, name, self._spare(width))

    def at(self, x: int) -> Column[Row] | None:
        """Return the column in a cell, counted from the first column's first."""
        left = 0
        for placed in self.placed:
            if left <= x < left + placed.width + GAP:
                return placed.column
            left += placed.width + GAP
        return None

    def _spare(self, width: int) -> Sequence[Column[Row]]:
        """Columns that a very wide terminal shows besides, unless the operator chose some."""
        if self._own_choice or width < WIDE:
            return ()
        return [c for c in self._listing.columns if c not in self.chosen]


NEAR_END = 60
"""How many rows from the last one held the view has to be for the next page to be asked for."""
_LEAD = 3
"""Cells in front of the first column: the cursor's or a mark's, the sign, a blank."""


class Table(CursorView, Generic[Row]):
    """Rows with a cursor and marks, which belong to rows and so survive a refresh."""

    DEFAULT_CSS = """
    Table {
        overflow-y: hidden;
        & > .table--track { background: $surface; }
        & > .table--thumb { background: $scrollbar; }
        & > .table--marked { background: $accent 14%; }
        &:ansi > .table--marked { background: ansi_default; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--track", "table--thumb", "table--marked"}
    STICKY = 1

    @dataclass
    class NearEdge(Message):
        """The view came near the first or the last row that is held."""

        above: bool

    @dataclass
    class EdgeWanted(Message):
        """The operator wants the very first or the very last row, which isn't held."""

        first: bool

    @dataclass
    class HeadingPressed(Message):
        column: Column[Any]

    def __init__(self, facts: ScreenFacts, listing: Listing[Row], window: RowWindow[Row]) -> None:
        super().__init__()
        self._facts = facts
        self._listing = listing
        self._window = window
        self.marks: Marks[Row] = Marks(listing.identity)
        self.query_shown: Query = listing.first_query()
        self.total: int | None = None
        """How many rows the filter lets through, where that is known."""
        self._ending: tuple[str, ...] = ()
        self.columns = ShownColumns(listing, facts)
        self._cursor_moved = False
        self._seen: object = None
        """The rows that were visible when the table was last painted."""
        self._painter: Painter[Row] = Painter(self, self._cells)

    @property
    def current(self) -> Row | None:
        return self._window.rows[self.cursor] if self.cursor < len(self._window.rows) else None

    @property
    def left_alone(self) -> bool:
        """True while the operator has neither moved the cursor nor scrolled since the list began."""
        return not self._cursor_moved and not self.scroll_offset.y

    def choose_columns(self, names: Iterable[str]) -> None:
        """Show these columns; the first one of the listing always comes first."""
        self.columns.choose(names)
        self._place()

    def move_column(self, by: int) -> None:
        """Put the cursor on another column; one that is out of sight comes in sight."""
        self.columns.move(by)
        self._place()

    def focus_column(self, column: Column[Row]) -> None:
        self.columns.focus(column)
        self._place()

    def rows_changed(
        self, rows: Sequence[Row], *, moved: int = 0, anew: bool = False, at_end: bool = False
    ) -> None:
        """Paint anew after the window changed.

        `rows` are those that are new in it. `moved` is how far others moved within it. Otherwise the cursor
        stays on its row, at the same height on screen, if that row is there still; else near its place, or at
        the top of a list that is `anew`.
        """
        self.columns.want(rows, self._room, anew=anew or at_end)
        self.columns.place(self._room)
        if at_end:
            self._cursor_moved = True
            self.lines_changed(len(self._window.rows) - 1)
            return
        if anew:
            self._cursor_moved = False
            self._scroll_at(0)
            self.lines_changed(0)
            return
        follow = self._cursor_in_sight
        height = self.cursor - self.scroll_offset.y
        at = self.cursor + moved
        if not moved and self._here is not None:
            found = self._window.place(self._here)
            at = found if found is not None else self.cursor
        self._scroll_at(at - height)
        self.lines_changed(at, follow=follow)
        if follow:
            self._look_for_edges(self.cursor, self.cursor)
        else:
            self._look_for_edges(self.scroll_offset.y, self.scroll_offset.y + self.size.height)

    def end_with(self, ending: tuple[str, ...]) -> None:
        """Change the lines below the last row that is held: why there is no more."""
        if ending != self._ending:
            self._ending = ending
            self.lines_changed(self.cursor, follow=self._cursor_in_sight)

    def facts_changed(self) -> None:
        """Paint the rows anew that look different now: keys may have got names, and time has passed."""
        self.columns.want(self._window.rows[: self.size.height], self._room)
        self._place()
        top = self.scroll_offset.y
        if self._painter.outdated(self._window.rows[top : top + self.size.height]):
            self._seen = None
            self.refresh()

    def lines_changed(self, cursor: int, *, follow: bool = True) -> None:
        super().lines_changed(cursor, follow=follow)
        self._remember_here()

    @property
    def _cursor_in_sight(self) -> bool:
        """False after the mouse wheel moved the view away from the cursor."""
        return 0 <= self.cursor - self.scroll_offset.y < max(self.size.height - self.STICKY, 1)

    def move_to(self, index: int, direction: int = 1) -> None:
        """Put the cursor on a row; near the first or last one that is held, more are asked for."""
        before = self.cursor
        super().move_to(index, direction)
        self._cursor_moved |= self.cursor != before
        self._remember_here()
        self._look_for_edges(self.cursor, self.cursor)

    _here: object = None
    """The identity of the row under the cursor, as of its last move."""

    def _remember_here(self) -> None:
        row = self.current
        self._here = self._listing.identity(row) if row is not None else None

    def _look_for_edges(self, first: int, last: int) -> None:
        if self._window.below and last >= len(self._window.rows) - NEAR_END:
            self.post_message(self.NearEdge(above=False))
        elif self._window.above and first < NEAR_END:
            self.post_message(self.NearEdge(above=True))

    def watch_scroll_y(self, old: float, new: float) -> None:
        """The mouse wheel moves the view, not the cursor."""
        super().watch_scroll_y(old, new)
        self._look_for_edges(int(new), int(new) + self.size.height)

    def line_count(self) -> int:
        return len(self._window.rows) + len(self._ending)

    def selectable(self, index: int) -> bool:
        return index < len(self._window.rows)

    def heading(self) -> Content:
        """The headings; the one that the table is sorted by has an arrow."""
        query = self.query_shown
        sign = arrow(self._listing, query)
        # Where a column in sight has that order, the arrow is its own.
        beside = any(placed.column.sort == query.sort for placed in self.columns.placed)
        by_state = query.sort == self._listing.worst_first and bool(query.sort) and not beside
        parts: list[str | tuple[str, str]] = [(f" {sign} ", "$accent") if by_state else " " * _LEAD]
        for placed in self.columns.placed:
            column = placed.column
            sorted_by = bool(column.sort) and column.sort == query.sort
            text = f"{column.title} {sign}" if sorted_by else column.title
            style = "$accent" if sorted_by else "$muted"
            if column is self.columns.current and column is not self.columns.chosen[0]:
                style += " reverse"
            parts.append((fitted(column, text, placed.width), style))
            parts.append(" " * GAP)
        if len(self.columns.placed) < len(self.columns.chosen):
            parts[-1] = (" ›", "$muted")
        return Content.assemble(*parts)

    def line(self, index: int) -> Content:
        beyond = index - len(self._window.rows)
        words = self._ending[beyond] if beyond < len(self._ending) else ""
        return Content.assemble((" " * _LEAD + words, "$muted"))

    def render_lines(self, crop: Region) -> list[Strip]:
        """Give the lines in sight, those that look as they did before as they were painted."""
        self._painter.like(self._look())
        self._seen = self._sight()
        thumb = self._thumb()
        strips = [self._strip(y, thumb) for y in crop.line_range]
        if crop.column_span != (0, self.size.width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips

    def render_line(self, y: int) -> Strip:
        self._painter.like(self._look())
        return self._strip(y, self._thumb())

    def _strip(self, y: int, thumb: range) -> Strip:
        if y < self.STICKY:
            shows = (self.query_shown, self.columns.placed, self.columns.current)
            return self._painter.line(shows, self.heading, thumb=None)
        beside = y - self.STICKY in thumb
        index = y - self.STICKY + self.scroll_offset.y
        rows = self._window.rows
        if index < len(rows):
            row = rows[index]
            here = index == self.cursor
            return self._painter.row(row, here=here, marked=row in self.marks, thumb=beside)
        line = self.line(index)
        return self._painter.line(line.plain, lambda: line, thumb=beside)

    def _look(self) -> LineLook:
        return LineLook(
            width=self.size.width,
            theme=self.app.theme,
            plain=self.visual_style,
            marked=self.get_visual_style("table--marked"),
            cursor=self.get_visual_style("cursor-view--cursor"),
            reverse=bool(self.get_component_styles("cursor-view--cursor").text_style.reverse),
            thumb=self.get_component_rich_style("table--thumb"),
            track=self.get_component_rich_style("table--track"),
            filters=tuple(self.get_line_filters()),
            columns=self.columns.placed,
            taken=_LEAD + self.columns.taken,
        )

    def _cells(self, row: Row) -> list[Cell]:
        sign = self._listing.sign(row, self._facts)
        cells = [(sign.text + " ", sign.style)]
        for placed in self.columns.placed:
            text, named = cell_of(placed.column, row, self._facts)
            cells.append((fitted(placed.column, text, placed.width) + " " * GAP, named))
        return cells

    def notify_style_update(self) -> None:
        self._painter.forget()
        super().notify_style_update()

    def texts(self, row: Row) -> list[str]:
        """Return what the chosen columns show of a row, uncut."""
        return [cell_of(column, row, self._facts)[0] for column in self.columns.chosen]

    def row_changed(self) -> None:
        self._refresh_line(self.cursor)

    def _thumb(self) -> range:
        """Which lines of the track stand for what is in sight; none where that isn't known."""
        height = self.size.height - self.STICKY
        total, base = self.total, self._window.base
        if total is None or base is None or height <= 0 or total <= height:
            return range(0)
        size = max(height * height // total, 1)
        top = round((base + self.scroll_offset.y) / max(total - height, 1) * (height - size))
        top = min(max(top, 0), height - size)
        return range(top, top + size)

    def on_resize(self, event: Resize) -> None:
        super().on_resize(event)
        self._place()

    def on_click(self, event: Click) -> None:
        """A click on a heading sorts, on the track it leads to an end.

        One on a row is left to CursorView, whose handler Textual calls after this one.
        """
        if event.x >= self.size.width - 1 and event.y >= self.STICKY:
            event.stop()
            event.prevent_default()
            if event.y - self.STICKY < (self.size.height - self.STICKY) // 2:
                self.do_first()
            else:
                self.do_last()
            return
        column = self.columns.at(event.x - _LEAD)
        if event.y < self.STICKY and column is not None:
            self.post_message(self.HeadingPressed(column))

    def do_first(self) -> None:
        if self._window.above:
            self.post_message(self.EdgeWanted(first=True))
        else:
            super().do_first()

    def do_last(self) -> None:
        if self._window.below:
            self.post_message(self.EdgeWanted(first=False))
        else:
            super().do_last()

    @property
    def _room(self) -> int:
        """The cells for columns: one is the track's."""
        return self.size.width - 1 - _LEAD

    def _place(self) -> None:
        self.columns.place(self._room)
        self._show_lines()

    def _show_lines(self) -> None:
        """Paint the lines that are in sight now, unless they are as they were painted last."""
        if self._sight() != self._seen:
            self.refresh()

    def _sight(self) -> object:
        """All that the lines in sight depend on, but for the facts."""
        top = self.scroll_offset.y
        height = self.size.height - self.STICKY
        rows = self._window.rows[top : top + height]
        return (
            self.size,
            self.query_shown,
            self.columns.placed,
            self.columns.current,
            list(rows),
            [row in self.marks for row in rows],
            self.line_count() - top if len(rows) < height else height,
            self._ending if len(rows) < height else (),
            self.cursor - top,
            self._thumb(),
        )

    @property
    def allow_vertical_scroll(self) -> bool:
        """The wheel moves a table, though it has no scroll bar."""
        return self.max_scroll_y > 0

    def _lengthen(self, size: Size) -> None:
        """A table has no scroll bar, so nothing has to be laid out anew when it gets longer."""
        self.set_reactive(Widget.virtual_size, size)

    def _scroll_at(self, y: float) -> None:
        """Let the view begin at a line without the detour over an animation or a paint."""
        y = max(y, 0)
        self.set_reactive(Widget.scroll_y, float(y))
        self.set_reactive(Widget.scroll_target_y, float(y))
