"""Small lists served as pages: the same filters, orders and cursors as for those that SQL serves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Event
from typing import Generic

from crypto_core.cancellation import stop_if
from crypto_core.lists.filter_language import Field, Value, parse_filter, passes
from crypto_core.lists.paging import Cursor, Page, Query, Row, unknown_sort

Scalar = str | int | float


class MemorySource(Generic[Row]):
    """A PagedSource over rows that are in memory. Thread-safe if what it is given is."""

    def __init__(
        self,
        rows: Callable[[], Sequence[Row]],
        *,
        fields: Mapping[str, Field],
        read: Callable[[Row, str], Value],
        identity: Callable[[Row], Scalar],
        sorts: Mapping[str, Callable[[Row], Scalar | None]],
        free: Iterable[str] = (),
    ) -> None:
        """`rows` gives the rows as they are now, `read` a row's field by name.

        `identity` tells a row from every other and breaks ties; all of one type. `sorts` are the orders by
        name; None sorts before everything. That named "" is the source's own order, by identity if there is
        none. Free text is looked for in the fields `free`.
        """
        self._rows = rows
        self._fields = fields
        self._read = read
        self._identity = identity
        self._sorts = {"": lambda _: 0, **sorts}
        self._free = tuple(free)

    def page(
        self,
        query: Query,
        start: Cursor | None = None,
        *,
        backwards: bool = False,
        inclusive: bool = False,
        limit: int = 200,
        cancelled: Event | None = None,
    ) -> Page[Row]:
        stop_if(cancelled)
        rows = self._ordered(query)
        # How many rows stand before `start`, and whether its own is there.
        at = sum(self._at(query, row, start) < 0 for row in rows) if start is not None else 0
        there = start is not None and at < len(rows) and self._at(query, rows[at], start) == 0
        if backwards:
            end = len(rows) if start is None else at + (there and inclusive)
            begin = max(0, end - limit)
        else:
            begin = at + (there and not inclusive)
            end = min(len(rows), begin + limit)
        found = tuple(rows[begin:end])
        first = self._cursor(query, found[0]) if found else None
        last = self._cursor(query, found[-1]) if found else None
        return Page(found, first, last, above=begin > 0, below=end < len(rows))

    def count(self, query: Query, *, cancelled: Event | None = None) -> int:
        stop_if(cancelled)
        return len(self._filtered(query))

    def _filtered(self, query: Query) -> list[Row]:
        terms = parse_filter(query.filter, self._fields)
        return [
            row
            for row in self._rows()
            if passes(terms, lambda name, row=row: self._read(row, name), free=self._free)  # type: ignore[misc]
        ]

    def _ordered(self, query: Query) -> list[Row]:
        if query.sort not in self._sorts:
            raise unknown_sort(query.sort, self._sorts)
        rows = sorted(self._filtered(query), key=self._identity)
        return sorted(rows, key=lambda row: self._value(query, row), reverse=query.descending)

    def _value(self, query: Query, row: Row) -> tuple[int, Scalar]:
        value = self._sorts[query.sort](row)
        return (0, 0) if value is None else (1, value)

    def _cursor(self, query: Query, row: Row) -> Cursor:
        return Cursor((*self._value(query, row), self._identity(row)))

    def _at(self, query: Query, row: Row, cursor: Cursor) -> int:
        there, value, identity = cursor.values
        mine: object = self._value(query, row)
        if mine != (there, value):
            return 1 if (mine > (there, value)) is not query.descending else -1  # type: ignore[operator]
        own = self._identity(row)
        return 0 if own == identity else 1 if own > identity else -1  # type: ignore[operator]
