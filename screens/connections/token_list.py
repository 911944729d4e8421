"""The tokens that a query lets through: asks for pages, the count and single rows, and fills the table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from crypto_core.database.inventory import Cursor, InventoryPage, InventoryQuery, InventoryRow
from crypto_core.errors import RowVanishedError
from crypto_core.references import TokenRef
from screens.blocking import Trouble, attempt
from screens.facts import Facts
from screens.widgets.token_table import Ending, TokenTable

PAGE = 200
"""Rows asked for at a time."""
REREAD = 200
"""Up to so many rows are read again one by one; more than that, and the list is asked for anew."""


class TokenList(Vertical):
    """The table and what fills it. What it shows stays until there is something newer."""

    DEFAULT_CSS = "TokenList { height: 1fr; min-height: 4; }"

    class Changed(Message):
        """Rows came, or the count, or the list began or ceased to ask."""

    class Failed(Message):
        """A page did not come. `query` is what was asked for; what was shown before stays."""

        def __init__(self, trouble: Trouble, query: InventoryQuery) -> None:
            super().__init__()
            self.trouble = trouble
            self.query = query

    class Came(Message):
        """A worker's answer about pages. `request` tells a late answer from the one that is waited for."""

        def __init__(
            self, request: int, query: InventoryQuery, page: InventoryPage | Trouble, *, below: bool
        ) -> None:
            super().__init__()
            self.request = request
            self.query = query
            self.page = page
            self.below = below

    class Counted(Message):
        """A worker's answer about the number of rows."""

        def __init__(self, query: InventoryQuery, count: int | Trouble) -> None:
            super().__init__()
            self.query = query
            self.count = count

    class Reread(Message):
        """A worker's answer about single rows."""

        def __init__(
            self, rows: Sequence[InventoryRow], gone: Sequence[TokenRef], trouble: Trouble | None
        ) -> None:
            super().__init__()
            self.rows = rows
            self.gone = gone
            self.trouble = trouble

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self._facts = facts
        self._next: Cursor | None = None
        self._request = 0
        self.query_shown = InventoryQuery()
        self.query_asked = InventoryQuery()
        self._counts: dict[str, int] = {}
        self.at: datetime | None = None
        self.asking = False

    def compose(self) -> ComposeResult:
        """The table."""
        yield TokenTable(self._facts)

    @property
    def table(self) -> TokenTable:
        """The table."""
        return self.query_one(TokenTable)

    def ask(self, query: InventoryQuery) -> None:
        """Ask for the rows of a query; for the query that is shown, as many rows as are loaded."""
        again = query == self.query_shown
        self._ask(query, None, len(self.table.rows) if again else 0)
        if again:
            self._counts.clear()
        if query.filter not in self._counts:
            self._count(query)

    @property
    def count(self) -> int | None:
        """How many rows the filter lets through, None where that isn't known (yet)."""
        return self._counts.get(self.query_shown.filter)

    def refresh_rows(self) -> None:
        """Ask for the shown rows anew."""
        self.ask(self.query_shown)

    def reread(self, refs: Sequence[TokenRef]) -> None:
        """Show these tokens as they are now."""
        if len(refs) > REREAD:
            self.refresh_rows()
        else:
            self._reread(tuple(refs))

    def _ask(self, query: InventoryQuery, after: Cursor | None, wanted: int) -> None:
        self._request += 1
        self.query_asked = query
        self.asking = True
        self._fetch(self._request, query, after, max(wanted, 1))
        self._show_ending()
        self.post_message(self.Changed())

    @work(thread=True, exclusive=True, exit_on_error=False, group="pages")
    def _fetch(self, request: int, query: InventoryQuery, after: Cursor | None, wanted: int) -> None:
        source = self._facts.services.inventory

        def pages() -> InventoryPage:
            rows: list[InventoryRow] = []
            place = after
            while True:
                page = source.page(query, place, limit=PAGE)
                rows += page.rows
                place = page.next
                if place is None or len(rows) >= wanted or request != self._request:
                    return InventoryPage(tuple(rows), place)

        self.post_message(self.Came(request, query, attempt(pages), below=after is not None))

    @work(thread=True, exclusive=True, exit_on_error=False, group="count")
    def _count(self, query: InventoryQuery) -> None:
        source = self._facts.services.inventory
        self.post_message(self.Counted(query, attempt(lambda: source.count(query))))

    @work(thread=True, exclusive=True, exit_on_error=False, group="rows")
    def _reread(self, refs: tuple[TokenRef, ...]) -> None:
        source = self._facts.services.inventory
        rows: list[InventoryRow] = []
        gone: list[TokenRef] = []

        def read() -> None:
            for ref in refs:
                try:
                    rows.append(source.row(ref))
                except RowVanishedError:
                    gone.append(ref)

        answer = attempt(read)
        self.post_message(self.Reread(rows, gone, answer if isinstance(answer, Trouble) else None))

    @on(Came)
    def fill(self, event: Came) -> None:
        """Show the rows that came, unless something else is waited for by now."""
        if event.request != self._request:
            return
        self.asking = False
        if isinstance(event.page, Trouble):
            self.query_asked = self.query_shown
            self.post_message(self.Failed(event.page, event.query))
        else:
            self._next = event.page.next
            self.at = self._facts.clock()
            self.query_shown = event.query
            if event.below:
                self.table.append(event.page.rows, self._ending())
            else:
                self.table.fill(event.page.rows, self._ending(), event.query)
        self._show_ending()
        self.post_message(self.Changed())

    @on(Counted)
    def know_count(self, event: Counted) -> None:
        """Keep the count. Where none came, the list says how many rows are loaded."""
        if not isinstance(event.count, Trouble):
            self._counts[event.query.filter] = event.count
            self.post_message(self.Changed())

    @on(Reread)
    def show_reread(self, event: Reread) -> None:
        """Show the rows as they are now."""
        self.table.replace(event.rows, event.gone)
        if event.trouble is not None:
            self.post_message(self.Failed(event.trouble, self.query_shown))

    @on(TokenTable.NeedsMore)
    def ask_for_more(self) -> None:
        """Ask for the page below, unless something is being asked for already."""
        if self._next is not None and not self.asking:
            self._ask(self.query_shown, self._next, 1)

    def _show_ending(self) -> None:
        self.table.end_with(self._ending())

    def _ending(self) -> Ending:
        if self._next is not None:
            return Ending(more=True, text="more rows follow…" if not self.asking else "asking for more rows…")
        if self.table.rows or self.at is None:
            return Ending(
                text=""
                if self.at is not None
                else ("asking for tokens…" if self.asking else "No answer: r asks again.")
            )
        if self.query_shown.filter:
            return Ending(text="No token passes this filter. / changes it, Esc shows all.")
        return Ending(text="No tokens are stored: the configured tables are empty.")
