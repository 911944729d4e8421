"""A scrolling list of lines with a cursor that paints only the lines in sight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.style import Style as RichStyle
from textual.content import Content
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual

from screens.actions.action import Action
from screens.actions.performer import Actor


class CursorFollower:
    """A screen that shows more of the line under the cursor."""

    def cursor_moved(self) -> None:
        """The cursor rests on another line, or the line under it shows something else.

        It's told at once, so that what follows from a move is painted together with it.
        """


class CursorView(Actor, ScrollView, can_focus=True, inherit_bindings=False):
    """Subclasses say how many lines there are, what each shows, and which of them the cursor may rest on."""

    DEFAULT_CSS = """
    CursorView {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        & > .cursor-view--cursor { background: $cursor-idle; }
        &:focus > .cursor-view--cursor { background: $cursor; }
        &:ansi > .cursor-view--cursor { background: ansi_default; text-style: reverse; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"cursor-view--cursor"}
    ACTS: ClassVar[tuple[str, ...]] = ("list",)

    STICKY = 0
    """1 where a subclass paints a heading above the lines that scroll."""

    @dataclass
    class Chosen(Message):
        """The operator pressed Enter on a line, or clicked the line under the cursor."""

        view: CursorView
        index: int

        @property
        def control(self) -> CursorView:
            """The view, for handlers that are bound to one by selector."""
            return self.view

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.cursor = 0

    def line_count(self) -> int:
        """How many lines there are below the sticky ones."""
        raise NotImplementedError

    def selectable(self, index: int) -> bool:
        raise NotImplementedError

    def line(self, index: int) -> Content:
        """What a line shows. Its first cell is the cursor's."""
        raise NotImplementedError

    def lines_changed(self, cursor: int, *, follow: bool = True) -> None:
        """Paint anew after the lines changed, the cursor at `cursor` or the nearest line that allows it.

        Unless it shall `follow` the cursor, the view stays where it is.
        """
        self._lengthen(Size(self.size.width, self.line_count() + self.STICKY))
        self.cursor = self._nearest(cursor, 1)
        if follow:
            self._keep_in_sight()
        self._show_lines()
        self._tell_moved()

    def _show_lines(self) -> None:
        self.refresh()

    def _lengthen(self, size: Size) -> None:
        self.virtual_size = size

    def move_to(self, index: int, direction: int = 1) -> None:
        """Put the cursor on a line, or on the next one in that direction on which it may rest."""
        index = self._nearest(index, direction)
        if index == self.cursor:
            return
        old, self.cursor = self.cursor, index
        self._keep_in_sight()
        for changed in (old, index):
            self._refresh_line(changed)
        self._tell_moved()

    def _tell_moved(self) -> None:
        if self.is_attached and isinstance(self.screen, CursorFollower):
            self.screen.cursor_moved()

    def _refresh_line(self, index: int) -> None:
        y = index - self.scroll_offset.y + self.STICKY
        if self.STICKY <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def _nearest(self, index: int, direction: int) -> int:
        count = self.line_count()
        if not count:
            return 0
        index = min(max(index, 0), count - 1)
        for step in (direction, -direction):
            at = index
            while 0 <= at < count:
                if self.selectable(at):
                    return at
                at += step
        return index

    def _keep_in_sight(self) -> None:
        """Scroll to the cursor; where it can go no further, to what stands above or below it too."""
        count = self.line_count()
        height = max(self.size.height - self.STICKY, 1)
        top = self.scroll_offset.y
        first, last = self.cursor, self.cursor
        if not any(self.selectable(i) for i in range(max(first - height, 0), first)):
            first = max(first - height + 1, 0)
        if not any(self.selectable(i) for i in range(last + 1, min(last + height, count))):
            last = min(last + height, count) - 1
        if last >= top + height:
            top = min(last - height + 1, self.cursor)
        if first < top:
            top = max(first, self.cursor - height + 1)
        if top != self.scroll_offset.y:
            self.scroll_to(y=top, animate=False, immediate=True)

    def on_resize(self, event: Resize) -> None:
        self._lengthen(Size(event.size.width, self.line_count() + self.STICKY))
        self.refresh()
        self._keep_in_sight()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        index = y + self.scroll_offset.y
        if index >= self.line_count():
            return Strip.blank(width, self.rich_style)
        content = self.line(index)
        if index != self.cursor or not self.selectable(index):
            return self._laid_out(content, width, self.visual_style)
        content = Content.assemble(("›", "$accent"), content[1:])
        strip = self._laid_out(content, width, self.get_visual_style("cursor-view--cursor"))
        # With the terminal's own colours there is no ground that suits every foreground.
        if self.get_component_styles("cursor-view--cursor").text_style.reverse:
            return strip.apply_style(RichStyle(reverse=True))
        return strip

    def _laid_out(self, content: Content, width: int, style: Style) -> Strip:
        strips = Visual.to_strips(self, content, width, 1, style, pad=True)
        return strips[0] if strips else Strip.blank(width, style.rich_style)

    def on_click(self, event: Click) -> None:
        """A click moves the cursor; a click on the line under it opens that line."""
        index = event.y - self.STICKY + self.scroll_offset.y
        if event.y < self.STICKY or not 0 <= index < self.line_count() or not self.selectable(index):
            return
        if index == self.cursor and event.chain > 1:
            self.do_open()
        else:
            self.move_to(index)

    def possible(self, action: Action) -> bool | None:
        if action.name == "open" and not (self.line_count() and self.selectable(self.cursor)):
            return None
        return super().possible(action)

    def do_up(self) -> None:
        self.move_to(self.cursor - 1, -1)

    def do_down(self) -> None:
        self.move_to(self.cursor + 1, 1)

    def do_page_up(self) -> None:
        self.move_to(self.cursor - self._page, -1)

    def do_page_down(self) -> None:
        self.move_to(self.cursor + self._page, 1)

    def do_first(self) -> None:
        self.move_to(0, 1)

    def do_last(self) -> None:
        self.move_to(self.line_count() - 1, -1)

    def do_open(self) -> None:
        if self.line_count() and self.selectable(self.cursor):
            self.post_message(self.Chosen(self, self.cursor))

    @property
    def _page(self) -> int:
        return max(self.size.height - self.STICKY - 1, 1)
