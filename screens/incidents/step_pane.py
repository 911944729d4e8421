"""The right of an incident's page: one step, as large as it needs, scrolled by Page up and Page down."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from screens.widgets.line_list import Line


class StepPane(VerticalScroll, can_focus=False):
    """Lines that are written anew for each width, painted only where they are others than before."""

    DEFAULT_CSS = """
    StepPane { padding: 0 1; scrollbar-size-vertical: 1; overflow-x: hidden; }
    StepPane > Static { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._write: Callable[[int], Iterable[Line]] = lambda _width: ()
        self._about: object = None
        self._shown: object = None

    def compose(self) -> ComposeResult:
        yield Static(id="step")

    def write(self, lines: Callable[[int], Iterable[Line]], about: object) -> None:
        """Show what `lines` returns for this width; from its beginning where it is `about` something else."""
        self._write = lines
        width = self.size.width - 3
        if width <= 0:
            return
        content = Content("\n").join([line.content for line in lines(width)])
        seen = (content.plain, content.spans)
        if seen != self._shown:
            self._shown = seen
            self.query_one("#step", Static).update(content)
        if about != self._about:
            self._about = about
            self.scroll_home(animate=False)

    def on_resize(self, event: Resize) -> None:
        if event.size:
            self.write(self._write, self._about)

    def page(self, pages: int) -> None:
        """Scroll by so many pages."""
        self.scroll_relative(y=pages * max(self.size.height - 1, 1), animate=False)
