"""What a table says about itself: what it covers, and why there is nothing below its last row."""

from __future__ import annotations

from typing import Any

from textual.content import Content

from screens.widgets.table.feed import Feed
from screens.widgets.table.listing import Listing
from screens.widgets.table.ordering import arrow
from screens.widgets.table.table import Table


def ending(feed: Feed[Any], listing: Listing[Any], waiting_for: str) -> tuple[str, ...]:
    if feed.at is None:
        if feed.asking:
            return (f"asking for {listing.many}…  X stops asking",)
        return () if feed.trouble is None else ("No answer: r asks again.",)
    if feed.busy_for_operator:
        return ("asking…  X stops asking",)
    if feed.window.below:
        return (f"more {listing.many} follow…",)
    if feed.window.rows:
        return ()
    if waiting_for:
        return tuple(waiting_for.split("\n"))
    if feed.shown.filter:
        return (f"No {listing.sheet.one} passes this filter.", "/ changes it, Esc shows all.")
    return tuple(listing.nothing.split("\n"))


def coverage(feed: Feed[Any], table: Table[Any], listing: Listing[Any]) -> Content:
    parts = []
    if table.marks:
        marked = table.marks.count(feed.count)
        parts.append("all marked" if marked is None else f"{marked:,} marked")
    count = feed.count
    if count is None:
        parts.append(f"{len(feed.window.rows):,} loaded")
    elif feed.window.base is not None and table.current is not None:
        parts.append(f"{feed.window.base + table.cursor + 1:,} of {listing.counted(count)}")
    else:
        parts.append(listing.counted(count))
    column = listing.column(feed.shown.sort)
    name = column.title if column is not None else feed.shown.sort
    parts.append(f"sort: {name} {arrow(listing, feed.shown)}")
    return Content.assemble(("   ".join(parts), "$muted"))
