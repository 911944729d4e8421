"""Log: what happened to the console's calls? The newest line first."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import ClassVar

from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from crypto_core.findings.finding import Severity
from crypto_core.lists.filter_language import ValueKind
from crypto_core.lists.sheet import Sheet, SheetField
from crypto_core.log.logbook import LogLine
from crypto_core.values.clean_text import clean
from screens.facts import ScreenFacts
from screens.list_screen import ListScreen
from screens.signs import SIGNS
from screens.widgets.table.columns import Cell
from screens.widgets.table.pane import TablePane
from screens.widgets.table.table_list import memory_listing


class LogScreen(ListScreen[LogLine]):
    """The latest lines of the log, the one under the cursor whole below them."""

    CSS_PATH = "screen.tcss"
    NAME = "log"
    EVERY = 2.0
    ACTS: ClassVar[tuple[str, ...]] = ("log",)

    def __init__(self, facts: ScreenFacts) -> None:
        super().__init__(facts)
        self._following = True

    def body(self) -> Iterable[Widget]:
        yield TablePane(self.facts, LISTING, example=EXAMPLE)
        yield Static(id="line")

    def show_list(self) -> None:
        table = self.pane.table
        newest_first = self.pane.feed.shown == LISTING.first_query(self.pane.feed.shown.filter)
        if self._following and newest_first and not self.pane.feed.asking and table.cursor:
            table.move_to(0)
        self.refresh_hints(*self.pane.state)
        self.cursor_moved()

    def cursor_moved(self) -> None:
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
        self._following = not self._following
        if self._following:
            self.pane.table.do_first()
        self.show_list()


def _severity(line: LogLine) -> Severity:
    if line.level >= logging.ERROR:
        return Severity.CRITICAL
    if line.level >= logging.WARNING:
        return Severity.HIGH
    return Severity.LOW


def _level(line: LogLine, _facts: ScreenFacts) -> Cell:
    return line.word, SIGNS[_severity(line)].style if line.level >= logging.WARNING else "$muted"


def _at(line: LogLine, facts: ScreenFacts) -> Cell:
    return f"{line.at.astimezone(facts.moment.tzinfo):%H:%M:%S %z}", "$muted"


_LEVELS = ("debug", "info", "warning", "error", "critical")

SHEET: Sheet[LogLine, ScreenFacts] = Sheet(
    "line",
    "lines",
    (
        SheetField("at", _at, (14, 14, 0), "time", find=True, kind=ValueKind.DATE, order="number"),
        SheetField("level", _level, (7, 8, 1), at="word", find=True, values=_LEVELS, order="level"),
        SheetField("message", None, (30, 400, 2), free=True, order=True),
        SheetField("logger", None, (12, 40, 3), "from", tone="$muted", free=True, order=True, shown=False),
    ),
)

LISTING = memory_listing(
    "log",
    SHEET,
    lambda facts: facts.log.lines() if facts.log is not None else (),
    sort="at",
    descending=True,
    identity=lambda line: line.number,
    reference=lambda line: f"{line.at:%Y-%m-%dT%H:%M:%SZ} {line.word} {line.message}",
    sign=lambda line, _: SIGNS[_severity(line)],
    record=lambda line: {
        "at": line.at.isoformat(),
        "level": line.word,
        "logger": line.logger,
        "message": line.message,
    },
    nothing="Nothing has been logged yet.",
)
EXAMPLE = "level:warning,error -logger:*kms*"
