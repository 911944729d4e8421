"""What a table lists: where its rows come from, what they're called, and what is shown of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from crypto_core.lists.filter_language import Field
from crypto_core.lists.paging import PagedSource, Query
from screens.facts import Facts
from screens.signs import Sign
from screens.widgets.table.columns import Column

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Listing(Generic[Row]):
    """One kind of rows. The first column is the one that is always in sight; `name` is the memory's.

    `sort` is the source's order where nobody chose another. `identity` tells rows apart, `reference` is what
    is copied, `record` what is exported. `one` and `many` are the rows' words. `nothing` says what it means
    that there is no row at all, and what to do.
    """

    name: str
    columns: tuple[Column[Row], ...]
    source: Callable[[Facts], PagedSource[Row]]
    fields: Mapping[str, Field]
    sort: str
    identity: Callable[[Row], Hashable]
    reference: Callable[[Row], str]
    sign: Callable[[Row, Facts], Sign]
    record: Callable[[Row], Mapping[str, Any]]
    one: str
    many: str
    nothing: str
    descending: bool = False
    """Whether the source's own order is a descending one."""
    worst_first: str = ""
    """The sort key whose smallest values are the worst: its arrow points down."""

    def first_query(self, expression: str = "") -> Query:
        """Return the query in the default order."""
        return Query(expression, self.sort, self.descending)

    def column(self, name: str) -> Column[Row] | None:
        """Return the column of a name, or of a sort key, None if there is none."""
        return next((c for c in self.columns if name in (c.name, c.sort)), None)

    def counted(self, count: int) -> str:
        """Return "1 token", "12,000 tokens"."""
        return f"{count:,} {self.one if count == 1 else self.many}"
