"""The tokens that a filter lets through: few are listed when a plan is made, many only counted.

What is listed in a plan is what is done. Many are looked up when the job begins, and again at its end, as
those of other jobs are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from threading import Event

from crypto_core.database.tokens.inventory import Inventory
from crypto_core.database.tokens.tables import Picked, TokenColumn
from crypto_core.envelope import Format
from crypto_core.reencryption.plan import Selection
from crypto_core.values.errors import RefusedError
from crypto_core.values.references import TokenRef

MOST = 100_000
"""Tokens that are listed one by one; a job's are as many as they are."""

Tally = dict[str, dict[Format, int]]
"""How many tokens there are, by column name and format."""


def filtered(inventory: Inventory, selection: Selection, *, more: str) -> Iterator[list[TokenRef]]:
    """Give, page by page, the references that the selection's filter lets through, less the excepted ones.

    Raises RefusedError where they are too many, with `more` as what takes more; InvalidFilterError,
    DatabaseError.
    """
    number = inventory.tokens(selection.filter or "")
    if number > MOST + len(selection.except_for):
        raise RefusedError(
            f"The filter lets {number:,} tokens through; at most {MOST:,} are listed one by one.",
            remedy=f"Narrow the filter, or use what takes more: {more}.",
        )
    yield from ManyFiltered(inventory, selection).pages()


@dataclass(frozen=True, slots=True)
class ManyFiltered:
    """The tokens of a selection by filter, however many. Blocks on SQL; raises as Inventory."""

    inventory: Inventory
    selection: Selection

    def pages(self) -> Iterator[list[TokenRef]]:
        excepted = frozenset(self.selection.except_for)
        for page in self.inventory.references(self.selection.filter or ""):
            left = [ref for ref in page if ref not in excepted]
            if left:
                yield left

    def picked(self, formats: frozenset[Format]) -> Iterator[Picked]:
        """Give those in some formats as SQL, column by column."""
        for one in self.inventory.picked(self.selection.filter or "", formats):
            own = (
                ref for ref in self.selection.except_for if one.column == TokenColumn(ref.table, ref.column)
            )
            yield replace(one, but=tuple(ref.identity for ref in own))

    def tally(self, *, cancelled: Event | None = None) -> Tally:
        """Return how many there are, of every format; no entry is zero."""
        tally = self.inventory.tally(self.selection.filter or "", cancelled=cancelled)
        excepted = frozenset(self.selection.except_for)
        if not excepted:
            return tally
        passing = [
            ref
            for page in self.inventory.references(self.selection.filter or "", cancelled=cancelled)
            for ref in page
            if ref in excepted
        ]
        without = Counter((f"{r.ref.table}.{r.ref.column}", r.format) for r in self.inventory.rows(passing))
        counted = {
            column: {f: number - without[column, f] for f, number in by_format.items()}
            for column, by_format in tally.items()
        }
        return {
            column: kept
            for column, by_format in counted.items()
            if (kept := {f: number for f, number in by_format.items() if number > 0})
        }


def of_formats(tally: Tally, formats: frozenset[Format]) -> Tally:
    some = {c: {f: n for f, n in by_format.items() if f in formats} for c, by_format in tally.items()}
    return {column: by_format for column, by_format in some.items() if by_format}
