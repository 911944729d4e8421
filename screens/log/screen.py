"""Log: what happened to the console's calls? The newest line first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from crypto_core.log.logbook import LogLine
from crypto_core.text.cleaning import clean
from screens.actions.action import ActionScope
from screens.facts import Facts
from screens.list_screen import ListScreen
from screens.log.listing import EXAMPLE, LISTING
from screens.widgets.table.pane import TablePane


class LogScreen(ListScreen[LogLine]):
    """The latest lines of the log, the one under the cursor whole below them."""

    CSS_PATH = "screen.tcss"
    NAME = "log"
    EVERY = 2.0
    ACTS: ClassVar[tuple[ActionScope, ...]] = (ActionScope.LOG,)

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._following = True

    def body(self) -> Iterable[Widget]:
        """The lines, and the whole of one."""
        yield TablePane(self.facts, LISTING, example=EXAMPLE)
        yield Static(id="line")

    def show_list(self) -> None:
        """Show what is new; following, the cursor stays on the newest line."""
        table = self.pane.table
        newest_first = self.pane.feed.shown == LISTING.first_query(self.pane.feed.shown.filter)
        if self._following and newest_first and not self.pane.feed.asking and table.cursor:
            table.move_to(0)
        self.refresh_hints(*self.pane.state)
        self.cursor_moved()

    def cursor_moved(self) -> None:
        """Show the whole of the line under the cursor."""
        following = Content.assemble(("following   ", "$accent")) if self._following else Content("")
        self.show_path(Content.assemble(following, self.pane.note()))
        row = self.pane.table.current
        log = self.facts.log
        where = ""
        if log is not None:
            where = log.trouble or (
                f"Written to {clean(log.path, 300)}" if log.path else "Not written to a file."
            )
        whole = Content(row.message) if row is not None else Content("")
        about = f"{row.at:%Y-%m-%d %H:%M:%S.%f} UTC  {row.word}  {row.logger}   " if row else ""
        self.query_one("#line", Static).update(
            Content("\n").join([Content.assemble((about + where, "$muted")), whole])
        )

    def do_follow(self) -> None:
        """Stay at the newest line, or stop."""
        self._following = not self._following
        if self._following:
            self.pane.table.do_first()
        self.show_list()
