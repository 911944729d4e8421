"""Events: who used the keys, and is that normal? Over time, in a list, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.content import Content
from textual.dom import DOMNode
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from crypto_core.lists.paging import Query, pages_of
from crypto_core.trail.sources.report import PullProgress, PullReport
from crypto_core.trail.store import StoredEvent, Summary
from crypto_core.trail.store.counts import Histogram
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import shortened
from crypto_core.values.errors import EventVanishedError, InvalidFilterError
from screens import routes
from screens.actions.action import Action
from screens.blocking_calls import Failure
from screens.event_filters import FIRST, between, since, term, with_or_without_noise, with_term
from screens.events.cover_line import CoverLine, nothing
from screens.events.event_actor import EventActor
from screens.events.event_lines import short_lines
from screens.events.event_list import EXAMPLE, LISTING, values
from screens.events.histogram import HistogramView
from screens.facts import ScreenFacts
from screens.identities import noted_by
from screens.list_screen import ListScreen
from screens.moments import moment, seconds
from screens.widgets.notice import NoticeBar
from screens.widgets.table.pane import TablePane
from screens.worker_calls import PendingCall, ask

if TYPE_CHECKING:
    from crypto_core.trail.sources.puller import EventPuller

STOPPED = Failure("The pull was stopped; what it had fetched is kept.", "P pulls again.")
_LONGEST = 6 * 3_600.0
_SHOWN_SECONDS = 0.5


class Pulling:
    """At most one pull. `changed` is called as it goes on, `ended` with what came of it."""

    def __init__(
        self, node: DOMNode, changed: Callable[[], None], ended: Callable[[PullReport | Failure], None]
    ) -> None:
        self._node = node
        self._changed, self._ended = changed, ended
        self._asked: PendingCall[PullReport] | None = None
        self._progress: PullProgress | None = None
        self._timer: Timer | None = None

    @property
    def under_way(self) -> bool:
        return self._asked is not None and self._asked.waiting

    @property
    def words(self) -> str:
        if self._progress is None:
            return "pulling…"
        p = self._progress
        throttled = f", throttled {p.throttled:,}×" if p.throttled else ""
        return f"pulling {shortened(p.where, 24)} {p.records:,} events, {p.new:,} new{throttled}"

    def begin(self, source: EventPuller, from_: datetime) -> None:
        if self.under_way:
            return
        self._progress = None
        self._asked = ask(
            self._node,
            lambda cancelled: source.pull_events(
                source="lookup", since=from_, progress=self._reached, cancelled=cancelled
            ),
            self._end,
            group="pull",
            limit=_LONGEST,
        )
        self._timer = self._node.set_interval(_SHOWN_SECONDS, self._changed)
        self._changed()

    def stop(self) -> None:
        if self._asked is not None:
            self._asked.cancel(STOPPED)

    def drop(self) -> None:
        """Stop fetching, without a message."""
        if self._asked is not None:
            self._asked.drop()
        self._stop_timer()

    def _reached(self, progress: PullProgress) -> None:
        self._progress = progress

    def _end(self, answer: PullReport | Failure) -> None:
        self._stop_timer()
        self._ended(answer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None


STALE_SECONDS = 30.0
"""After so long the list is asked for anew though nothing came: spans such as since:24h move on."""
PULL_SECONDS = 60.0
"""How often new events are fetched while the list is followed."""
NARROWEST = 60
"""Seconds of time that zooming in stops at."""
AT_ONCE = 1_000
_LONG = 3_600.0
_NEEDS_ROW = ("only", "principal", "exclude", "reviewed", "note", "incident")
_NEEDS_TIME = ("zoom-in", "zoom-out", "earlier", "later")


class EventsScreen(EventActor, ListScreen[StoredEvent]):
    """Rows first; then how many they are, how they lie over time, what the store covers."""

    CSS_PATH = "screen.tcss"
    NAME = "events"
    EVERY = 5.0
    ACTS: ClassVar[tuple[str, ...]] = ("events", "blocking")

    def __init__(self, facts: ScreenFacts, expression: str = FIRST) -> None:
        super().__init__(facts, expression)
        self._following = False
        self._round = 0
        """Counts how often the rows were asked for because something may be new."""
        self._counted: object = None
        """What the counts that are shown, or asked for, are about."""
        self._asked: dict[str, PendingCall[Any]] = {}
        self._store_state: tuple[int, int] | None = None
        self._checked: datetime | None = None
        self._zooms: list[tuple[str, str]] = []
        """The filters before and after each zooming in."""
        self._pulling = Pulling(self, self._say, self._pulled)
        self._pulled_at: datetime | None = None
        self._pulled_until: datetime | None = None
        """Up to when a pull covered everything."""

    def body(self) -> Iterable[Widget]:
        yield NoticeBar(id="pulling")
        yield CoverLine(self.facts)
        yield HistogramView(self.facts)
        yield TablePane(self.facts, LISTING, first_filter=self.expression, example=EXAMPLE)
        yield Static(id="event")

    @property
    def bars(self) -> HistogramView:
        return self.query_one(HistogramView)

    @property
    def cover(self) -> CoverLine:
        return self.query_one(CoverLine)

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        return self._checked or self.pane.feed.at, self.pane.feed.asking

    def on_resize(self) -> None:
        self._counted = None
        if self._pane is not None:
            self.show_list()

    def on_unmount(self) -> None:
        self._pulling.drop()
        for asked in self._asked.values():
            asked.drop()

    # What is asked for

    def ask_anew(self) -> None:
        """Look whether the store has changed, and ask for rows and counts only if it has."""
        before = self._asked.get("state")
        if before is None or not before.waiting:
            self._ask("state", lambda _: self.facts.services.events.state(), self._know_state)

    def _ask(
        self, what: str, call: Callable[[Cancellation], Any], then: Callable[[Any], None], limit: float = 90.0
    ) -> None:
        """Ask in a worker of its own; an earlier request of this name is dropped."""
        before = self._asked.get(what)
        if before is not None:
            before.drop()
        self._asked[what] = ask(self, call, then, group=f"events-{what}", limit=limit)

    def _know_state(self, answer: tuple[int, int] | Failure) -> None:
        feed, now = self.pane.feed, self.facts.clock()
        stale = feed.at is None or (now - feed.at).total_seconds() >= STALE_SECONDS
        self._checked = now
        if isinstance(answer, Failure) or answer != self._store_state or stale or feed.trouble is not None:
            self._store_state = None if isinstance(answer, Failure) else answer
            self._rows_anew()
        else:
            self._say()

    def _rows_anew(self) -> None:
        self._round += 1
        self.pane.refresh_rows()

    def _count(self) -> None:
        events, expression, bars = self.facts.services.events, self.pane.feed.shown.filter, self.bars.bars
        self.cover.count(expression)
        self._ask(
            "histogram", lambda c: events.histogram(expression, bars=bars, cancelled=c), self._know_bars
        )

    @on(CoverLine.StoreKnown)
    def _know_store(self, event: CoverLine.StoreKnown) -> None:
        self.pane.wait_for(nothing(event.whole, self.facts))
        self._say()

    def _know_bars(self, answer: Histogram | Failure | None) -> None:
        if isinstance(answer, Failure):
            self.bars.tell(None, f"Not counted over time: {answer.message}")
        else:
            self.bars.tell(answer, "" if answer is not None else "No events, so no bars.")
        self._say()

    # What is shown

    def show_list(self) -> None:
        """Show what is new; following, the cursor stays on the newest event."""
        feed, table = self.pane.feed, self.pane.table
        about = (feed.shown.filter, self._round, self.facts.epoch)
        if feed.at is not None and not feed.asking and about != self._counted and self.bars.size.width:
            self._counted = about
            self._count()
        if self._following and feed.shown.descending and not feed.asking and table.cursor:
            table.move_to(0)
        self.refresh_hints(*self.pane.state, self.bars.histogram is not None)
        self._say()

    def cursor_moved(self) -> None:
        self._say()

    def _say(self) -> None:
        if not self.is_mounted or self._pane is None:
            return
        lead = Content("")
        if self._pulling.under_way:
            lead = Content.assemble((f"{self._pulling.words}  P stops   ", "$accent"))
        elif self._following:
            lead = Content.assemble(("following   ", "$accent"))
        self.show_path(Content.assemble(lead, self.pane.note()))
        self.cover.show()
        row = self.pane.table.current
        self.bars.mark(row.event.time if row is not None else None)
        if self.has_class("-tall"):
            self.query_one("#event", Static).update(short_lines(row, self.facts), layout=False)

    # Ways on

    @property
    def event_in_hand(self) -> StoredEvent | None:
        return self.pane.table.current if self._pane is not None and self._pane.is_mounted else None

    def route_of(self, row: StoredEvent) -> routes.EventRoute:
        return routes.EventRoute(row.event.event_id)

    def do_detections(self) -> None:
        self.post_message(routes.Followed(routes.FindingsRoute("technique:*")))

    def do_pivots(self) -> None:
        self.post_message(routes.Followed(routes.PivotsRoute(self._shown())))

    # Filters from what is shown

    def show_filter(self, expression: str) -> None:
        """Show what an expression lets through; Esc comes back to the filter that the screen opened with."""
        self.pane.feed.begin(replace(self.pane.feed.shown, filter=expression))

    def _shown(self) -> str:
        return self.pane.feed.shown.filter

    def do_only(self) -> None:
        self._narrow(negated=False)

    def do_exclude(self) -> None:
        self._narrow(negated=True)

    def _narrow(self, *, negated: bool) -> None:
        row = self.pane.table.current
        if row is None:
            return
        field, value = values(row, self.pane.table.columns.current.name)
        if not value and field == "time":
            self.say("The record has no time.")
            return
        # Without a value: all that have none, or all that have one.
        nothing_there = f"{'' if negated else '-'}{field}:*"
        addition = term(field, value, negated=negated) if value else nothing_there
        self.show_filter(with_term(self._shown(), addition))

    def do_noise(self) -> None:
        self.show_filter(with_or_without_noise(self._shown(), self.facts.clock()))

    # Time

    def do_zoom_in(self) -> None:
        """Zoom in to a third of the time, around the event under the cursor."""
        found = self.bars.histogram
        if found is None:
            return
        length = found.last - found.first + 1
        wanted = max(length // 3, NARROWEST)
        if wanted >= length:
            self.say("Can't zoom in further.")
            return
        row = self.pane.table.current
        middle = seconds(row.event.time) if row is not None else found.first + length // 2
        before = self._shown()
        self._zooms.append((before, self._show_time(middle - wanted // 2, wanted)))

    def do_zoom_out(self) -> None:
        """Back to the time before zooming in, or three times as much."""
        found = self.bars.histogram
        if self._zooms:
            before, after = self._zooms.pop()
            if after == self._shown():
                self.show_filter(before)
                return
            self._zooms.clear()
        if found is not None:
            length = found.last - found.first + 1
            self._show_time(found.first - length, 3 * length)

    def do_earlier(self) -> None:
        self._move(-1)

    def do_later(self) -> None:
        self._move(1)

    def _move(self, direction: int) -> None:
        found = self.bars.histogram
        if found is not None:
            length = found.last - found.first + 1
            self._show_time(found.first + direction * max(length // 2, 1), length)

    def _show_time(self, first: int, length: int) -> str:
        now = self.facts.clock()
        expression = between(self._shown(), moment(first), moment(first + length - 1), now)
        self.show_filter(expression)
        return expression

    # New events

    def do_follow(self) -> None:
        self._following = not self._following
        if self._following:
            self.pane.table.do_first()
            self._pull_when_due()
        self.show_list()

    def _tick(self) -> None:
        super()._tick()
        if self._following and self.is_current and not self.refreshing.paused:
            self._pull_when_due()

    def _pull_when_due(self) -> None:
        now = self.facts.clock()
        due = self._pulled_at is None or (now - self._pulled_at).total_seconds() >= PULL_SECONDS
        if due:
            self._pull("")

    def do_pull(self, from_: str) -> None:
        if self._pulling.under_way:
            self._pulling.stop()
        else:
            self._pull(from_)

    def _pull(self, from_: str) -> None:
        if self._pulling.under_way:
            return
        now = self.facts.clock()
        try:
            begin = since(from_, self._known_until(), now)
        except InvalidFilterError as error:
            self.say(f"{error.message} {error.remedy}", trouble=True)
            return
        self._pulled_at = now
        self._pulling.begin(self.facts.services.event_puller, begin)

    def _known_until(self) -> datetime | None:
        """Up to when events were fetched already; else the beginning of the last hour that has any."""
        if self._pulled_until is not None:
            return self._pulled_until
        whole = self.cover.whole
        if not isinstance(whole, Summary) or whole.last is None:
            return None
        return whole.last.replace(minute=0, second=0)

    def _pulled(self, answer: PullReport | Failure) -> None:
        self._pulled_at = self.facts.clock()
        notice = self.query_one("#pulling", NoticeBar)
        if isinstance(answer, Failure):
            notice.tell(answer, "Pull:")
        else:
            if not answer.gaps:
                self._pulled_until = answer.until
            gaps = "; ".join(answer.gaps)
            notice.tell(Failure(f"The pull doesn't cover everything: {gaps}") if gaps else None)
            if answer.new:
                self.facts.ask_trail()
            if not self._following:
                self.say(f"{answer.new:,} new of {answer.records:,} events.")
        self.ask_anew()
        self._say()

    # What an operator notes

    def do_reviewed(self) -> None:
        table, by = self.pane.table, noted_by(self.facts.surroundings.value)
        events = self.facts.services.events
        if table.marks.whole:
            query = replace(self.pane.feed.shown, filter=table.marks.filter or "")
            left_out: set[str] = {row.event.event_id for row in table.marks.rows}

            def review_all(cancelled: Cancellation) -> int:
                return sum(events.review(ids, by) for ids in self._ids(query, left_out, cancelled) if ids)

            self._ask("review", review_all, self._reviewed_all, limit=_LONG)
            return
        rows = table.marks.rows or ((table.current,) if table.current is not None else ())
        ids = tuple(row.event.event_id for row in rows)
        reviewed = not all(row.reviewed_at is not None for row in rows)
        self._ask("review", lambda _: events.review(ids, by, reviewed=reviewed), lambda a: self.noted(ids, a))

    def _ids(self, query: Query, left_out: set[str], cancelled: Cancellation) -> Iterator[Sequence[str]]:
        """Yield the ids of what a query lets through, a page at a time."""
        for rows in pages_of(self.facts.services.events, query, size=AT_ONCE, cancelled=cancelled):
            yield [row.event.event_id for row in rows if row.event.event_id not in left_out]

    def _reviewed_all(self, answer: int | Failure) -> None:
        if not isinstance(answer, Failure):
            self.say(f"Reviewed: {answer:,} events.")
        self.noted((), answer)

    def noted(self, ids: tuple[str, ...], answer: object) -> None:
        if isinstance(answer, Failure):
            self.say(str(answer), trouble=True)
        elif ids:
            event = self.facts.services.events.event

            def read() -> tuple[StoredEvent, ...]:
                found = []
                for one in ids:
                    with suppress(EventVanishedError):
                        found.append(event(one))
                return tuple(found)

            self.pane.reread(ids, read)
        else:
            self._rows_anew()

    # What can be done

    def possible(self, action: Action) -> bool | None:
        possible = super().possible(action)
        if possible and action.scope == "events":
            if not self.is_mounted or self._pane is None or not self._pane.is_mounted:
                return None
            if action.name in _NEEDS_ROW and self.pane.table.current is None:
                return None
            if action.name in _NEEDS_TIME and self.bars.histogram is None:
                return None
        return possible
