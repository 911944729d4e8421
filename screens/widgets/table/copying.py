"""What of a table goes to the clipboard."""

from __future__ import annotations

from typing import TypeVar, cast

from screens.actions.performing import Host
from screens.facts import Facts
from screens.widgets.clipboard import cell_as_text, rows_as_text, send_to_clipboard
from screens.widgets.table.columns import cell_of
from screens.widgets.table.listing import Listing
from screens.widgets.table.table import Table

Row = TypeVar("Row")


def copy_cell(table: Table[Row], listing: Listing[Row], facts: Facts) -> None:
    """Copy the cell under the cursor; in the first column it is the row's reference."""
    row, column = table.current, table.columns.current
    if row is not None:
        first = column is listing.columns[0]
        text = cell_as_text(listing.reference(row) if first else cell_of(column, row, facts)[0])
        send_to_clipboard(table, text, text)


def copy_rows(table: Table[Row], listing: Listing[Row]) -> None:
    """Copy the marked rows, or the one under the cursor, cells parted by tabs."""
    if table.marks.whole:
        cast(Host, table.app).tell("Too many rows for the clipboard: E exports them.", trouble=True)
        return
    rows = table.marks.rows or ((table.current,) if table.current is not None else ())
    if not rows:
        return
    text, taken = rows_as_text(table.texts(row) for row in rows)
    words = listing.counted(taken)
    if taken < len(rows):
        words += f" of {len(rows):,}; E exports all"
    send_to_clipboard(table, text, words)
