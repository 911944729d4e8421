"""Lists too long to hold: rows come page by page, by keyset paging."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Generic, Protocol, TypeVar

from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KeydeckError

Row = TypeVar("Row")
Row_co = TypeVar("Row_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Query:
    """What a list shows: a filter expression (see filter_language.py) and an order.

    `sort` is one of the source's sort keys, "" for the source's own order. Ties are broken by the row's
    identity, so equal rows never jump.
    """

    filter: str = ""
    sort: str = ""
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """Opaque to callers, and good for one query alone."""

    values: tuple[str | int | float, ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[Row_co]):
    """Some rows in the query's order.

    `first` and `last` are where its first and last rows stand, None where it is empty. `above` and `below`
    say whether there are rows before and behind it.
    """

    rows: tuple[Row_co, ...] = ()
    first: Cursor | None = None
    last: Cursor | None = None
    above: bool = False
    below: bool = False


class PagedSource(Protocol[Row_co]):
    """What a table is filled from. Every call may block: make it from a worker."""

    def page(
        self,
        query: Query,
        start: Cursor | None = None,
        *,
        backwards: bool = False,
        inclusive: bool = False,
        limit: int = 200,
        cancelled: Event | None = None,
    ) -> Page[Row_co]:
        """Return up to `limit` rows behind `start` (with the row at `start`, if `inclusive`).

        With `backwards` those before it, in the query's order all the same. Without `start` the first rows,
        or with `backwards` the last ones. Raises InvalidFilterError with the position, InterruptedRunError
        once `cancelled` is set, KeydeckError for an order that there isn't, and what the source fails with.
        """

    def count(self, query: Query, *, cancelled: Event | None = None) -> int:
        """Return how many rows the filter lets through. Raises as `page`."""


def pages_of(
    source: PagedSource[Row], query: Query, *, size: int, limit: int = 0, cancelled: Event | None = None
) -> Iterator[Sequence[Row]]:
    """Yield `size` rows at a time, at most `limit` in all, 0 for all. Raises as PagedSource.page."""
    start, given = None, 0
    while not limit or given < limit:
        most = min(size, limit - given) if limit else size
        page = source.page(query, start, limit=most, cancelled=cancelled)
        yield page.rows
        given, start = given + len(page.rows), page.last
        if not page.below or start is None:
            return


def unknown_sort(name: str, known: Iterable[str]) -> KeydeckError:
    names = ", ".join(sort for sort in known if sort)
    return KeydeckError(f"There is no order {clean(name, 80)!r}.", remedy=f"Orders: {names}.")
