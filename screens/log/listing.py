"""The log's lines as a table lists them."""

from __future__ import annotations

import logging

from crypto_core.findings.severity import Severity
from crypto_core.lists.filter_language import Field, Value, ValueKind
from crypto_core.lists.in_memory import MemorySource
from crypto_core.lists.paging import PagedSource
from crypto_core.log.logbook import LogLine
from crypto_core.text.cleaning import clean
from screens.facts import Facts
from screens.signs import SIGNS, Sign
from screens.widgets.table.columns import Cell, Column
from screens.widgets.table.listing import Listing

FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("level", values=("debug", "info", "warning", "error", "critical")),
        Field("logger"),
        Field("message"),
        Field("at", ValueKind.DATE),
    )
}


def _severity(line: LogLine) -> Severity:
    if line.level >= logging.ERROR:
        return Severity.CRITICAL
    if line.level >= logging.WARNING:
        return Severity.HIGH
    return Severity.LOW


def _at(line: LogLine, facts: Facts) -> Cell:
    return f"{line.at.astimezone(facts.moment.tzinfo):%H:%M:%S %z}", "$muted"


def _level(line: LogLine, _facts: Facts) -> Cell:
    return line.word, SIGNS[_severity(line)].style if line.level >= logging.WARNING else "$muted"


def _message(line: LogLine, _facts: Facts) -> Cell:
    return clean(line.message, 2000), ""


def _logger(line: LogLine, _facts: Facts) -> Cell:
    return clean(line.logger, 120), "$muted"


def _sign(line: LogLine, _facts: Facts) -> Sign:
    return SIGNS[_severity(line)]


def _read(line: LogLine, field: str) -> Value:
    return line.word if field == "level" else getattr(line, field)


def source(facts: Facts) -> PagedSource[LogLine]:
    """Return the latest lines, as they are now."""
    return MemorySource(
        lambda: facts.log.lines() if facts.log is not None else (),
        fields=FIELDS,
        read=_read,
        identity=lambda line: line.number,
        sorts={
            "at": lambda line: line.number,
            "level": lambda line: line.level,
            "logger": lambda line: line.logger,
            "message": lambda line: line.message,
        },
        free=("message", "logger"),
    )


LISTING: Listing[LogLine] = Listing(
    name="log",
    columns=(
        Column("at", "time", _at, "at", 14, 14, 0),
        Column("level", "level", _level, "level", 7, 8, 1),
        Column("message", "message", _message, "message", 30, 400, 2),
        Column("logger", "from", _logger, "logger", 12, 40, 3, shown=False),
    ),
    source=source,
    fields=FIELDS,
    sort="at",
    descending=True,
    identity=lambda line: line.number,
    reference=lambda line: f"{line.at:%Y-%m-%dT%H:%M:%SZ} {line.word} {clean(line.message, 4000)}",
    sign=_sign,
    record=lambda line: {
        "at": line.at.isoformat(),
        "level": line.word,
        "logger": line.logger,
        "message": line.message,
    },
    one="line",
    many="lines",
    nothing="Nothing happened yet that deserves a line.",
)
EXAMPLE = "level:warning,error -logger:*kms*"
