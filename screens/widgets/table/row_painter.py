"""How rows become lines on the screen: each is painted once, and kept for as long as it looks the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.color import Color
from textual.content import Content
from textual.filter import LineFilter
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual
from textual.widget import Widget

from screens.widgets.table.columns import Cell

Row = TypeVar("Row")

MOST_PAINTED = 150
"""Lines that are kept as they were painted, where fewer are in sight. Textual keeps its own forms of each."""


@dataclass(frozen=True, slots=True)
class LineLook:
    """What all lines of a table have in common. `width` is in cells, the track beside the lines included."""

    width: int
    theme: str
    plain: Style
    marked: Style
    cursor: Style
    reverse: bool
    """True where the line under the cursor has the terminal's own colours, the other way round."""
    thumb: RichStyle
    track: RichStyle
    filters: tuple[LineFilter, ...]
    columns: Hashable
    """Which columns stand where."""
    taken: int
    """The cells that a row takes."""


class Painter(Generic[Row]):
    """Gives the very same objects for lines that look the same: Textual remembers what it made of each.

    What Textual does besides for borders, padding and opacity, a table has none of.
    """

    def __init__(self, widget: Widget, cells: Callable[[Row], Sequence[Cell]]) -> None:
        """`cells` returns what a row shows, cut and padded, but for its first cell, which is the cursor's."""
        self._widget = widget
        self._cells = cells
        self._look: LineLook | None = None
        self._ground = Color(0, 0, 0)
        self._beside: dict[bool, Segment] = {}
        """A cell of the track: True in its thumb."""
        self._rows: dict[tuple[int, bool, bool, bool], tuple[Row, Sequence[Cell], Strip]] = {}
        """Rows by their own identity: a row that is read again as it was stays the same object."""
        self._lines: dict[Hashable, Strip] = {}
        self._styles: dict[tuple[str, Style], RichStyle | None] = {}

    @property
    def kept(self) -> int:
        return len(self._rows) + len(self._lines)

    def forget(self) -> None:
        self._rows.clear()
        self._lines.clear()
        self._styles.clear()

    def like(self, look: LineLook) -> None:
        if look != self._look:
            self._look = look
            self.forget()
            self._ground = self._widget.background_colors[1]
            on, off = self._filtered([Segment(" ", look.thumb), Segment(" ", look.track)])
            self._beside = {True: on, False: off}

    def row(self, row: Row, *, here: bool, marked: bool, thumb: bool) -> Strip:
        """Return a row as it is painted: `here` under the cursor, beside the `thumb` of the track."""
        key = (id(row), here, marked, thumb)
        known = self._rows.get(key)
        if known is not None and known[0] is row:
            return known[2]
        if len(self._rows) >= self._most:
            self._rows.clear()
        cells = self._cells(row)
        strip = self._paint(row, cells=cells, here=here, marked=marked, thumb=thumb)
        self._rows[key] = row, cells, strip
        return strip

    def outdated(self, rows: Sequence[Row]) -> bool:
        """Forget rows that look different by now, and all but these; returns whether any of these does."""
        now = {id(row): self._cells(row) for row in rows}
        known = {key: kept for key, kept in self._rows.items() if key[0] in now}
        self._rows = {key: kept for key, kept in known.items() if kept[1] == now[key[0]]}
        return len(self._rows) < len(known) or not known

    def line(self, shows: Hashable, content: Callable[[], Content], *, thumb: bool | None) -> Strip:
        """Return a line that is no row, known again by what it shows; beside nothing if `thumb` is None."""
        key = shows, thumb
        strip = self._lines.get(key)
        if strip is None:
            look = self._given
            width = look.width - 1
            strips = Visual.to_strips(self._widget, content(), width, 1, look.plain, pad=True)
            segments = list(strips[0]) if strips else [Segment(" " * width, look.plain.rich_style)]
            segments.append(Segment(" ", look.plain.rich_style) if thumb is None else self._beside[thumb])
            strip = Strip(self._filtered(segments), look.width)
            if len(self._lines) >= self._most:
                self._lines.clear()
            self._lines[key] = strip
        return strip

    @property
    def _most(self) -> int:
        return max(MOST_PAINTED, 2 * self._widget.size.height)

    @property
    def _given(self) -> LineLook:
        if self._look is None:
            raise RuntimeError("Nothing can be painted before it is said how.")
        return self._look

    def _paint(self, _row: Row, *, cells: Sequence[Cell], here: bool, marked: bool, thumb: bool) -> Strip:
        """Cells are cut and padded already, so no text has to be laid out."""
        look = self._given
        ground = look.cursor if here else look.marked if marked else look.plain
        width = look.width - 1
        segments: list[Segment] = []
        joined, style = "›" if here else "▌" if marked else " ", self._style("$accent", ground)
        for text, named in (*cells, (" " * (width - look.taken), "")):
            own = self._style(named, ground)
            if own is style:
                joined += text
            else:
                segments.append(Segment(joined, style))
                joined, style = text, own
        segments.append(Segment(joined, style))
        if look.taken > width:
            segments = list(Strip(segments).adjust_cell_length(width))
        # With the terminal's own colours there is no ground that suits every foreground.
        if here and look.reverse:
            segments = list(Strip(segments).apply_style(RichStyle(reverse=True)))
        segments.append(self._beside[thumb])
        return Strip(segments, look.width)

    def _style(self, named: str, ground: Style) -> RichStyle | None:
        key = (named, ground)
        if key not in self._styles:
            strips = Visual.to_strips(self._widget, Content.assemble(("x", named)), 1, 1, ground)
            self._styles[key] = self._filtered(list(strips[0]))[0].style
        return self._styles[key]

    def _filtered(self, segments: list[Segment]) -> list[Segment]:
        for line_filter in self._given.filters:
            segments = line_filter.apply(segments, self._ground)
        return segments
