"""A few lines of text; only those that changed are painted, and quickly.

Textual gives each line of a text through what folds it, frames it and makes it transparent. Lines that need
none of that come from here, cell for cell and colour for colour as Textual has them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Self

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.color import Color
from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.style import Style
from textual.widgets import Static

MOST_STYLES = 400
"""Styles that are kept, each with its place: where a text's selection begins is known by it."""

_NOTHING = Content("")


class TextLines(Static):
    _shown: Sequence[Content] = ()
    _longest = 0
    """Cells of the longest line. Where there is less room, Textual folds it, which moves the lines below."""
    _stale: tuple[Region, ...] = ()
    """The lines that are to be painted next, all if there are none."""
    _look: Hashable = None

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._painted: dict[tuple[Style, int, int], RichStyle | None] = {}

    def show(self, lines: Sequence[Content]) -> bool:
        """Show these lines; returns whether they are other ones than before."""
        lines = [part for line in lines for part in _parts(line)]
        before, self._shown = self._shown, lines
        longest, self._longest = self._longest, max((line.cell_length for line in lines), default=0)
        most = max(len(before), len(lines))
        stale = [y for y in range(most) if _differ(before[y : y + 1], lines[y : y + 1])]
        if stale:
            if not self._folds and max(longest, self._longest) <= self.size.width:
                self._stale = tuple(Region(0, y, self.size.width, 1) for y in stale)
            self.update(Content("\n").join(lines), layout=False)
            self._stale = ()
        return bool(stale)

    @property
    def _folds(self) -> bool:
        return self.styles.text_wrap != "nowrap"

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        return super().refresh(*(regions or self._stale), repaint=repaint, layout=layout, recompose=recompose)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Give lines in sight: Textual's own, where they are folded, framed, selected or under the mouse."""
        padding, gutter, (width, height) = self.styles.padding, self.styles.gutter, self.size
        inside = range(gutter.top, gutter.top + height)
        lines = {y: line for y, line in zip(inside, self._shown, strict=False) if y in crop.line_range}
        plain = not (self._folds or self.hover_style or gutter.width != padding.width)
        fits = self._longest <= width and not any("\t" in line.plain for line in lines.values())
        if not plain or not fits or width <= 0 or self.text_selection is not None:
            return super().render_lines(crop)
        below, over = self.background_colors
        look = (self.visual_style, below, over, self.app.theme, tuple(self.get_line_filters()))
        if look != self._look or len(self._painted) > MOST_STYLES:
            self._look = look
            self._painted.clear()
        ground = self._rich(Style(background=below + over), -1, 0, over)
        beside = self._rich(self.visual_style, -1, 0, over)
        strips = []
        for y in crop.line_range:
            if y not in inside:
                strips += super().render_lines(Region(crop.x, y, crop.width, 1))
                continue
            line = lines.get(y, _NOTHING)
            segments = [
                Segment(" " * padding.left, ground),
                *self._segments(line, y - gutter.top, over),
                Segment(" " * (width - line.cell_length), beside),
                Segment(" " * padding.right, ground),
            ]
            strip = Strip([segment for segment in segments if segment.text], width + padding.width)
            strips.append(strip.crop(*crop.column_span))
        return strips

    def _segments(self, line: Content, y: int, over: Color) -> list[Segment]:
        segments: list[Segment] = []
        base, x = self.visual_style, 0
        for text, style in line.render(base, end="", parse_style=self._get_style):
            segments.append(Segment(text, self._rich(base + style, x, y, over)))
            x += len(text)
        return segments

    def _rich(self, style: Style, x: int, y: int, over: Color) -> RichStyle | None:
        """The style as the terminal can show it, with its place in the text; x is -1 beside the text."""
        key = (style, x, y)
        if key not in self._painted:
            rich = style.rich_style if x < 0 else style.rich_style_with_offset(x, y)
            if "@click" in rich.meta:
                rich += self.link_style
            strip = Strip([Segment("x", rich)], 1)
            for line_filter in self.get_line_filters():
                strip = strip.apply_filter(line_filter, over)
            self._painted[key] = next(iter(strip)).style
        return self._painted[key]

    def notify_style_update(self) -> None:
        self._look = None
        super().notify_style_update()


def _differ(before: Sequence[Content], now: Sequence[Content]) -> bool:
    return [(line.plain, line.spans) for line in before] != [(line.plain, line.spans) for line in now]


def _parts(line: Content) -> Sequence[Content]:
    return line.split(allow_blank=True) if "\n" in line.plain else (line,)
