"""The report as sections of facts and tables: what the forms for people have in common.

Markdown and HTML only put these on a page, each with its own escaping, so both tell the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from crypto_core.lists.tone import Tone
from crypto_core.values.moments import moment

WORD_TONE = {
    "done": Tone.GOOD,
    "passed": Tone.GOOD,
    "within": Tone.GOOD,
    "skipped": Tone.WARNING,
    "begun": Tone.WARNING,
    "not yet": Tone.WARNING,
    "not known": Tone.WARNING,
    "interrupted": Tone.WARNING,
    "refused": Tone.WARNING,
    "failed": Tone.BAD,
    "over": Tone.BAD,
}
"""Words of states, outcomes and verdicts."""


class TextLook(StrEnum):
    TEXT = "text"
    NUMBER = "number"
    CODE = "code"
    """Hashes, ARNs, references."""
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and lines that go with it. `share` is a part of a budget, in percent, for a bar."""

    text: str
    tone: Tone = Tone.PLAIN
    look: TextLook = TextLook.TEXT
    more: tuple[str, ...] = ()
    share: int | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """All lines that say something."""
        return tuple(line for line in (self.text, *self.more) if line)


@dataclass(frozen=True, slots=True)
class ReportTable:
    """Rows under headers; `empty` is the text without rows."""

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str = "None."


@dataclass(frozen=True, slots=True)
class NamedValue:
    name: str
    value: Cell


@dataclass(frozen=True, slots=True)
class ShownSection:
    """A part of the page. `id` is a fixed word, for links within the page."""

    id: str
    title: str
    lead: str = ""
    facts: tuple[NamedValue, ...] = ()
    tables: tuple[ReportTable, ...] = ()

    @property
    def names_tables(self) -> bool:
        """True where the section's title doesn't say what its tables are."""
        return len(self.tables) > 1 or bool(self.facts)


def facts(*pairs: tuple[str, str | Cell]) -> tuple[NamedValue, ...]:
    """Return the facts that have a value."""
    told = ((name, value if isinstance(value, Cell) else Cell(value)) for name, value in pairs)
    return tuple(NamedValue(name, cell) for name, cell in told if cell.lines)


def quiet(text: str) -> Cell:
    return Cell(text, Tone.QUIET)


def code(text: str, *more: str) -> Cell:
    """Return a hash, an ARN or a reference."""
    return Cell(text, look=TextLook.CODE, more=more)


def number(value: int | None) -> Cell:
    """Return a count, with a dash for one that isn't known."""
    return Cell("–" if value is None else f"{value:,}", look=TextLook.NUMBER)


CellValue = Cell | str | int | datetime | tuple[str, ...] | None
"""A cell, or what one is made of."""


def cell_of(value: CellValue) -> Cell:
    """Return a text, a count, a moment, or a text with the lines that go with it, as a cell."""
    if isinstance(value, Cell):
        return value
    if value is None or isinstance(value, int):
        return number(value)
    if isinstance(value, datetime):
        return at_time(moment(value))
    return Cell(value) if isinstance(value, str) else Cell(value[0], more=value[1:])


def table(
    caption: str, headers: str, rows: Iterable[tuple[CellValue, ...]], empty: str = "None."
) -> ReportTable:
    """Return a table; `headers` are separated by bars, cells are made of values by their types."""
    cells = tuple(tuple(map(cell_of, row)) for row in rows)
    return ReportTable(caption, tuple(headers.split("|")), cells, empty)


def word(text: str, *more: str) -> Cell:
    """Return a word of ours in its tone, with lines that go with it."""
    return Cell(text, WORD_TONE.get(text, Tone.PLAIN), more=more)


def at_time(text: str) -> Cell:
    return Cell(text, look=TextLook.TIME)


def share(seconds: float | None, budget: int) -> int | None:
    """Return how much of a budget was used, in percent; None without one, or where it isn't known."""
    return round(100 * seconds / budget) if budget and seconds is not None else None


@dataclass(frozen=True, slots=True)
class Named:
    """A value by its name, such as a figure of the summary or what a step has found out."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReportPage:
    """A document. `kind` is what it is, such as an incident report; `state` the sentence under the title."""

    kind: str
    name: str
    title: str
    state: str
    figures: tuple[Named, ...]
    sections: tuple[ShownSection, ...]
    draft: bool = False
    """Whether it is not final, which the page shows."""
