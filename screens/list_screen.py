"""What the screens that are one table have in common: the table, its filter in the path, its way back."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar, cast

from screens.facts import Facts
from screens.main_screen import MainScreen
from screens.widgets.table.pane import TablePane

Row = TypeVar("Row")


class ListScreen(MainScreen, Generic[Row]):
    """A main screen over one TablePane, which the body yields."""

    def __init__(self, facts: Facts, expression: str = "") -> None:
        """`expression` is the filter that the screen opens with and Esc comes back to."""
        super().__init__(facts)
        self.expression = expression
        self._pane: TablePane[Row] | None = None

    @property
    def pane(self) -> TablePane[Row]:
        """The list."""
        if self._pane is None:
            self._pane = cast("TablePane[Row]", self.query_one(TablePane))
        return self._pane

    @property
    def crumb(self) -> tuple[str, str]:
        """The screen's name and its filter."""
        there = self._pane is not None or (self.is_mounted and bool(self.query(TablePane)))
        known = there and self.pane.feed.at is not None
        return self.NAME.capitalize(), self.pane.feed.shown.filter if known else self.expression

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        """When the rows came, and whether others are being asked for."""
        return self.pane.feed.at, self.pane.feed.asking

    def ask_anew(self) -> None:
        """Ask for the rows anew; the cursor and the marks stay on theirs."""
        self.pane.refresh_rows()

    def back(self) -> bool:
        """Close the filter, stop asking, or come back to the filter that the screen opened with."""
        return self.pane.back()
