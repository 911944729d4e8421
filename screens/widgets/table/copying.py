"""What of a table goes to the clipboard: the cell under the cursor, the reference, the row, marked rows."""

from __future__ import annotations

from typing import TypeVar, cast

from screens.actions.performing import Host
from screens.facts import Facts
from screens.widgets.clipboard import cell_as_text, rows_as_text, send_to_clipboard
from screens.widgets.table.columns import cell_of
from screens.widgets.table.listing import Listing
from screens.widgets.table.table import Table

Row = TypeVar("Row")


def copy(table: Table[Row], listing: Listing[Row], facts: Facts, what: str) -> None:
    """Copy the "cell", "reference", "row" or "marked" rows (the row under the cursor if none) and say so."""
    row = table.current
    if row is None:
        return
    match what:
        case "cell":
            first = table.columns.current is listing.columns[0]
            _copy_cell(
                table, listing.reference(row) if first else cell_of(table.columns.current, row, facts)[0]
            )
        case "reference":
            _copy_cell(table, listing.reference(row))
        case "marked" if table.marks.whole:
            _complain(table, "Too many rows for the clipboard: E exports them.")
        case "row" | "marked":
            _copy_rows(table, listing, table.marks.rows if what == "marked" and table.marks else (row,))
        case _:
            _complain(table, f"Can't copy {what}: cell, reference, row or marked.")


def _copy_cell(table: Table[Row], cell: str) -> None:
    text = cell_as_text(cell)
    send_to_clipboard(table, text, text)


def _copy_rows(table: Table[Row], listing: Listing[Row], rows: tuple[Row, ...]) -> None:
    text, taken = rows_as_text(table.texts(row) for row in rows)
    words = listing.counted(taken)
    if taken < len(rows):
        words += f" of {len(rows):,}; E exports all"
    send_to_clipboard(table, text, words)


def _complain(table: Table[Row], message: str) -> None:
    cast(Host, table.app).tell(message, trouble=True)
