"""Prepared lines, some of which lead somewhere: what a screen that is one page of text is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.events import Resize
from textual.geometry import Region, Size

from screens.routes import Followed
from screens.widgets.cursor_view import CursorView


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `target` is what Enter leads to, None where it leads nowhere; `hint` says what to do.

    The first cell of the content is kept free for the cursor.
    """

    content: Content
    target: object = None
    hint: str = ""


def line(*parts: Content | str | tuple[str, str], target: object = None, hint: str = "") -> Line:
    """Return a line of these parts, each a text or one with its style."""
    return Line(Content.assemble(*parts), target, hint)


class LineList(CursorView):
    """Lines that are written anew for each width. The cursor rests only on those that lead somewhere."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._write: Callable[[Size], Sequence[Line]] = lambda _size: ()
        self._lines: Sequence[Line] = ()
        self._seen: tuple[object, list[Content]] | None = None
        """Where in the page the view was, and what of it was in sight, when it was last written."""

    @property
    def current(self) -> Line | None:
        """The line under the cursor, if it leads anywhere."""
        if self.cursor < len(self._lines) and self.selectable(self.cursor):
            return self._lines[self.cursor]
        return None

    @property
    def written(self) -> Sequence[Line]:
        return self._lines

    def write(self, lines: Callable[[Size], Sequence[Line]]) -> None:
        """Show what `lines` returns for this size.

        The cursor stays on what it leads to; where that is gone, it keeps its rank among lines with a target.
        """
        self._write = lines
        before, at = self.current, self.cursor
        ordinal = sum(1 for line in self._lines[:at] if line.target is not None)
        self._lines = lines(self.size)
        targets = [i for i, line in enumerate(self._lines) if line.target is not None]
        place = targets[min(ordinal, len(targets) - 1)] if targets else 0
        if before is not None and targets and self._lines[place].target != before.target:
            same = [i for i in targets if self._lines[i].target == before.target]
            place = min(same, key=lambda i: abs(i - at), default=place)
        self.lines_changed(place)

    def _show_lines(self) -> None:
        """Paint the lines in sight that are other ones than when they were last written."""
        top = self.scroll_offset.y
        place = (self.size, top, self.cursor)
        before, now = self._seen, [line.content for line in self._lines[top : top + self.size.height]]
        self._seen = place, now
        if before is None or before[0] != place or len(before[1]) != len(now):
            self.refresh()
            return
        for y, (old, new) in enumerate(zip(before[1], now, strict=True)):
            if old.plain != new.plain or old.spans != new.spans:
                self.refresh(Region(0, y, self.size.width, 1))

    def line_count(self) -> int:
        return len(self._lines)

    def selectable(self, index: int) -> bool:
        return self._lines[index].target is not None

    def line(self, index: int) -> Content:
        return self._lines[index].content

    def on_resize(self, event: Resize) -> None:
        if event.size:
            self.write(self._write)

    def on_cursor_view_chosen(self, event: CursorView.Chosen) -> None:
        event.stop()
        if self.current is not None:
            self.post_message(Followed(self.current.target))


def indented(lines: Iterable[Line]) -> list[Line]:
    """Return the lines with a cell for the cursor in front."""
    return [Line(Content.assemble(" ", line.content), line.target, line.hint) for line in lines]
