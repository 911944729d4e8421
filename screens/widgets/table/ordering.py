"""What a table is sorted by next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crypto_core.lists.paging import Query
from crypto_core.text.cleaning import shortened
from screens.blocking import Trouble
from screens.widgets.table.columns import Column
from screens.widgets.table.listing import Listing


def order_after(listing: Listing[Any], query: Query, column: Column[Any]) -> Query | Trouble:
    """Return the query by a column; the other way round the second time; as at first the third time."""
    if not column.sort:
        return Trouble(f"{column.title.capitalize()} can't be sorted by.")
    if query.sort != column.sort:
        return replace(query, sort=column.sort, descending=False)
    if not query.descending:
        return replace(query, descending=True)
    return listing.first_query(query.filter)


def order_named(listing: Listing[Any], query: Query, words: str) -> Query | Trouble:
    """Return the query by a column named in words: `org`, `org desc`."""
    name, _, direction = words.strip().partition(" ")
    column = listing.column(name)
    sort = column.sort if column is not None else name if name == listing.sort else ""
    if not sort or direction.strip() not in ("", "asc", "desc"):
        names = ", ".join(c.name for c in listing.columns if c.sort)
        return Trouble(f"Can't sort by {shortened(words, 60)}.", f"Columns: {names}; desc may follow.")
    return replace(query, sort=sort, descending=direction.strip() == "desc")


def arrow(listing: Listing[Any], query: Query) -> str:
    """Down where the greatest comes first: by state the worst, unless reversed."""
    return "↓" if query.descending != (query.sort == listing.worst_first) else "↑"
