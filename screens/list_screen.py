"""What the screens that are one table have in common: the table, its filter in the path, its way back."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar, cast

from textual import on
from textual.message import Message

from screens.facts import ScreenFacts
from screens.main_screen import MainScreen
from screens.routes import Followed
from screens.widgets.cursor_view import CursorView
from screens.widgets.panes import Arrangement, Panes
from screens.widgets.table.pane import TablePane

Row = TypeVar("Row")


class ListScreen(MainScreen, Generic[Row]):
    """A main screen over one TablePane, which the body yields."""

    def __init__(self, facts: ScreenFacts, expression: str = "") -> None:
        """`expression` is the filter that the screen opens with and Esc comes back to."""
        super().__init__(facts)
        self.expression = expression
        self._pane: TablePane[Row] | None = None

    @property
    def pane(self) -> TablePane[Row]:
        if self._pane is None:
            self._pane = cast("TablePane[Row]", self.query_one(TablePane))
        return self._pane

    @property
    def panes(self) -> Panes:
        return self.query_one(Panes)

    @property
    def crumb(self) -> tuple[str, str]:
        there = self._pane is not None or (self.is_mounted and bool(self.query(TablePane)))
        known = there and self.pane.feed.at is not None
        return self.NAME.capitalize(), self.pane.feed.shown.filter if known else self.expression

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        return self.pane.feed.at, self.pane.feed.asking

    @property
    def row_in_hand(self) -> Row | None:
        return self.pane.table.current if self.is_mounted and self.query(TablePane) else None

    def show_list(self) -> None:
        """Show where in the list the cursor is, and what is known of the row under it."""
        raise NotImplementedError

    def show_facts(self) -> None:
        self.show_list()

    @on(TablePane.Changed)
    def pane_changed(self) -> None:
        self.show_list()

    def cursor_moved(self) -> None:
        self.show_list()

    def route_of(self, row: Row) -> object | None:
        """Return where Enter leads from a row, None if it leads nowhere."""
        return None

    @on(CursorView.Chosen)
    def follow_row(self, event: Message) -> None:
        event.stop()
        row = self.pane.table.current
        target = self.route_of(row) if row is not None else None
        if target is not None:
            self.post_message(Followed(target))

    def share_height(self) -> None:
        """Give the list as many lines as it needs, up to half of them; the rest is the chosen row's."""
        pane = self.pane
        if self.panes.arrangement is not Arrangement.BELOW:
            pane.styles.height = "100%"
            return
        lines = pane.table.line_count() + 1 + (3 if pane.bar.is_open else 0)
        pane.styles.height = min(max(lines, 4), max(self.size.height * 45 // 100, 4))

    def ask_anew(self) -> None:
        """Ask for the rows anew; the cursor and the marks stay on theirs."""
        self.pane.refresh_rows()

    def back(self) -> bool:
        """Close the filter, stop asking, or come back to the filter that the screen opened with."""
        return self.pane.back()
