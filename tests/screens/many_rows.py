"""Thousands of rows, and what a table holds of them, for tests of the virtual table."""

from __future__ import annotations

from dataclasses import replace

from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.values.references import TokenRef
from tests.screens.deck import Deck
from tests.screens.samples import make_rows

ORGS = ("acme", "globex", "initech", "umbrella", "hooli")


def row(number: int, *, org: str = "") -> InventoryRow:
    """Return the row of a number: ordered by reference, rows are in the order of their numbers."""
    ref = TokenRef("gh_connection", "access_token", f"{number:05}")
    return replace(make_rows()[1], ref=ref, organisation=org or ORGS[number % 5])


def many(count: int) -> list[InventoryRow]:
    """Return rows of one state, so that the console lists them in the order of their numbers."""
    first = row(0)
    return [
        replace(first, ref=TokenRef("gh_connection", "access_token", f"{n:05}"), organisation=ORGS[n % 5])
        for n in range(count)
    ]


def numbers(d: Deck) -> list[int]:
    return [number(held) for held in d.pane.feed.window.rows]


def number(row_: InventoryRow) -> int:
    return int(row_.ref.row_id)


def here(d: Deck) -> int:
    current = d.table.current
    assert current is not None
    return number(current)


def height(d: Deck) -> int:
    return next(i for i, line in enumerate(d.lines()) if line.lstrip().startswith("›"))
