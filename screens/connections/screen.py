"""Connections: which tokens, in what state? Filter, sort, look into envelopes, write tokens anew."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget

from crypto_core.database.inventory import InventoryQuery, SortKey
from crypto_core.foreign import clean
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.references import TokenRef
from screens.blocking import Trouble
from screens.connections.choose_key import ChooseKey
from screens.connections.detail import TokenDetail
from screens.connections.filter_bar import FilterBar
from screens.connections.preview import Preview
from screens.connections.run import Run
from screens.connections.token_list import TokenList
from screens.facts import Facts
from screens.main_screen import MainScreen
from screens.widgets.cursor_view import CursorView
from screens.widgets.notice import Notice
from screens.widgets.token_table import TokenTable, sort_arrow

_WRITES = {"rewrap", "reencrypt", "encrypt"}


class ConnectionsScreen(MainScreen):
    """The table of tokens with the envelope under the cursor below it."""

    CSS_PATH = "screen.tcss"
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012 - declared so by Screen
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "verify", "verify", tooltip="Open the tokens; say only whether they opened"),
        Binding(
            "w",
            "write('rewrap')",
            "rewrap",
            tooltip="Same data keys under another KMS key; no recovery",
        ),
        Binding(
            "e", "write('reencrypt')", "re-encrypt", tooltip="New data keys and ciphertexts under a KMS key"
        ),
        Binding(
            "x",
            "write('encrypt')",
            "encrypt in place",
            tooltip="Seal tokens that are stored in plaintext or dev format",
        ),
        Binding(
            "i",
            "ask_kms",
            "ask KMS",
            show=False,
            tooltip="Ask KMS which key wrapped this data key",
        ),
        Binding(
            "slash",
            "filter",
            "filter",
            key_display="/",
            tooltip="Show only the tokens that pass an expression",
        ),
        Binding("s", "sort", "sort", tooltip="Sort by the next column"),
        Binding("S", "reverse", "reverse", show=False, tooltip="Reverse the order"),
        Binding("c", "copy", "copy", show=False, tooltip="Send the token reference to the clipboard"),
        Binding("r", "refresh", "refresh", show=False, tooltip="Ask for the rows anew"),
        Binding("escape", "back", "back", tooltip="Back to where you came from, or to all tokens"),
    ]

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._origin: str | None = None
        self._first_query = InventoryQuery()

    def body(self) -> Iterable[Widget]:
        """The filter, trouble, the tokens, the envelope under the cursor."""
        yield FilterBar()
        yield Notice()
        yield TokenList(self.facts)
        yield TokenDetail(self.facts)

    def on_mount(self) -> None:
        """Ask for the first page."""
        self.tokens.ask(self._first_query)

    @property
    def tokens(self) -> TokenList:
        """The list of tokens."""
        return self.query_one(TokenList)

    @property
    def detail(self) -> TokenDetail:
        """The envelope under the cursor."""
        return self.query_one(TokenDetail)

    def show_filter(self, expression: str, origin: str) -> None:
        """Show what an expression lets through; Esc goes back to the mode `origin`."""
        self._origin = origin
        if self.is_mounted:
            self.tokens.ask(replace(self.tokens.query_shown, filter=expression))
        else:
            self._first_query = InventoryQuery(filter=expression)

    @on(TokenList.Changed)
    @on(TokenTable.MarksChanged)
    def show_facts(self) -> None:
        """Paint what is known now: the path, the counts, the order, the envelope."""
        tokens = self.tokens
        query = tokens.query_shown
        crumbs = [("Connections", "bold"), (" › ", "$muted")]
        if query.filter:
            crumbs.append((clean(query.filter, 200), "$accent"))
        self.header.say(Content.assemble(*crumbs), Content.assemble((self._note(), "$muted")))
        self.header.fresh(tokens.at, asking=tokens.asking)
        self.refresh_bindings()
        tokens.table.facts_changed()
        self.show_detail()

    def _note(self) -> str:
        tokens = self.tokens
        query = tokens.query_shown
        status = self.facts.status.value
        if tokens.count is None:
            shown = f"{len(tokens.table.rows):,} loaded"
        elif query.filter and status is not None:
            shown = f"{tokens.count:,} of {status.tokens:,}"
        else:
            shown = f"{tokens.count:,} tokens"
        marks = f"{len(tokens.table.marks):,} marked   " if tokens.table.marks else ""
        return f"{marks}{shown}   sort: {query.sort.value} {sort_arrow(query)}"

    @on(TokenList.Failed)
    def show_failure(self, event: TokenList.Failed) -> None:
        """Show why rows did not come: a fault in the filter under its character, all else above the table."""
        if event.trouble.position is not None:
            bar = self.query_one(FilterBar)
            if not bar.is_open:
                bar.open(event.query.filter)
            bar.fault(event.trouble)
        else:
            self.query_one(Notice).tell(event.trouble)

    @on(CursorView.Moved)
    def show_detail(self) -> None:
        """Show the envelope under the cursor."""
        self.detail.follow(self.tokens.table.current)

    @on(CursorView.Chosen)
    def action_ask_kms(self) -> None:
        """Ask KMS which key wrapped the data key of the token under the cursor."""
        self.detail.ask_kms()

    @on(TokenDetail.KmsAsked)
    def reread_row(self, event: TokenDetail.KmsAsked) -> None:
        """Show what the row says now that KMS was asked."""
        self.tokens.reread([event.ref])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what has nothing to act on, and writing while read-only."""
        if action in ("write", "verify", "ask_kms", "copy"):
            place = self.facts.surroundings.value
            read_only = self.facts.services.read_only or (place is not None and place.read_only)
            if not self.is_mounted or self.tokens.table.current is None or (action == "write" and read_only):
                return None
        if action == "filter":
            return not (self.is_mounted and self.query_one(FilterBar).is_open)
        if action == "back":
            return self._origin is not None or (self.is_mounted and bool(self.tokens.query_asked.filter))
        return True

    def _chosen(self) -> tuple[TokenRef, ...]:
        table = self.tokens.table
        return table.marks or ((table.current.ref,) if table.current is not None else ())

    @work(exclusive=True, group="write")
    async def action_write(self, verb_value: str) -> None:
        """Choose a key, look at the plan, confirm, run; then show the tokens as they are."""
        verb = Verb(verb_value)
        refs = self._chosen()
        selection = Selection(references=refs)
        key = await self.app.push_screen_wait(ChooseKey(self.facts, verb, len(refs)))
        if key is None:
            return
        plan = await self.app.push_screen_wait(Preview(self.facts, verb, selection, key.key_arn))
        if plan is None:
            return
        outcome = await self.app.push_screen_wait(Run(self.facts, plan, plan.tokens))
        if outcome is not None and not isinstance(outcome, Trouble):
            self.tokens.table.clear_marks()
        self.detail.forget()
        self.tokens.reread(refs)
        self.facts.ask_status()

    @work(exclusive=True, group="write")
    async def action_verify(self) -> None:
        """Open the chosen tokens and say whether they opened."""
        refs = self._chosen()
        await self.app.push_screen_wait(Run(self.facts, Selection(references=refs), len(refs)))
        self.detail.forget()
        self.tokens.reread(refs)

    def action_filter(self) -> None:
        """Edit the filter."""
        self.query_one(FilterBar).open(self.tokens.query_asked.filter)

    @on(FilterBar.Submitted)
    def apply_filter(self, event: FilterBar.Submitted) -> None:
        """Ask for what the expression lets through; the bar closes when the rows come."""
        self._origin = None
        self.tokens.ask(replace(self.tokens.query_shown, filter=event.expression))

    @on(TokenList.Came)
    def close_filter(self, event: TokenList.Came) -> None:
        """Rows came: there is no trouble, and the filter needs no more editing."""
        if not isinstance(event.page, Trouble):
            self.query_one(Notice).tell(None)
            self._close_filter_bar()

    @on(FilterBar.Closed)
    def _close_filter_bar(self) -> None:
        bar = self.query_one(FilterBar)
        if bar.is_open:
            bar.close()
            self.tokens.table.focus()

    def action_sort(self) -> None:
        """Sort by the next column."""
        query = self.tokens.query_asked
        keys = list(SortKey)
        following = keys[(keys.index(query.sort) + 1) % len(keys)]
        self.tokens.ask(replace(query, sort=following, descending=False))

    def action_reverse(self) -> None:
        """Reverse the order."""
        query = self.tokens.query_asked
        self.tokens.ask(replace(query, descending=not query.descending))

    def action_copy(self) -> None:
        """Send the token reference to the clipboard."""
        row = self.tokens.table.current
        if row is not None:
            self.app.copy_to_clipboard(str(row.ref))
            self.notify(f"Sent to the clipboard: {row.ref}", markup=False)

    def action_refresh(self) -> None:
        """Ask for the rows anew; the cursor and the marks stay on their tokens."""
        self.query_one(Notice).tell(None)
        self.detail.forget()
        self.tokens.refresh_rows()

    def action_back(self) -> None:
        """Back to where the operator came from, or to all tokens."""
        if self._origin is not None:
            origin, self._origin = self._origin, None
            self.app.switch_mode(origin)
        elif self.tokens.query_asked.filter:
            self.tokens.ask(replace(self.tokens.query_asked, filter=""))
