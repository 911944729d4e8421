"""The manual: its pages, found by any word of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from screens.facts import ScreenFacts
from screens.list_screen import ListScreen
from screens.manual.page_list import EXAMPLE, LISTING, matching_lines
from screens.manual_page import ManualPage
from screens.routes import ManualPageRoute
from screens.widgets.cells import cut
from screens.widgets.table.pane import TablePane

_SHOWN = 5


class ManualScreen(ListScreen[ManualPage]):
    """The pages; below them, where the one under the cursor has what is looked for."""

    CSS_PATH = "screen.tcss"
    NAME = "manual"
    EVERY = 0.0

    def __init__(self, facts: ScreenFacts, expression: str = "") -> None:
        super().__init__(facts, expression)
        self._told: tuple[object, ...] = ()

    def body(self) -> Iterable[Widget]:
        yield TablePane(self.facts, LISTING, first_filter=self.expression, example=EXAMPLE)
        yield Static(id="lines")

    def route_of(self, row: ManualPage) -> object | None:
        return ManualPageRoute(row.topic, self.pane.feed.shown.filter)

    def show_list(self) -> None:
        self.refresh_hints(*self.pane.state)
        self.cursor_moved()

    def cursor_moved(self) -> None:
        """Show lines of the page under the cursor that have what is looked for, else what it is about."""
        self.show_path(self.pane.note())
        page, expression, width = self.pane.table.current, self.pane.feed.shown.filter, self.size.width - 4
        told = (page and page.topic, expression, width)
        if told != self._told:
            self._told = told
            lines = list(_about(page, expression, width)) if page is not None else []
            self.query_one("#lines", Static).update(Content("\n").join(lines))


def _about(page: ManualPage, expression: str, width: int) -> Iterator[Content]:
    yield Content.assemble((page.title, "bold $accent"), (f"   keydeck help {page.topic}", "$muted"))
    found = matching_lines(page, expression, width)[:_SHOWN]
    for line in found or [page.summary]:
        yield Content(cut(line, width))
