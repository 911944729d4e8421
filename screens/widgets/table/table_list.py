"""What a table lists: where its rows come from, what they're called, and what is shown of them.

Rows that are in memory whole are filtered and sorted by the fields of their sheet.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import methodcaller
from typing import Any, Generic, TypeVar

from crypto_core.lists.filter_language import Field
from crypto_core.lists.paging import PagedSource, Query
from crypto_core.lists.sheet import MemorySource, Scalar, Sheet, SheetField
from crypto_core.values.clean_text import shortened
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.own_column import OwnColumn
from screens.signs import Sign
from screens.widgets.table.columns import Column

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Listing(Generic[Row]):
    """One kind of rows. The first column is the one that is always in sight; `name` is the memory's.

    `sort` is the source's order where nobody chose another. `identity` tells rows apart, `reference` is what
    is copied, `record` what is exported. `nothing` says what it means that there is no row at all, and what
    to do.
    """

    name: str
    sheet: Sheet[Row, ScreenFacts]
    source: Callable[[ScreenFacts], PagedSource[Row]]
    fields: Mapping[str, Field]
    sort: str
    identity: Callable[[Row], Hashable]
    reference: Callable[[Row], str]
    sign: Callable[[Row, ScreenFacts], Sign]
    nothing: str
    record: Callable[[Row], Mapping[str, Any]] = methodcaller("as_json")
    descending: bool = False
    """Whether the source's own order is a descending one."""
    worst_first: str = ""
    """The sort key whose smallest values are the worst: its arrow points down."""
    columns: tuple[Column[Row], ...] = ()
    """By default those of the sheet."""

    def __post_init__(self) -> None:
        if not self.columns:
            object.__setattr__(self, "columns", self.sheet.listed)

    @property
    def many(self) -> str:
        return self.sheet.many

    def with_own(self, columns: Iterable[OwnColumn]) -> Listing[Row]:
        """Return it with those columns of the team's own that are for this list, behind all others."""
        own = tuple(_own(one, self.record) for one in columns if self.name in one.lists)
        return replace(self, columns=(*self.columns, *own)) if own else self

    def first_query(self, expression: str = "") -> Query:
        return Query(expression, self.sort, self.descending)

    def column(self, name: str) -> Column[Row] | None:
        """Return the column of a name, or of a sort key, None if there is none."""
        return next((c for c in self.columns if name in (c.name, c.sort)), None)

    def counted(self, count: int) -> str:
        """Return "1 token", "12,000 tokens"."""
        return f"{count:,} {self.sheet.one if count == 1 else self.many}"


def _own(own: OwnColumn, record: Callable[[Row], Mapping[str, Any]]) -> Column[Row]:
    return SheetField(own.name, lambda row, _: (own.text(record(row)), ""), (8, 24, 8), own.heading)


def order_after(listing: Listing[Any], query: Query, column: Column[Any]) -> Query | Failure:
    """Return the query by a column; the other way round the second time; as at first the third time."""
    if not column.sort:
        return Failure(f"{column.title.capitalize()} can't be sorted by.")
    if query.sort != column.sort:
        return replace(query, sort=column.sort, descending=False)
    if not query.descending:
        return replace(query, descending=True)
    return listing.first_query(query.filter)


def order_named(listing: Listing[Any], query: Query, words: str) -> Query | Failure:
    """Return the query by a column named in words: `org`, `org desc`."""
    name, _, direction = words.strip().partition(" ")
    column = listing.column(name)
    sort = column.sort if column is not None else name if name == listing.sort else ""
    if not sort or direction.strip() not in ("", "asc", "desc"):
        names = ", ".join(c.name for c in listing.columns if c.sort)
        return Failure(f"Can't sort by {shortened(words, 60)}.", f"Columns: {names}; desc may follow.")
    return replace(query, sort=sort, descending=direction.strip() == "desc")


def arrow(listing: Listing[Any], query: Query) -> str:
    """Down where the greatest comes first: by state the worst, unless reversed."""
    return "↓" if query.descending != (query.sort == listing.worst_first) else "↑"


def memory_listing(
    name: str,
    sheet: Sheet[Row, ScreenFacts],
    rows: Callable[[ScreenFacts], Sequence[Row]],
    *,
    identity: Callable[[Row], Scalar],
    **others: Any,
) -> Listing[Row]:
    """Return the listing of the rows as they are whenever they are asked for. `others` are Listing's."""
    found = {field.name: field for field in sheet.declared if field.find or field.free}
    free = [name for name, field in found.items() if field.free]

    def source(facts: ScreenFacts) -> PagedSource[Row]:
        return MemorySource(
            lambda: rows(facts),
            fields=fields,
            read=lambda row, name: found[name].found(row, facts),
            identity=identity,
            free=free,
            sorts={
                field.name: lambda row, field=field: field.sorted_by(row, facts)  # type: ignore[misc]
                for field in sheet.declared
                if field.order
            },
        )

    fields = {name: Field(name, field.kind, field.values) for name, field in found.items()}
    fields |= {field.also: fields[name] for name, field in found.items() if field.also}
    return Listing(name, sheet, source, fields, identity=identity, **others)
