"""A table with all that belongs to it: its filter, its troubles, its order, its marks, its columns."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Generic, TypeVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.widgets import Button

from crypto_core.lists.paging import Query
from crypto_core.values.clean_text import clean, shortened
from crypto_core.values.errors import RefusedError
from screens.actions.action import Action
from screens.actions.performer import Actor, Host
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.memory import SortOrder
from screens.routes import Followed
from screens.services import UserCommands
from screens.user_command import CommandOutcome, UserCommand
from screens.widgets.cells import fit
from screens.widgets.choice_dialog import ChoiceDialog
from screens.widgets.clipboard import cell_as_text, rows_as_text, send_to_clipboard
from screens.widgets.dialog import Dialog, Told, buttons, framed
from screens.widgets.filter_bar import FilterBar, SavedFilters
from screens.widgets.line_list import Line, LineList, line
from screens.widgets.notice import NoticeBar
from screens.widgets.question import Question
from screens.widgets.table.columns import cell_of
from screens.widgets.table.export_dialog import ExportDialog
from screens.widgets.table.feed import Feed, PageKind, RowsCame
from screens.widgets.table.table import Table
from screens.widgets.table.table_list import Listing, arrow, order_after, order_named
from screens.worker_calls import ask


class ColumnChooser(Dialog[tuple[str, ...] | None]):
    """Returns the choice, None if it stays as it is. The first column is always shown."""

    DEFAULT_CSS = """
    ColumnChooser LineList { height: auto; max-height: 14; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "show_or_hide", "show or hide"),
        Binding("shift+up,K", "move(-1)", "move up"),
        Binding("shift+down,J", "move(1)", "move down"),
    ]

    def __init__(self, listing: Listing[Any], chosen: Sequence[str]) -> None:
        super().__init__()
        self._listing = listing
        self._shown = set(chosen)
        self._order = [*chosen, *(c.name for c in listing.columns if c.name not in chosen)]

    def compose(self) -> ComposeResult:
        with framed("Columns", "space shows or hides, K J move"):
            yield LineList()
            yield buttons(("Cancel", "cancel"), ("As at first", "reset"), ("Apply", "apply"))

    def on_mount(self) -> None:
        columns = self.query_one(LineList)
        columns.styles.height = min(len(self._order), 14)
        columns.write(self._lines)
        columns.focus()

    def _lines(self, size: Size) -> Sequence[Line]:
        lines = []
        for name in self._order:
            column = self._listing.column(name)
            if column is None:
                continue
            sign = "✔" if name in self._shown else "·"
            lines.append(line(" ", (f"{sign} ", "$accent"), (column.title, "bold"), target=name))
        return lines

    @property
    def _under_cursor(self) -> str:
        line = self.query_one(LineList).current
        return str(line.target) if line is not None else self._order[0]

    @on(Followed)
    def action_show_or_hide(self) -> None:
        name = self._under_cursor
        if name != self._listing.columns[0].name:
            self._shown ^= {name}
            self._paint()

    def action_move(self, by: int) -> None:
        lines = self.query_one(LineList)
        at = self._order.index(self._under_cursor)
        to = at + by
        if at > 0 and 0 < to < len(self._order):
            self._order.insert(to, self._order.pop(at))
            self._paint()
            lines.move_to(to)

    def _paint(self) -> None:
        self.query_one(LineList).write(self._lines)

    @on(Button.Pressed, "#apply")
    def apply(self) -> None:
        self.dismiss(tuple(n for n in self._order if n in self._shown))

    @on(Button.Pressed, "#reset")
    def reset(self) -> None:
        self.dismiss(())


NONE = "No command of your own is set for this list: user_commands in the settings file has them."


class ChooseCommand(ChoiceDialog[UserCommand]):
    """Returns the command, None if the operator went back."""

    def __init__(self, commands: Sequence[UserCommand]) -> None:
        super().__init__("Your commands", "For the row under the cursor.")
        self._commands = commands

    def on_mount(self) -> None:
        self.offer(self._commands, _line)


def _line(command: UserCommand, width: int) -> Line:
    key = fit(command.key, 8)
    return line(" ", (key, "bold $accent"), fit(command.title, max(width - 10, 8)).rstrip(), target=command)


def ask_to_run(command: UserCommand, arguments: Sequence[str]) -> Question:
    about = clean(shlex.join(arguments), 16_000)
    warning = "It may change something. Keydeck can't tell, nor undo it."
    return Question(shortened(command.title, 78), (warning, "", about), "Run")


def command_said(command: UserCommand, outcome: CommandOutcome) -> Told:
    """Return what a command said, and how it ended."""
    end = outcome.trouble or f"Exit code {outcome.exit_code}."
    return Told(shortened(command.title, 78), Content("\n".join(outcome.lines) or "It said nothing."), end)


Row = TypeVar("Row")


class TablePane(Actor, Vertical, Generic[Row]):
    """What a screen needs to list rows. It shows what it has until there is something newer."""

    DEFAULT_CSS = "TablePane { height: 1fr; min-height: 4; }"
    ACTS: ClassVar[tuple[str, ...]] = ("table",)

    class Changed(Message):
        """Rows came, or the count, or the table began or ceased to ask; or marks changed."""

    def __init__(
        self, facts: ScreenFacts, listing: Listing[Row], *, first_filter: str = "", example: str = ""
    ) -> None:
        """`first_filter` is what the pane opens with and Esc comes back to; `example` shows a filter."""
        super().__init__()
        self.facts = facts
        self.listing = listing = listing.with_own(facts.services.own_columns)
        self.first_filter = first_filter
        self._example = example
        self._waiting_for = ""
        self._epoch = facts.epoch
        self._order_unknown = False
        """True while the rows that are shown stand in an order that wasn't known when they were asked for."""
        self.feed: Feed[Row] = Feed(
            self, facts, listing, came=self._rows_came, failed=self._rows_failed, changed=self._changed
        )

    def compose(self) -> ComposeResult:
        yield FilterBar(self.listing.fields, self._example)
        yield NoticeBar()
        yield Table(self.facts, self.listing, self.feed.window)

    @property
    def table(self) -> Table[Row]:
        return cast("Table[Row]", self.query_one(Table))

    @property
    def bar(self) -> FilterBar:
        return self.query_one(FilterBar)

    def on_mount(self) -> None:
        """Ask for the first page, in the order that was chosen last."""
        self.table.choose_columns(self.facts.memory.columns(self.listing.name))
        self.facts.subscribe(self, lambda _: self._facts_changed())
        self._bind_own()
        self._begin_anew()

    def _bind_own(self) -> None:
        service = self.facts.services.user_commands
        for command in service.offered(self.listing.name) if service is not None else ():
            if command.key:
                self._bindings.bind(command.key, f"own({command.name!r})", command.title, show=True)

    def action_own(self, name: str) -> None:
        self.do_own(name)

    def _begin_anew(self) -> None:
        order = self.facts.memory.order(self.listing.name)
        known = order.sort in {c.sort for c in self.listing.columns if c.sort} | {self.listing.sort}
        query = self.listing.first_query(self.first_filter)
        if order.sort and known:
            query = replace(query, sort=order.sort, descending=order.descending)
        self.feed.begin(query)

    def _facts_changed(self) -> None:
        if self.facts.epoch != self._epoch:
            self._epoch = self.facts.epoch
            self.table.marks.clear()
            self.query_one(NoticeBar).tell(None)
            self.feed.forget()
            self.table.rows_changed((), anew=True)
            self._begin_anew()
        self.table.facts_changed()

    # What the feed tells

    def _rows_came(self, came: RowsCame) -> None:
        table = self.table
        table.query_shown = self.feed.shown
        if came.kind is PageKind.FRESH and table.marks.whole and table.marks.filter != self.feed.shown.filter:
            table.marks.clear()
        if table.marks:
            for row in came.rows:
                table.marks.learn(row)
            for identity in came.gone:
                table.marks.forget(identity)
        anew = came.kind is PageKind.FRESH
        if came.kind is PageKind.AGAIN and self._order_unknown:
            anew = table.left_alone and not self.bar.is_open
        table.rows_changed(came.rows, moved=came.moved, anew=anew, at_end=came.kind is PageKind.END)
        if came.kind is not PageKind.SOME:
            self._order_unknown = False
            self.query_one(NoticeBar).tell(None)
        if came.kind is PageKind.FRESH and self.bar.is_open:
            self._close_bar()

    def _rows_failed(self, trouble: Failure, asked: Query) -> None:
        if trouble.position is None:
            self.query_one(NoticeBar).tell(trouble)
            return
        if not self.bar.is_open:
            self._open_bar(asked.filter)
        self.bar.fault(trouble)

    def _changed(self) -> None:
        self.table.total = self.feed.count
        self.table.end_with(ending(self.feed, self.listing, self._waiting_for))
        self.post_message(self.Changed())

    # What the table tells

    @on(Table.NearEdge)
    def _more(self, event: Table.NearEdge) -> None:
        event.stop()
        self.feed.more(above=event.above)

    @on(Table.EdgeWanted)
    def _edge(self, event: Table.EdgeWanted) -> None:
        event.stop()
        if event.first:
            self.feed.begin(self.feed.shown)
        else:
            self.feed.end()

    @on(Table.HeadingPressed)
    def _sort_by(self, event: Table.HeadingPressed) -> None:
        event.stop()
        self.table.focus_column(event.column)
        self._ask_order(order_after(self.listing, self.feed.asked, event.column))

    # Filter

    def show_filter(self, expression: str) -> None:
        self.facts.memory.remember(f"filter {self.listing.name}", expression)
        self.feed.begin(replace(self.feed.shown, filter=expression))

    @on(FilterBar.Submitted)
    def _submitted(self, event: FilterBar.Submitted) -> None:
        event.stop()
        self.show_filter(event.expression)

    @on(FilterBar.Closed)
    def _close_bar(self) -> None:
        if self.bar.is_open:
            self.bar.close()
            self.table.focus()
            self._changed()

    def _open_bar(self, expression: str) -> None:
        memory = self.facts.memory
        history = memory.history(f"filter {self.listing.name}")
        self.bar.open(expression, history, memory.saved_filters(self.listing.name))
        self.post_message(self.Changed())

    def back(self) -> bool:
        """Go one step back within the pane; returns False where there is none."""
        if self.bar.is_open:
            self._close_bar()
            return True
        if self.feed.busy_for_operator:
            return self.feed.cancel()
        if self.feed.shown.filter != self.first_filter:
            self.feed.begin(replace(self.feed.shown, filter=self.first_filter))
            return True
        return False

    # Actions

    def possible(self, action: Action) -> bool | None:
        if not self.is_mounted or not self.table.is_mounted:
            return None
        rows = bool(self.feed.window.rows)
        match action.name:
            case "mark" | "mark-down" | "mark-up" | "mark-all" | "copy" | "copy-rows" | "export":
                return True if rows else None
            case "unmark":
                return True if self.table.marks else None
            case "cancel":
                return True if self.feed.asking else None
            case "filter":
                return not self.bar.is_open
            case _:
                return super().possible(action)

    def do_left(self) -> None:
        self.table.move_column(-1)

    def do_right(self) -> None:
        self.table.move_column(1)

    def do_filter(self, expression: str) -> None:
        """Edit the filter, or show what an expression lets through."""
        if expression.startswith("@"):
            saved = self.facts.memory.saved_filters(self.listing.name)
            known = saved.get(expression[1:])
            if known is None:
                self.say(f"There is no saved filter {expression}.", trouble=True)
                return
            self.show_filter(known)
        elif expression:
            self.show_filter(expression)
        else:
            self._open_bar(self.feed.asked.filter)

    def do_saved(self) -> None:
        dialog = SavedFilters(self.facts.memory, self.listing.name, self.feed.shown.filter)
        self.app.push_screen(dialog, lambda chosen: None if chosen is None else self.show_filter(chosen))

    def do_sort(self, words: str) -> None:
        """Sort by the column under the cursor, or by a column named in words: `org`, `org desc`."""
        asked = self.feed.asked
        if words:
            self._ask_order(order_named(self.listing, asked, words))
        else:
            self._ask_order(order_after(self.listing, asked, self.table.columns.current))

    def do_reverse(self) -> None:
        self._ask_order(replace(self.feed.asked, descending=not self.feed.asked.descending))

    def _ask_order(self, query: Query | Failure) -> None:
        if isinstance(query, Failure):
            self.say(str(query), trouble=True)
            return
        self.facts.memory.remember_order(self.listing.name, SortOrder(query.sort, query.descending))
        self.feed.begin(query)

    def do_columns(self) -> None:
        dialog = ColumnChooser(self.listing, tuple(c.name for c in self.table.columns.chosen))
        self.app.push_screen(dialog, lambda chosen: None if chosen is None else self._columns(chosen))

    def _columns(self, chosen: tuple[str, ...]) -> None:
        self.facts.memory.remember_columns(self.listing.name, chosen)
        self.table.choose_columns(chosen)
        self.table.rows_changed(self.feed.window.rows)

    def do_mark(self) -> None:
        row = self.table.current
        if row is not None:
            self._mark(row, marked=row not in self.table.marks)
            self.table.do_down()

    def do_mark_down(self) -> None:
        self._mark_range(self.table.do_down)

    def do_mark_up(self) -> None:
        self._mark_range(self.table.do_up)

    def _mark_range(self, move: Callable[[], None]) -> None:
        for step in (None, move):
            if step is not None:
                step()
            row = self.table.current
            if row is not None:
                self._mark(row, marked=True)

    def do_mark_all(self) -> None:
        """Mark all rows that match the filter, those that aren't held too."""
        self.table.marks.mark_all(self.feed.shown.filter)
        self._marked()

    def do_unmark(self) -> None:
        self.table.marks.clear()
        self._marked()

    def _mark(self, row: Row, *, marked: bool) -> None:
        self.table.marks.set(row, marked=marked)
        self.table.row_changed()
        self.post_message(self.Changed())

    def _marked(self) -> None:
        self.table.refresh()
        self.post_message(self.Changed())

    def do_copy(self) -> None:
        copy_cell(self.table, self.listing, self.facts)

    def do_copy_rows(self) -> None:
        copy_rows(self.table, self.listing)

    def do_export(self, path: str) -> None:
        dialog: ExportDialog[Row] = ExportDialog(
            self.facts, self.listing, self.feed.shown, self.table.marks, path
        )
        self.app.push_screen(dialog)

    @work(exclusive=True, group="write")
    async def do_own(self, name: str) -> None:
        service, row = self.facts.services.user_commands, self.table.current
        commands = service.offered(self.listing.name) if service is not None else ()
        if service is None or not commands or row is None:
            self.say(NONE if not commands else "No row is under the cursor.", trouble=True)
            return
        command = next((one for one in commands if one.name == name), None)
        if name and command is None:
            known = ", ".join(one.name for one in commands)
            self.say(f"No command {name} here. There are: {known}.", trouble=True)
            return
        command = command or await self.app.push_screen_wait(ChooseCommand(commands))
        if command is not None:
            await self._run_own(service, command, self.listing.record(row))

    async def _run_own(self, service: UserCommands, command: UserCommand, fields: Mapping[str, Any]) -> None:
        if not command.looks:
            if self.facts.read_only:
                self.say(f"Read-only: {command.title} is refused.", trouble=True)
                return
            try:
                arguments = command.filled(fields)
            except RefusedError as error:
                self.say(str(error), trouble=True)
                return
            if not await self.app.push_screen_wait(ask_to_run(command, arguments)):
                return
        self.say(f"Running: {command.title}")
        ask(
            self,
            lambda cancelled: service.run(command, fields, cancelled),
            lambda answer: self._own_ended(command, answer),
            group="own-run",
            limit=command.seconds + 10,
        )

    def _own_ended(self, command: UserCommand, answer: CommandOutcome | Failure) -> None:
        if isinstance(answer, Failure):
            self.say(str(answer), trouble=True)
        else:
            self.app.push_screen(command_said(command, answer))

    def do_cancel(self) -> None:
        self.feed.cancel()

    # What the screen asks for

    def refresh_rows(self, *, order_known: bool = False) -> None:
        """Ask for the rows anew; the cursor and the marks stay on theirs.

        With `order_known`, what the rows are sorted by is known only now: the cursor stays at the top, unless
        the operator has moved it.
        """
        self._order_unknown |= order_known
        self.feed.again()

    def wait_for(self, words: str) -> None:
        """Say what rows that come from elsewhere are waiting for, instead of that there is none."""
        if words != self._waiting_for:
            self._waiting_for = words
            self._changed()

    def reread(self, refs: tuple[Any, ...], read: Callable[[], tuple[Row, ...]]) -> None:
        """Show these rows as they are now, `read` returning those that are still there."""
        self.feed.reread(refs, read)

    @property
    def state(self) -> tuple[object, ...]:
        """What the possibility of those actions depends on that the key hints show."""
        feed = self.feed
        rows, marks = bool(feed.window.rows), bool(self.table.marks)
        return rows, marks, bool(feed.shown.filter), self.bar.is_open

    def note(self) -> Content:
        return coverage(self.feed, self.table, self.listing)


def ending(feed: Feed[Any], listing: Listing[Any], waiting_for: str) -> tuple[str, ...]:
    if feed.at is None:
        if feed.asking:
            return (f"asking for {listing.many}…  X stops asking",)
        return () if feed.trouble is None else ("No answer: r asks again.",)
    if feed.busy_for_operator:
        return ("asking…  X stops asking",)
    if feed.window.below:
        return (f"more {listing.many} follow…",)
    if feed.window.rows:
        return ()
    if waiting_for:
        return tuple(waiting_for.split("\n"))
    if feed.shown.filter:
        return (f"No {listing.sheet.one} passes this filter.", "/ changes it, Esc shows all.")
    return tuple(listing.nothing.split("\n"))


def coverage(feed: Feed[Any], table: Table[Any], listing: Listing[Any]) -> Content:
    parts = []
    if table.marks:
        marked = table.marks.count(feed.count)
        parts.append("all marked" if marked is None else f"{marked:,} marked")
    count = feed.count
    if count is None:
        parts.append(f"{len(feed.window.rows):,} loaded")
    elif feed.window.base is not None and table.current is not None:
        parts.append(f"{feed.window.base + table.cursor + 1:,} of {listing.counted(count)}")
    else:
        parts.append(listing.counted(count))
    column = listing.column(feed.shown.sort)
    name = column.title if column is not None else feed.shown.sort
    parts.append(f"sort: {name} {arrow(listing, feed.shown)}")
    return Content.assemble(("   ".join(parts), "$muted"))


def copy_cell(table: Table[Row], listing: Listing[Row], facts: ScreenFacts) -> None:
    """Copy the cell under the cursor; in the first column it is the row's reference."""
    row, column = table.current, table.columns.current
    if row is not None:
        first = column is listing.columns[0]
        text = cell_as_text(listing.reference(row) if first else cell_of(column, row, facts)[0])
        send_to_clipboard(table, text, text)


def copy_rows(table: Table[Row], listing: Listing[Row]) -> None:
    """Copy the marked rows, or the one under the cursor, cells parted by tabs."""
    if table.marks.whole:
        cast(Host, table.app).tell("Too many rows for the clipboard: E exports them.", trouble=True)
        return
    rows = table.marks.rows or ((table.current,) if table.current is not None else ())
    if not rows:
        return
    text, taken = rows_as_text(table.texts(row) for row in rows)
    words = listing.counted(taken)
    if taken < len(rows):
        words += f" of {len(rows):,}; E exports all"
    send_to_clipboard(table, text, words)
