"""Connections: which tokens, in what state? Filter, sort, look into envelopes, write tokens anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from textual import on, work
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from crypto_core.database.tokens.inventory import SortKey
from crypto_core.database.tokens.inventory_expressions import FIELDS
from crypto_core.database.tokens.inventory_row import TOKEN, InventoryRow
from crypto_core.database.tokens.token_groups import GroupBy, TokenGroups
from crypto_core.envelope import Format
from crypto_core.findings.finding import FORMAT_SEVERITY, Severity
from crypto_core.values.counts import counted
from crypto_core.values.references import TokenRef
from screens.actions.action import Action
from screens.blocking_calls import Failure
from screens.connections.detail import TokenDetail
from screens.facts import ScreenFacts
from screens.list_screen import ListScreen
from screens.routes import Followed, TimelineRoute, TokenGroupsRoute
from screens.signs import SIGNS, row_sign
from screens.widgets.cells import percent
from screens.widgets.cursor_view import CursorView
from screens.widgets.panes import Arrangement, Panes
from screens.widgets.table.pane import TablePane
from screens.widgets.table.table_list import Listing
from screens.worker_calls import ask

if TYPE_CHECKING:
    from crypto_core.reencryption.plan import Selection

_WITHOUT_TOKEN = frozenset({"connections.group", "connections.whose"})


class ConnectionsScreen(ListScreen[InventoryRow]):
    CSS_PATH = "screen.tcss"
    NAME = "connections"
    ACTS: ClassVar[tuple[str, ...]] = ("connections",)

    def body(self) -> Iterable[Widget]:
        yield SummaryLine()
        yield Panes(
            self.facts,
            TablePane(self.facts, LISTING, first_filter=self.expression, example=EXAMPLE),
            TokenDetail(self.facts),
            arranged=self.cursor_moved,
            narrow=Arrangement.BELOW,
        )

    def __init__(self, facts: ScreenFacts, expression: str = "") -> None:
        super().__init__(facts, expression)
        self._summed: tuple[str, int] | None = None
        """The filter whose tokens are counted by format, and the context in which it is asked."""
        self._told = ""

    @property
    def detail(self) -> TokenDetail:
        return self.query_one(TokenDetail)

    def ask_anew(self) -> None:
        self.detail.forget()
        self._summed = None
        super().ask_anew()

    def show_list(self) -> None:
        self.refresh_hints(*self.pane.state)
        self._show_summary()
        self.cursor_moved()

    def _show_summary(self) -> None:
        """Say how the tokens of the filter are stored; those of no filter were counted for the status."""
        feed, status = self.pane.feed, self.facts.status
        if feed.at is None:
            return
        expression = feed.shown.filter
        if not expression and status.value is not None:
            self._tell_summary("", status.value.by_format)
        elif not expression and status.trouble is None:
            return  # they are being counted
        elif self._summed != (expression, self.facts.epoch):
            self._summed = (expression, self.facts.epoch)
            if expression != self._told:
                self.query_one(SummaryLine).tell(None)
            groups = self.facts.services.inventory.groups
            ask(
                self,
                lambda cancelled: groups(GroupBy.FORMAT, expression, cancelled=cancelled),
                partial(self._keep_summary, expression),
                group="summary",
            )

    def _keep_summary(self, expression: str, answer: TokenGroups | Failure) -> None:
        """Show the counts, unless another filter is shown by now; trouble is the list's to tell."""
        if isinstance(answer, TokenGroups) and expression == self.pane.feed.shown.filter:
            self._tell_summary(expression, answer.by_format)

    def _tell_summary(self, expression: str, by_format: Mapping[Format, int]) -> None:
        self._told = expression
        self.query_one(SummaryLine).tell(by_format)

    def cursor_moved(self) -> None:
        self.show_path(self.pane.note())
        if self.panes.arrangement is not Arrangement.ALONE:
            self.detail.follow(self.pane.table.current)

    @on(CursorView.Chosen)
    def do_ask_kms(self) -> None:
        self.detail.ask_kms()

    @on(TokenDetail.KmsAsked)
    def reread_row(self, event: TokenDetail.KmsAsked) -> None:
        self._reread((event.ref,))

    def _reread(self, refs: tuple[TokenRef, ...]) -> None:
        rows = self.facts.services.inventory.rows
        self.pane.reread(refs, lambda: rows(refs))

    def possible(self, action: Action) -> bool | None:
        possible = super().possible(action)
        if possible and action.id not in _WITHOUT_TOKEN and action.scope == "connections":
            there = self.is_mounted and self.pane.is_mounted and self.pane.table.current is not None
            return True if there else None
        return possible

    def do_group(self, by: str) -> None:
        chosen = next((one for one in GroupBy if one.value == (by or GroupBy.ORGANISATION)), None)
        if chosen is None:
            self.say(f"Group by {', '.join(GroupBy)}.", trouble=True)
            return
        self.post_message(Followed(TokenGroupsRoute(self.pane.feed.shown.filter, chosen)))

    def do_timeline(self) -> None:
        row = self.pane.table.current
        if row is not None:
            self.post_message(Followed(TimelineRoute(row.ref)))

    def selection(self) -> tuple[Selection, int, tuple[TokenRef, ...]]:
        """What an action is for: the marked tokens, or the one under the cursor; how many; and which."""
        from crypto_core.reencryption.plan import Selection

        table, feed = self.pane.table, self.pane.feed
        if table.marks.whole:
            left_out = tuple(row.ref for row in table.marks.rows)
            count = table.marks.count(feed.count) or 0
            return Selection(filter=table.marks.filter, except_for=left_out), count, ()
        rows = table.marks.rows or ((table.current,) if table.current is not None else ())
        refs = tuple(row.ref for row in rows)
        return Selection(references=refs), len(refs), refs

    def _takes_a_job(self, selection: Selection, count: int) -> bool:
        """True for all that a filter lets through, unless that is known to be few tokens."""
        from crypto_core.reencryption.jobs.model import FEW

        return selection.filter is not None and not 0 < count <= FEW

    @work(exclusive=True, group="write")
    async def do_incident(self) -> None:
        from screens.event_filters import term
        from screens.incidents.about import about_tokens
        from screens.incidents.declare import begin_incident

        selection, count, refs = self.selection()
        expression = selection.filter
        if expression is not None:
            left_out = (term("reference", str(ref), negated=True) for ref in selection.except_for)
            expression = " ".join([expression, *left_out]).strip()
        words = f"connections: {counted(count, 'token')}" if count else "connections: everything marked"
        await begin_incident(self, about_tokens(refs, expression, words))

    def do_rewrap(self) -> None:
        self._write("rewrap")

    def do_reencrypt(self) -> None:
        self._write("reencrypt")

    def do_encrypt(self) -> None:
        self._write("encrypt")

    @work(exclusive=True, group="write")
    async def _write(self, how: Literal["rewrap", "reencrypt", "encrypt"]) -> None:
        """Choose a key, look at the plan, confirm, run; then show the tokens as they are."""
        from crypto_core.reencryption.plan import Verb
        from screens.connections.run import RunDialog
        from screens.reencryption import ChooseKey, Preview

        verb = Verb(how)
        selection, count, refs = self.selection()
        if self._takes_a_job(selection, count):
            from screens.jobs.choose_tokens import Chosen
            from screens.jobs.new_job import begin_job

            if await begin_job(self, Chosen(selection, count, "everything marked"), verb):
                self.pane.do_unmark()
            return
        key = await self.app.push_screen_wait(ChooseKey(self.facts, verb, count))
        if key is None:
            return
        agreed = await self.app.push_screen_wait(Preview(self.facts, verb, selection, key.key_arn))
        if agreed is None:
            return
        plan, consent = agreed
        outcome = await self.app.push_screen_wait(RunDialog(self.facts, plan, plan.tokens, consent))
        if outcome is not None and not isinstance(outcome, Failure):
            self.pane.do_unmark()
        self.detail.forget()
        self._reread(refs)
        self.facts.ask_status()

    @work(exclusive=True, group="write")
    async def do_verify(self) -> None:
        from screens.connections.run import RunDialog

        selection, count, refs = self.selection()
        await self.app.push_screen_wait(RunDialog(self.facts, selection, count))
        self.detail.forget()
        self._reread(refs)


LISTING: Listing[InventoryRow] = Listing(
    name="connections",
    sheet=TOKEN,
    source=lambda facts: facts.services.inventory,
    fields=FIELDS,
    sort=SortKey.STATE.value,
    identity=lambda row: row.ref,
    reference=lambda row: str(row.ref),
    sign=lambda row, facts: row_sign(row, facts.key_words),
    nothing="No tokens are stored: the configured tables are empty.\n"
    "Is it the right database? c chooses another; keydeck settings shows what is set.",
    worst_first=SortKey.STATE.value,
)
EXAMPLE = "provider:slack format:plaintext,dev -org:acme"


class SummaryLine(Static):
    """The counts of all rows that the filter lets through, those that are not loaded too."""

    DEFAULT_CSS = """
    SummaryLine { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    _told: Mapping[Format, int] | None = None

    def tell(self, by_format: Mapping[Format, int] | None) -> None:
        """Show the counts; None while those of another filter are not there yet."""
        if by_format != self._told:
            self._told = by_format
            waiting = Content.assemble(("counting by format…", "$muted"))
            self.update(waiting if by_format is None else summary(by_format), layout=False)


def summary(by_format: Mapping[Format, int]) -> Content:
    tokens = sum(by_format.values())
    protected = sum(count for format_, count in by_format.items() if format_.protected)
    parts: list[str | tuple[str, str]] = [
        (percent(protected, tokens), "bold"),
        " protected ",
    ]
    for format_ in sorted(by_format, key=lambda one: (FORMAT_SEVERITY[one].rank, -by_format[one])):
        if count := by_format[format_]:
            severity = FORMAT_SEVERITY[format_]
            sign = SIGNS[severity]
            lead = f"{sign.text} " if severity is not Severity.NONE else ""
            style = sign.style if lead else "$muted"
            parts.append((f"  {lead}{count:,} {format_.value}", style))
    return Content.assemble(*parts)
