"""The log's lines as a table lists them."""

from __future__ import annotations

import logging

from crypto_core.findings.severity import Severity
from crypto_core.lists.filter_language import Field, ValueKind
from crypto_core.log.logbook import LogLine
from screens.facts import Facts
from screens.signs import SIGNS
from screens.widgets.table.columns import Cell, Column
from screens.widgets.table.listing import Listing
from screens.widgets.table.memory_rows import MemoryRows


def _severity(line: LogLine) -> Severity:
    if line.level >= logging.ERROR:
        return Severity.CRITICAL
    if line.level >= logging.WARNING:
        return Severity.HIGH
    return Severity.LOW


def _level(line: LogLine, _facts: Facts) -> Cell:
    return line.word, SIGNS[_severity(line)].style if line.level >= logging.WARNING else "$muted"


def _at(line: LogLine, facts: Facts) -> Cell:
    return f"{line.at.astimezone(facts.moment.tzinfo):%H:%M:%S %z}", "$muted"


def _logger(line: LogLine, _facts: Facts) -> Cell:
    return line.logger, "$muted"


COLUMNS: tuple[Column[LogLine], ...] = (
    Column("at", "time", _at, "at", 14, 14, 0),
    Column("level", "level", _level, "level", 7, 8, 1),
    Column("message", "message", lambda line, _: (line.message, ""), "message", 30, 400, 2),
    Column("logger", "from", _logger, "logger", 12, 40, 3, shown=False),
)

ROWS: MemoryRows[LogLine] = MemoryRows(
    lambda facts: facts.log.lines() if facts.log is not None else (),
    {
        Field("level", values=("debug", "info", "warning", "error", "critical")): lambda line, _: line.word,
        Field("logger"): lambda line, _: line.logger,
        Field("message"): lambda line, _: line.message,
        Field("at", ValueKind.DATE): lambda line, _: line.at,
    },
    identity=lambda line: line.number,
    sorts={
        "at": lambda line, _: line.number,
        "level": lambda line, _: line.level,
        "logger": lambda line, _: line.logger,
        "message": lambda line, _: line.message,
    },
    free=("message", "logger"),
)

LISTING: Listing[LogLine] = Listing(
    name="log",
    columns=COLUMNS,
    source=ROWS,
    fields=ROWS.fields,
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
    one="line",
    many="lines",
    nothing="Nothing has been logged yet.",
)
EXAMPLE = "level:warning,error -logger:*kms*"
