"""Fills a table's window: asks for pages in either direction, refreshes, counts, and can be told to stop."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any, Generic, TypeVar

from textual.dom import DOMNode

from crypto_core.lists.paging import Cursor, Page, Query
from crypto_core.values.cancellation import Cancellation
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.widgets.table.table_list import Listing
from screens.widgets.table.window import RowWindow
from screens.worker_calls import PendingCall, ask

Row = TypeVar("Row")

PAGE = 200
REREAD = 200
"""Up to so many rows are read again one by one; more than that, and the list is asked for anew."""

CANCELLED = Failure("Cancelled: showing what was loaded before.", "r asks again.")


class PageKind(Enum):
    FRESH = "fresh"
    """The first rows of another query, or of this one again from the top."""
    AGAIN = "again"
    """The rows that are held, as they are now."""
    ABOVE = "above"
    BELOW = "below"
    END = "end"
    """The last rows."""
    SOME = "some"
    """Some of the rows that are held, as they are now."""


@dataclass(frozen=True, slots=True)
class RowsCame:
    """Rows came and are in the window. `moved` is how far the rows held before have moved down, or up."""

    kind: PageKind
    rows: Sequence[Any]
    moved: int = 0
    gone: Sequence[Hashable] = ()
    """The identities of rows that were asked for and aren't there any more."""


class Feed(Generic[Row]):
    """One question about pages at a time, and one about their number. Called from the app's thread."""

    def __init__(
        self,
        node: DOMNode,
        facts: ScreenFacts,
        listing: Listing[Row],
        *,
        came: Callable[[RowsCame], None],
        failed: Callable[[Failure, Query], None],
        changed: Callable[[], None],
    ) -> None:
        """`came` is called when the window has other rows, `failed` when pages did not come, `changed` when
        asking begins or ends, and when the count is known.
        """
        self.window: RowWindow[Row] = RowWindow(listing.identity)
        self.shown = listing.first_query()
        self.asked = self.shown
        """The query that is asked for; the same as `shown` once its rows are there."""
        self.at: datetime | None = None
        """When the rows came; None before the first did."""
        self.trouble: Failure | None = None
        """Why the last pages that were asked for did not come."""
        self._node = node
        self._facts = facts
        self._listing = listing
        self._came, self._failed, self._changed = came, failed, changed
        self._pages: PendingCall[list[Page[Row]]] | None = None
        self._kind = PageKind.FRESH
        self._counting: PendingCall[int] | None = None
        self._counts: dict[str, int] = {}
        self._recount = False

    @property
    def asking(self) -> bool:
        return self._pages is not None and self._pages.waiting

    @property
    def busy_for_operator(self) -> bool:
        """True while something is asked for that the operator waits for, not just more of the same."""
        return self.asking and self._kind in (PageKind.FRESH, PageKind.END)

    @property
    def count(self) -> int | None:
        """How many rows the filter lets through, None where that isn't known (yet)."""
        if not self.window.above and not self.window.below and self.at is not None:
            return len(self.window.rows)
        return self._counts.get(self.shown.filter)

    def begin(self, query: Query) -> None:
        """Ask for the first rows of a query, and for their number once they are there."""
        self._ask(PageKind.FRESH, query, lambda cancelled: [self._page(query, cancelled)])

    def again(self) -> None:
        """Ask for the rows that are held as they are now, and then for their number."""
        if self.busy_for_operator and self._kind is PageKind.END:
            return
        if self.at is None or self.busy_for_operator:
            self.begin(self.asked)
            return
        query, start = self.shown, self.window.first if self.window.above else None
        self._ask(PageKind.AGAIN, query, partial(self._range, query, start, len(self.window.rows)))
        self._recount = True

    def more(self, *, above: bool) -> None:
        """Ask for the page above or below those that are held, if there is one and nothing is asked for."""
        window = self.window
        if self.asking or not (window.above if above else window.below):
            return
        query, start = self.shown, window.first if above else window.last
        kind = PageKind.ABOVE if above else PageKind.BELOW
        self._ask(kind, query, lambda cancelled: [self._page(query, cancelled, start, backwards=above)])

    def reread(self, refs: Sequence[Hashable], read: Callable[[], Sequence[Row]]) -> None:
        """Ask for these rows as they are now, `read` returning those that are still there."""
        if len(refs) > REREAD or not refs:
            self.again()
            return
        ask(self._node, lambda _: read(), lambda answer: self._take_some(refs, answer), group="rows")

    def end(self) -> None:
        query = self.shown
        self._ask(PageKind.END, query, lambda cancelled: [self._page(query, cancelled, backwards=True)])

    def cancel(self) -> bool:
        """Stop asking; what is shown stays. Returns whether anything was asked for."""
        if self._pages is None or not self._pages.waiting:
            return False
        if self._counting is not None:
            self._counting.drop()
        self._pages.cancel(CANCELLED)
        return True

    def forget(self) -> None:
        """Drop everything: the rows are about another place now."""
        for asked in (self._pages, self._counting):
            if asked is not None:
                asked.drop()
        self._counts.clear()
        self.at = self.trouble = None
        self.window.show([], 0)

    def _page(
        self, query: Query, cancelled: Cancellation, start: Cursor | None = None, *, backwards: bool = False
    ) -> Page[Row]:
        source = self._listing.source(self._facts)
        return source.page(query, start, backwards=backwards, limit=PAGE, cancelled=cancelled)

    def _range(
        self, query: Query, start: Cursor | None, rows: int, cancelled: Cancellation
    ) -> list[Page[Row]]:
        """The pages from `start` on, until they have as many rows."""
        source = self._listing.source(self._facts)
        pages: list[Page[Row]] = []
        while True:
            page = source.page(query, start, inclusive=not pages, limit=PAGE, cancelled=cancelled)
            pages.append(page)
            rows -= len(page.rows)
            start = page.last
            if rows <= 0 or not page.below or start is None:
                return pages

    def _ask(self, kind: PageKind, query: Query, call: Callable[[Cancellation], list[Page[Row]]]) -> None:
        if self._pages is not None:
            self._pages.drop()
        self.asked, self._kind = query, kind
        self._pages = ask(self._node, call, lambda answer: self._take(kind, query, answer), group="pages")
        self._changed()

    def _count(self, query: Query) -> None:
        """Ask for the number of rows, after the rows: a source that counted on the way need not do it again.

        Where all are held, that is their number. The one that was known is shown until the new one is there.
        """
        before = self._counts.get(query.filter)
        if before is not None and not self._recount:
            return
        self._recount = False
        if self._counting is not None:
            self._counting.drop()
        if not self.window.above and not self.window.below:
            self._counts.pop(query.filter, None)
            return
        source = self._listing.source(self._facts)
        self._counting = ask(
            self._node,
            lambda cancelled: source.count(query, cancelled=cancelled),
            lambda answer: self._know_count(query, answer, before),
            group="count",
        )

    def _take(self, kind: PageKind, query: Query, answer: list[Page[Row]] | Failure) -> None:
        if isinstance(answer, Failure):
            # Before the first rows, what was asked for is still what the operator wants to see.
            self.asked = self.shown if self.at is not None else query
            self.trouble = answer
            self._failed(answer, query)
            self._changed()
            return
        self.trouble = None
        self.at = self._facts.clock()
        self.shown = query
        moved = 0
        match kind:
            case PageKind.BELOW:
                moved = -self.window.append(answer[0])
            case PageKind.ABOVE:
                moved = self.window.prepend(answer[0])
            case PageKind.AGAIN:
                self.window.show(answer, self.window.base)
            case PageKind.FRESH:
                self.window.show(answer, 0)
            case PageKind.END:
                self.window.show(answer, None)
                self._rebase()
            case PageKind.SOME:
                pass
        if kind in (PageKind.FRESH, PageKind.AGAIN):
            self._count(query)
        self._came(RowsCame(kind, [row for page in answer for row in page.rows], moved))
        self._changed()

    def _take_some(self, refs: Sequence[Hashable], answer: Sequence[Row] | Failure) -> None:
        if isinstance(answer, Failure):
            self._failed(answer, self.shown)
            return
        here = {self._listing.identity(row) for row in answer}
        gone = [ref for ref in refs if ref not in here]
        for row in answer:
            self.window.replace(row)
        for ref in gone:
            self.window.remove(ref)
        self._came(RowsCame(PageKind.SOME, answer, gone=gone))
        self._changed()

    def _know_count(self, query: Query, answer: int | Failure, before: int | None) -> None:
        """Keep the count. Where none came, the table says how many rows are loaded.

        Where it was another one `before`, nobody knows how many of the rows came or went above those held.
        """
        if not isinstance(answer, Failure):
            self._counts[query.filter] = answer
            if before not in (None, answer) and self.window.above:
                self.window.base = None
            self._rebase()
            self._changed()

    def _rebase(self) -> None:
        """Where the end is held and the number of all is known, so is what stands above."""
        total = self._counts.get(self.shown.filter)
        if total is not None and self.window.base is None and not self.window.below:
            self.window.base = max(total - len(self.window.rows), 0)
