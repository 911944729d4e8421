"""The tokens that a filter lets through, listed when a plan is made: what is shown is what is done."""

from __future__ import annotations

from collections.abc import Iterator

from crypto_core.database.inventory import Inventory
from crypto_core.errors import RefusedError
from crypto_core.paging import Query
from crypto_core.reencryption.plan import Selection
from crypto_core.references import TokenRef

MOST = 100_000
"""Tokens that are listed one by one; a key's tokens, or all, are as many as they are."""


def filtered(inventory: Inventory, selection: Selection, *, more: str) -> Iterator[list[TokenRef]]:
    """Give, page by page, the references that the selection's filter lets through, less the excepted ones.

    Raises RefusedError where they are too many, with `more` as what takes more; InvalidFilterError,
    DatabaseError.
    """
    query = Query(selection.filter or "")
    number = inventory.count(query)
    if number > MOST + len(selection.except_for):
        raise RefusedError(
            f"The filter lets {number:,} tokens through; at most {MOST:,} are listed one by one.",
            remedy=f"Narrow the filter, or use what takes more: {more}.",
        )
    excepted = frozenset(selection.except_for)
    for page in inventory.references(query.filter):
        left = [ref for ref in page if ref not in excepted]
        if left:
            yield left
