"""The columns of a table, and which of them a terminal's width has room for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rich.cells import cell_len

from crypto_core.lists.sheet import SheetField
from crypto_core.values.clean_text import clean
from screens.facts import ScreenFacts
from screens.signs import STYLES
from screens.widgets.cells import fit, fit_middle

Row = TypeVar("Row")

Column = SheetField[Row, ScreenFacts]
"""A column is a field of the rows' sheet."""

Cell = tuple[str, str]
"""Text and the name of its style."""

GAP = 2
NARROWEST = 3


def cell_of(column: Column[Row], row: Row, facts: ScreenFacts) -> Cell:
    text, tone = column.text(row, facts)
    return text, STYLES.get(tone, tone)


def fitted(column: Column[Any], text: str, width: int) -> str:
    return fit_middle(text, width) if column.ends else fit(text, width, right=column.right)


@dataclass(frozen=True, slots=True)
class Placed(Generic[Row]):
    column: Column[Row]
    width: int


def wanted(
    rows: Iterable[Row],
    columns: Sequence[Column[Row]],
    facts: ScreenFacts,
    before: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Return how many cells the widest text of each column takes; never less than `before`."""
    widths = {c.name: max((before or {}).get(c.name, 0), cell_len(c.title) + 2) for c in columns}
    for row in rows:
        for column in columns:
            widest = widths[column.name]
            if widest < column.most:
                text, _ = cell_of(column, row, facts)
                if len(text) > widest or not (text.isascii() and text.isprintable()):
                    widths[column.name] = max(widest, cell_len(clean(text, column.most)))
    return widths


def place(
    width: int,
    columns: Sequence[Column[Any]],
    want: Mapping[str, int],
    focus: str,
    spare: Sequence[Column[Any]] = (),
) -> tuple[Placed[Any], ...]:
    """Return the columns that fit into `width` cells.

    None is wider than it wants to be. The first one is always there. Where not all fit, the least important
    are left out; if `focus` is among those, the columns before it make room, the first one too, though never
    all of it. Where there is room for more than `columns`, those of `spare` stand behind them.
    """
    if not columns:
        return ()
    most = {c.name: min(c.most, want.get(c.name, c.most)) for c in columns}
    least = {c.name: min(c.least, most[c.name]) for c in columns}
    chosen = list(columns)
    while len(chosen) > 1 and _taken(chosen, least) > width:
        chosen.remove(max(chosen[1:], key=lambda c: c.width[2]))
    if focus in most and all(c.name != focus for c in chosen):
        chosen = _scrolled(columns, least, width, focus)
        over = _taken(chosen, least) - width
        if over > 0:
            first = chosen[0].name
            least[first] = most[first] = max(least[first] - over, NARROWEST)
    left = width - _taken(chosen, least)
    widths = {c.name: least[c.name] for c in chosen}
    while left > 0 and (short := [name for name in widths if widths[name] < most[name]]):
        for name in short[:left]:
            widths[name] += 1
        left -= len(short)
    for column in spare if len(chosen) == len(columns) else ():
        room = left - GAP
        if room >= column.least:
            chosen.append(column)
            widths[column.name] = min(room, column.most, want.get(column.name, column.most))
            left -= widths[column.name] + GAP
    return tuple(Placed(c, min(widths[c.name], max(width - GAP, 1))) for c in chosen)


def _taken(columns: Iterable[Column[Any]], widths: Mapping[str, int]) -> int:
    return sum(widths[c.name] + GAP for c in columns)


def _scrolled(
    columns: Sequence[Column[Any]], widths: Mapping[str, int], width: int, focus: str
) -> list[Column[Any]]:
    """The first column, then as many of those up to the one in focus as fit."""
    end = next(i for i, c in enumerate(columns) if c.name == focus)
    shown = [columns[end]] if end else []
    for column in reversed(columns[1:end]):
        if _taken([columns[0], column, *shown], widths) > width:
            break
        shown.insert(0, column)
    return [columns[0], *shown]
