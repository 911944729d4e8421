"""Which columns a table shows, in which order, and which of them has the cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from screens.facts import Facts
from screens.widgets.table.columns import GAP, Column, Placed, place, wanted
from screens.widgets.table.listing import Listing

Row = TypeVar("Row")

WIDE = 137
"""The width from which optional columns are shown."""


class ShownColumns(Generic[Row]):
    """The first column of the listing always comes first."""

    def __init__(self, listing: Listing[Row], facts: Facts) -> None:
        self._listing = listing
        self._facts = facts
        self._wanted: dict[str, int] = {}
        self._own_choice = False
        self.chosen: tuple[Column[Row], ...] = tuple(c for c in listing.columns if c.shown)
        self.placed: tuple[Placed[Row], ...] = ()
        self.current = self.chosen[0]

    @property
    def taken(self) -> int:
        return sum(placed.width + GAP for placed in self.placed)

    def choose(self, names: Iterable[str]) -> None:
        """Show these columns, or those of the listing if there are none."""
        first, *others = self._listing.columns
        by_name = {c.name: c for c in others}
        names = list(dict.fromkeys(names))
        self._own_choice = bool(names)
        shown = names or [c.name for c in others if c.shown]
        self.chosen = (first, *(by_name[name] for name in shown if name in by_name))
        if self.current not in self.chosen:
            self.current = first

    def move(self, by: int) -> None:
        """Put the cursor so many columns further, as far as there are any."""
        at = self.chosen.index(self.current) + by
        self.current = self.chosen[min(max(at, 0), len(self.chosen) - 1)]

    def focus(self, column: Column[Row]) -> None:
        if column in self.chosen:
            self.current = column

    def want(self, rows: Iterable[Row], width: int, *, anew: bool = False) -> None:
        """Look how much room these rows want; that of others is kept, unless all are `anew`."""
        columns = (*self.chosen, *self._spare(width))
        self._wanted = wanted(rows, columns, self._facts, {} if anew else self._wanted)

    def place(self, width: int) -> None:
        name = self.current.name
        self.placed = place(width, self.chosen, self._wanted, name, self._spare(width))

    def at(self, x: int) -> Column[Row] | None:
        """Return the column in a cell, counted from the first column's first."""
        left = 0
        for placed in self.placed:
            if left <= x < left + placed.width + GAP:
                return placed.column
            left += placed.width + GAP
        return None

    def _spare(self, width: int) -> Sequence[Column[Row]]:
        """Columns that a very wide terminal shows besides, unless the operator chose some."""
        if self._own_choice or width < WIDE:
            return ()
        return [c for c in self._listing.columns if c not in self.chosen]
