"""A scrolling list of lines with a cursor that paints only the lines in sight."""

from __future__ import annotations

from typing import ClassVar, Self

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.binding import BindingType
from textual.content import Content
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual

from screens.actions.action import Action, Scope
from screens.actions.performing import Actor, bindings

MOST_PAINTED = 500
"""Lines that are kept as they were painted."""


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
        & > .cursor-view--marked { background: $accent 14%; }
        &:focus > .cursor-view--cursor { background: $cursor; }
        &:ansi > .cursor-view--cursor { background: ansi_default; text-style: reverse; }
        &:ansi > .cursor-view--marked { background: ansi_default; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"cursor-view--cursor", "cursor-view--marked"}
    ACTS: ClassVar[tuple[Scope, ...]] = (Scope.LIST,)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.LIST)]

    STICKY = 0
    """1 where a heading stands above the lines that scroll."""

    class Moved(Message):
        """The cursor rests on another line, or the line under it shows something else."""

        def __init__(self, view: CursorView, index: int) -> None:
            super().__init__()
            self.view = view
            self.index = index

        @property
        def control(self) -> CursorView:
            """The view, for handlers that are bound to one by selector."""
            return self.view

    class Chosen(Message):
        """The operator pressed Enter on a line, or clicked the line under the cursor."""

        def __init__(self, view: CursorView, index: int) -> None:
            super().__init__()
            self.view = view
            self.index = index

        @property
        def control(self) -> CursorView:
            """The view, for handlers that are bound to one by selector."""
            return self.view

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.cursor = 0
        self._painted: dict[object, Strip] = {}
        """Lines as they were painted, by what they show, ground and edge: scrolling paints only new ones."""

    def line_count(self) -> int:
        """How many lines there are below the sticky ones."""
        raise NotImplementedError

    def selectable(self, index: int) -> bool:
        """True if the cursor may rest on the line."""
        raise NotImplementedError

    def line(self, index: int) -> Content:
        """What a line shows. Its first cell is the cursor's."""
        raise NotImplementedError

    def heading(self) -> Content:
        """What the line above the scrolling ones shows, if there is one."""
        return Content("")

    def shown_by(self, index: int) -> object:
        """By what a line that was painted is known again; the heading is at -1."""
        return index

    @property
    def line_width(self) -> int:
        """How many cells a line has."""
        return self.size.width

    def marks_line(self, index: int) -> bool:
        """True if the line shall look marked."""
        return index < 0

    def lines_changed(self, cursor: int, *, follow: bool = True) -> None:
        """Paint anew after the lines changed, the cursor at `cursor` or the nearest line that allows it.

        Unless it shall `follow` the cursor, the view stays where it is.
        """
        self.virtual_size = Size(self.size.width, self.line_count() + self.STICKY)
        self.cursor = self._nearest(cursor, 1)
        self.refresh()
        if follow:
            self._keep_in_sight()
        self.post_message(self.Moved(self, self.cursor))

    def move_to(self, index: int, direction: int = 1) -> None:
        """Put the cursor on a line, or on the next one in that direction on which it may rest."""
        index = self._nearest(index, direction)
        if index == self.cursor:
            return
        old, self.cursor = self.cursor, index
        self._keep_in_sight()
        for changed in (old, index):
            self._refresh_line(changed)
        self.post_message(self.Moved(self, index))

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
        """Lines are as wide as the view."""
        self.virtual_size = Size(event.size.width, self.line_count() + self.STICKY)
        self.refresh()
        self._keep_in_sight()

    def edge(self, y: int) -> Segment | None:
        """What stands at the right end of the line at `y` of what is in sight, beyond its own cells."""
        return None

    def render_line(self, y: int) -> Strip:
        """Paint the line at `y` of what is in sight, unless it was painted like that before."""
        index = -1 if y < self.STICKY else y - self.STICKY + self.scroll_offset.y
        here = index == self.cursor and index < self.line_count() and self.selectable(index)
        marked = index >= 0 and self.marks_line(index)
        style = self.visual_style
        if here:
            style = self.get_visual_style("cursor-view--cursor")
        elif marked:
            style = self.get_visual_style("cursor-view--marked")
        edge = self.edge(y)
        width = self.line_width
        key = (self.shown_by(index), width, here, marked, style, edge)
        painted = self._painted.get(key)
        if painted is None:
            if len(self._painted) > MOST_PAINTED:
                self._painted.clear()
            segments = self._segments(index, style, here=here)
            painted = Strip(segments if edge is None else [*segments, edge], width + (edge is not None))
            self._painted[key] = painted
        return painted

    def _segments(self, index: int, style: Style, *, here: bool) -> list[Segment]:
        width = self.line_width
        if index < 0:
            return self._laid_out(self.heading(), width, style)
        if index >= self.line_count():
            return list(Strip.blank(width, self.rich_style))
        painted = self.paint(index, width, style, cursor=here)
        # With the terminal's own colours there is no ground that suits every foreground.
        if here and self.get_component_styles("cursor-view--cursor").text_style.reverse:
            return list(Strip(painted).apply_style(RichStyle(reverse=True)))
        return painted

    def paint(self, index: int, width: int, style: Style, *, cursor: bool = False) -> list[Segment]:
        """Return a line as it is painted on a ground; with the cursor in its first cell, if that is there."""
        content = self.line(index)
        if cursor:
            content = Content.assemble(("›", "$accent"), content[1:])
        return self._laid_out(content, width, style)

    def refresh(self, *regions: Region, **options: bool) -> Self:
        """Paint anew: a part of the lines as they are, or all of them as they are now."""
        if not regions:
            self._painted.clear()
        return super().refresh(*regions, **options)

    def notify_style_update(self) -> None:
        """Colours may be others now."""
        self._painted.clear()
        super().notify_style_update()

    def _laid_out(self, content: Content, width: int, style: Style) -> list[Segment]:
        strips = Visual.to_strips(self, content, width, 1, style, pad=True)
        return list(strips[0] if strips else Strip.blank(width, style.rich_style))

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
        """Nothing can be opened where the cursor rests on nothing."""
        if action.name == "open" and not (self.line_count() and self.selectable(self.cursor)):
            return None
        return super().possible(action)

    def do_up(self) -> None:
        """One line up."""
        self.move_to(self.cursor - 1, -1)

    def do_down(self) -> None:
        """One line down."""
        self.move_to(self.cursor + 1, 1)

    def do_page_up(self) -> None:
        """One page up."""
        self.move_to(self.cursor - self._page, -1)

    def do_page_down(self) -> None:
        """One page down."""
        self.move_to(self.cursor + self._page, 1)

    def do_first(self) -> None:
        """To the first line."""
        self.move_to(0, 1)

    def do_last(self) -> None:
        """To the last line."""
        self.move_to(self.line_count() - 1, -1)

    def do_open(self) -> None:
        """Go deeper into the line under the cursor."""
        if self.line_count() and self.selectable(self.cursor):
            self.post_message(self.Chosen(self, self.cursor))

    @property
    def _page(self) -> int:
        return max(self.size.height - self.STICKY - 1, 1)
