"""The columns of the token table, and which of them a terminal's width has room for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len

from crypto_core.database.inventory import InventoryRow, SortKey
from crypto_core.envelope import Format
from crypto_core.foreign import clean
from screens.ages import span
from screens.key_words import KeyWords
from screens.signs import EVIDENCE_STYLES, format_style
from screens.widgets.cells import fit, fit_middle

Cell = tuple[str, str]
"""Text and the name of its style."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, the sort key that orders by it, its width, its rank, its cells."""

    heading: str
    sort: SortKey | None
    least: int
    most: int
    rank: int
    """Columns with a higher rank are dropped first where the terminal is narrow."""
    cell: Callable[[InventoryRow, KeyWords, datetime], Cell]
    cut: Callable[[str, int], str] = fit
    """How a text is made to fit its cells."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A column with the cells that it got."""

    column: Column
    width: int


def _reference(row: InventoryRow, _keys: KeyWords, _now: datetime) -> Cell:
    return str(row.ref), ""


def _organisation(row: InventoryRow, _keys: KeyWords, _now: datetime) -> Cell:
    return row.organisation, ""


def _provider(row: InventoryRow, _keys: KeyWords, _now: datetime) -> Cell:
    return row.provider, ""


def _format(row: InventoryRow, _keys: KeyWords, _now: datetime) -> Cell:
    return row.format.value, format_style(row.format)


def _key(row: InventoryRow, keys: KeyWords, _now: datetime) -> Cell:
    if row.key_arn is None:
        return ("?", "$warning") if row.format.protected else ("-", "$muted")
    return keys.short_with_generation(row.key_arn, row.key_material_id), ""


def _evidence(row: InventoryRow, _keys: KeyWords, _now: datetime) -> Cell:
    if not row.format.protected:
        return ("-", "$muted") if row.format is not Format.UNRECOGNISED else ("unknown", "$warning")
    return row.evidence.value, EVIDENCE_STYLES[row.evidence]


def _created(row: InventoryRow, _keys: KeyWords, now: datetime) -> Cell:
    return (span(now - row.created_at) if row.created_at else "?"), "$muted"


COLUMNS: tuple[Column, ...] = (
    Column("token reference", SortKey.REFERENCE, 30, 60, 0, _reference, fit_middle),
    Column("org", SortKey.ORGANISATION, 8, 24, 3, _organisation),
    Column("provider", SortKey.PROVIDER, 10, 12, 5, _provider),
    Column("format", SortKey.FORMAT, 12, 12, 1, _format),
    Column("key · material", SortKey.KEY, 14, 26, 2, _key),
    Column("evidence", None, 8, 10, 4, _evidence),
    Column("age", SortKey.CREATED, 6, 7, 6, _created),
)

GAP = 2


def wanted(rows: Iterable[InventoryRow], keys: KeyWords, now: datetime) -> dict[str, int]:
    """Return how many cells the widest text of each column takes."""
    widths = {column.heading: cell_len(column.heading) + 2 for column in COLUMNS}
    for row in rows:
        for column in COLUMNS:
            text, _ = column.cell(row, keys, now)
            widths[column.heading] = max(widths[column.heading], cell_len(clean(text, column.most)))
    return widths


def place(width: int, want: Mapping[str, int]) -> tuple[Placed, ...]:
    """Return the columns that fit into `width` cells, none wider than it wants to be."""
    most = {c.heading: min(c.most, want.get(c.heading, c.most)) for c in COLUMNS}
    least = {c.heading: min(c.least, most[c.heading]) for c in COLUMNS}
    chosen = list(COLUMNS)
    while len(chosen) > 1 and sum(least[c.heading] + GAP for c in chosen) > width:
        chosen.remove(max(chosen, key=lambda c: c.rank))
    left = width - sum(least[c.heading] + GAP for c in chosen)
    widths = {c.heading: least[c.heading] for c in chosen}
    while left > 0 and (short := [name for name in widths if widths[name] < most[name]]):
        for name in short[:left]:
            widths[name] += 1
        left -= len(short)
    return tuple(Placed(c, widths[c.heading]) for c in chosen)
