"""The table itself: paints what its window holds, with a cursor on a row and on a column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.content import Content
from textual.events import Click, Resize
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual
from textual.widget import Widget

from crypto_core.paging import Query
from screens.facts import Facts
from screens.widgets.cursor_view import CursorView
from screens.widgets.table.columns import GAP, Column, Placed, place, wanted
from screens.widgets.table.listing import Listing
from screens.widgets.table.marks import Marks
from screens.widgets.table.ordering import arrow
from screens.widgets.table.window import Window

Row = TypeVar("Row")

NEAR_END = 60
"""How many rows from the last one held the view has to be for the next page to be asked for."""
WIDE = 140
"""Cells from which on there may be room for columns that nobody chose."""
_LEAD = 3
"""Cells in front of the first column: the cursor's or a mark's, the sign, a blank."""


class _Same(Generic[Row]):
    """A row as a key: the very same object, which is kept for as long as the key is."""

    __slots__ = ("_row",)

    def __init__(self, row: Row) -> None:
        self._row = row

    def __hash__(self) -> int:
        return id(self._row)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._row is self._row


class Table(CursorView, Generic[Row]):
    """Rows with a cursor and marks, which belong to rows and so survive a refresh."""

    DEFAULT_CSS = """
    Table {
        scrollbar-size-vertical: 0;
        & > .table--track { background: $surface; }
        & > .table--thumb { background: $scrollbar; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--track", "table--thumb"}
    STICKY = 1

    class NearEdge(Message):
        """The view came near the first or the last row that is held."""

        def __init__(self, *, above: bool) -> None:
            super().__init__()
            self.above = above

    class EdgeWanted(Message):
        """The operator wants the very first or the very last row, which isn't held."""

        def __init__(self, *, first: bool) -> None:
            super().__init__()
            self.first = first

    class HeadingPressed(Message):
        """The operator clicked a column's heading."""

        def __init__(self, column: Column[Any]) -> None:
            super().__init__()
            self.column = column

    def __init__(self, facts: Facts, listing: Listing[Row], window: Window[Row]) -> None:
        super().__init__()
        self._facts = facts
        self._listing = listing
        self._window = window
        self.marks: Marks[Row] = Marks(listing.identity)
        self.query_shown: Query = listing.first_query()
        self.total: int | None = None
        """How many rows the filter lets through, where that is known."""
        self._ending: tuple[str, ...] = ()
        self._chosen: tuple[Column[Row], ...] = tuple(c for c in listing.columns if c.shown)
        self._given: dict[str, int] = {}
        self._wanted: dict[str, int] = {}
        self._placed: tuple[Placed[Row], ...] = ()
        self._focus = self._chosen[0].name
        self._own_choice = False
        self._cursor_moved = False
        self._edges: list[Segment] = []
        self._rich_styles: dict[tuple[str, Style], dict[str, RichStyle | None]] = {}
        """The styles of cells by name, for each theme and ground; worked out once."""

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self._window.rows[self.cursor] if self.cursor < len(self._window.rows) else None

    @property
    def left_alone(self) -> bool:
        """True while the operator has neither moved the cursor nor scrolled since the list began."""
        return not self._cursor_moved and not self.scroll_offset.y

    @property
    def column(self) -> Column[Row]:
        """The column under the cursor."""
        return next((c for c in self._chosen if c.name == self._focus), self._chosen[0])

    @property
    def columns(self) -> Sequence[Column[Row]]:
        """The columns that were chosen, in their order."""
        return self._chosen

    @property
    def own_choice(self) -> tuple[str, ...]:
        """The names of the columns that an operator chose; empty where nobody did."""
        return tuple(c.name for c in self._chosen) if self._own_choice else ()

    @property
    def widths(self) -> Mapping[str, int]:
        """The widths that were given to columns."""
        return self._given

    def choose_columns(self, names: Iterable[str], widths: Mapping[str, int]) -> None:
        """Show these columns with these widths; the first one of the listing always comes first."""
        first, *others = self._listing.columns
        wanted_names = list(dict.fromkeys(names))
        by_name = {c.name: c for c in others}
        self._own_choice = bool(wanted_names)
        shown = wanted_names or [c.name for c in others if c.shown]
        self._chosen = (first, *(by_name[name] for name in shown if name in by_name))
        self._given = {n: w for n, w in widths.items() if self._listing.column(n) is not None}
        if all(c.name != self._focus for c in self._chosen):
            self._focus = first.name
        self._place()

    def move_column(self, by: int) -> None:
        """Put the cursor on another column; one that is out of sight comes in sight."""
        names = [c.name for c in self._chosen]
        at = min(max(names.index(self._focus) + by, 0), len(names) - 1)
        self._focus = names[at]
        self._place()

    def focus_column(self, column: Column[Row]) -> None:
        """Put the cursor on a column."""
        if column in self._chosen:
            self._focus = column.name
            self._place()

    def widen(self, by: int) -> int:
        """Give the column under the cursor another width; returns it."""
        now = next((p.width for p in self._placed if p.column.name == self._focus), self.column.least)
        self._given[self._focus] = min(max(now + by, 3), 200)
        self._place()
        return self._given[self._focus]

    def rows_changed(
        self, rows: Sequence[Row], *, moved: int = 0, anew: bool = False, at_end: bool = False
    ) -> None:
        """Paint anew after the window changed.

        `rows` are those that are new in it. `moved` is how far others moved within it. Otherwise the cursor
        stays on its row, at the same height on screen, if that row is there still; else near its place, or at
        the top of a list that is `anew`.
        """
        if anew or at_end:
            self._wanted = {}
        self._want(rows)
        self._place()
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
        """Paint anew: keys may have got names, and time has passed."""
        self._want(self._window.rows[: self.size.height])
        self._place()
        self.paint_anew()

    def lines_changed(self, cursor: int, *, follow: bool = True) -> None:
        """Paint anew after the lines changed, the cursor at `cursor` or the nearest line that allows it."""
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
        """The rows that are held, and what stands below them."""
        return len(self._window.rows) + len(self._ending)

    def selectable(self, index: int) -> bool:
        """True for rows."""
        return index < len(self._window.rows)

    def marks_line(self, index: int) -> bool:
        """True if the row is marked."""
        return index < len(self._window.rows) and self._window.rows[index] in self.marks

    @property
    def line_width(self) -> int:
        """One cell is kept for the track on the right."""
        return max(self.size.width - 1, 0)

    def heading(self) -> Content:
        """The headings; the one that the table is sorted by has an arrow."""
        query = self.query_shown
        sign = arrow(self._listing, query)
        by_state = query.sort == self._listing.worst_first and bool(query.sort)
        parts: list[str | tuple[str, str]] = [(f" {sign} ", "$accent") if by_state else " " * _LEAD]
        for placed in self._placed:
            column = placed.column
            sorted_by = bool(column.sort) and column.sort == query.sort
            text = f"{column.heading} {sign}" if sorted_by else column.heading
            style = "$accent" if sorted_by else "$muted"
            if column.name == self._focus and column is not self._chosen[0]:
                style += " reverse"
            parts.append((column.text(text, placed.width), style))
            parts.append(" " * GAP)
        if len(self._placed) < len(self._chosen):
            parts[-1] = (" ›", "$muted")
        return Content.assemble(*parts)

    def line(self, index: int) -> Content:
        """What stands below the last row."""
        return Content.assemble((" " * _LEAD + self._ending[index - len(self._window.rows)], "$muted"))

    def render_lines(self, crop: Region) -> list[Strip]:
        """Give lines as they were painted, the very same objects: Textual remembers what it made of each.

        What it does besides for borders, padding and opacity, a table has none of.
        """
        self._edges = self._track()
        if self.size != self.outer_size or self.opacity < 1:
            return super().render_lines(crop)
        strips = [self.render_line(y) for y in crop.line_range]
        _, background = self.background_colors
        for line_filter in self.get_line_filters():
            strips = [strip.apply_filter(line_filter, background) for strip in strips]
        if crop.column_span != (0, self.size.width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips

    def shown_by(self, index: int) -> object:
        """A row is known by itself, wherever it stands; what stands around the rows by what it says."""
        rows = self._window.rows
        if index < 0:
            return self.query_shown, self._placed, self._focus
        if index < len(rows):
            return _Same(rows[index])
        return self._ending[index - len(rows)] if index < self.line_count() else ""

    def refresh(self, *regions: Region, **options: bool) -> Self:
        """Show the lines that are there now: those that were painted before, as they were painted."""
        return Widget.refresh(self, *regions, **options)

    def paint_anew(self) -> None:
        """Paint all lines, those too that show the same rows as before."""
        self._painted.clear()
        self.refresh()

    def paint(self, index: int, width: int, style: Style, *, cursor: bool = False) -> list[Segment]:
        """Return a row as it is painted. Its cells are cut and padded, so no text has to be laid out."""
        if index >= len(self._window.rows):
            return super().paint(index, width, style, cursor=cursor)
        row = self._window.rows[index]
        first = "›" if cursor else "▌" if row in self.marks else " "
        sign = self._listing.sign(row, self._facts)
        cells = [(first, "$accent"), (sign.text + " ", sign.style)]
        for placed in self._placed:
            text, named = placed.column.cell(row, self._facts)
            cells.append((placed.column.text(text, placed.width) + " " * GAP, named))
        taken = _LEAD + sum(placed.width + GAP for placed in self._placed)
        if taken < width:
            cells.append((" " * (width - taken), ""))
        known = self._rich_styles.setdefault((self.app.theme, style), {})
        segments = []
        for text, named in cells:
            if named not in known:
                known[named] = self._rich_style(named, style)
            segments.append(Segment(text, known[named]))
        return segments if taken <= width else list(Strip(segments).adjust_cell_length(width))

    def _rich_style(self, named: str, ground: Style) -> RichStyle | None:
        """The style that a cell has on a ground."""
        strips = Visual.to_strips(self, Content.assemble(("x", named)), 1, 1, ground)
        return next(iter(strips[0])).style

    def texts(self, row: Row) -> list[str]:
        """Return what the chosen columns show of a row, uncut."""
        return [column.cell(row, self._facts)[0] for column in self._chosen]

    def edge(self, y: int) -> Segment | None:
        """A cell of the track that says where in the whole list a line stands."""
        return self._edges[y] if y < len(self._edges) else None

    def _track(self) -> list[Segment]:
        """The track beside the lines in sight, a cell a line."""
        thumb = self._thumb() or ()
        on, off = (
            Segment(" ", self.get_component_rich_style(f"table--{part}")) for part in ("thumb", "track")
        )
        beside = [on if y in thumb else off for y in range(max(self.size.height - self.STICKY, 0))]
        return [Segment(" ", self.rich_style)] * self.STICKY + beside

    def row_changed(self) -> None:
        """Paint the row under the cursor anew: its mark changed."""
        self._refresh_line(self.cursor)

    def _thumb(self) -> range | None:
        """Which lines of the track stand for what is in sight; None where that isn't known."""
        height = self.size.height - self.STICKY
        total, base = self.total, self._window.base
        if total is None or base is None or height <= 0 or total <= height:
            return None
        size = max(height * height // total, 1)
        top = round((base + self.scroll_offset.y) / max(total - height, 1) * (height - size))
        top = min(max(top, 0), height - size)
        return range(top, top + size)

    def on_resize(self, event: Resize) -> None:
        """Choose the columns for the new width."""
        super().on_resize(event)
        self._place()

    def on_click(self, event: Click) -> None:
        """A click on a heading sorts, on the track it leads to an end.

        One on a row is left to CursorView, whose handler Textual calls after this one.
        """
        if event.x >= self.line_width and event.y >= self.STICKY:
            event.stop()
            event.prevent_default()
            if event.y - self.STICKY < (self.size.height - self.STICKY) // 2:
                self.do_first()
            else:
                self.do_last()
            return
        column = self._column_at(event.x)
        if event.y < self.STICKY and column is not None:
            self.post_message(self.HeadingPressed(column))

    def _column_at(self, x: int) -> Column[Row] | None:
        left = _LEAD
        for placed in self._placed:
            if left <= x < left + placed.width + GAP:
                return placed.column
            left += placed.width + GAP
        return None

    def do_first(self) -> None:
        """To the first row of the list."""
        if self._window.above:
            self.post_message(self.EdgeWanted(first=True))
        else:
            super().do_first()

    def do_last(self) -> None:
        """To the last row of the list."""
        if self._window.below:
            self.post_message(self.EdgeWanted(first=False))
        else:
            super().do_last()

    @property
    def _spare(self) -> Sequence[Column[Row]]:
        """Columns that a very wide terminal shows besides, unless the operator chose some."""
        if self._own_choice or self.line_width < WIDE:
            return ()
        return [c for c in self._listing.columns if c not in self._chosen]

    def _want(self, rows: Iterable[Row]) -> None:
        columns = (*self._chosen, *self._spare)
        self._wanted = wanted(rows, columns, self._facts, self._wanted)

    def _place(self) -> None:
        width = self.line_width - _LEAD
        placed = place(width, self._chosen, self._wanted, self._given, self._focus, self._spare)
        if placed != self._placed:
            self._placed = placed
            self.paint_anew()
        else:
            self.refresh()

    def _scroll_at(self, y: float) -> None:
        """Let the view begin at a line without the detour over an animation or a paint."""
        y = max(y, 0)
        self.set_reactive(Widget.scroll_y, float(y))
        self.set_reactive(Widget.scroll_target_y, float(y))
