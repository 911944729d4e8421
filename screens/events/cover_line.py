"""The line above the bars: hidden events and fetched periods, counted in workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from crypto_core.lists.coverage import Coverage
from crypto_core.trail.coverage_record import FRESH
from crypto_core.trail.sources.pull_query import LATE
from crypto_core.trail.store import Summary
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.counts import counted
from screens.blocking_calls import Failure
from screens.event_filters import window
from screens.facts import ScreenFacts
from screens.moments import end_of_axis, local
from screens.widgets.cells import spread
from screens.worker_calls import PendingCall, ask

_ROOMY = 96
"""Cells from which on what can be done, and the store's number of events, have room too."""
MOST_GAPS = 2
"""Gaps listed in full on a tall screen."""


@dataclass(frozen=True, slots=True)
class Covered:
    since: datetime
    until: datetime | None
    """None for up to now."""
    coverage: Coverage

    @property
    def gaps(self) -> tuple[str, ...]:
        return self.coverage.reasons


def cover(
    summary: Summary | Failure | None,
    whole: Summary | Failure | None,
    covered: Covered | Failure | None,
    facts: ScreenFacts,
    width: int,
) -> Content:
    """Return one line: how many calls are hidden, whether all was fetched, what the store has."""
    roomy = width >= _ROOMY
    match summary:
        case None:
            hidden = Content.assemble(("counting…", "$muted"))
        case Failure():
            hidden = Content.assemble(("✖ ", "$error"), f"not counted: {summary.message}")
        case Summary(hidden_service_events=0, hidden_own_events=0):
            hidden = Content.assemble(("no service events hidden", "$muted"))
        case Summary():
            words = f"{_hidden(summary, roomy=roomy)} hidden"
            hidden = Content.assemble((words, ""), ("  a shows them" if roomy else "", "$muted"))
    fetched = _fetched(covered, facts.clock())
    parts = [part for part in (fetched, _store(whole, facts, roomy=roomy)) if part]
    return spread(hidden, Content("   ").join(parts), width)


def _hidden(summary: Summary, *, roomy: bool) -> str:
    """How many events of services, and of Keydeck, or, where there is little room, how many in all."""
    services, own = summary.hidden_service_events, summary.hidden_own_events
    if not own:
        return counted(services, "service event")
    if not services:
        return counted(own, "own event")
    return f"{services:,} service, {counted(own, 'own event')}" if roomy else counted(services + own, "event")


def _fetched(covered: Covered | Failure | None, now: datetime) -> Content:
    """Whether all of the shown time was fetched. Of what CloudTrail may still deliver, nothing is claimed."""
    settled = now - LATE - FRESH
    match covered:
        case None:
            return Content("")
        case Failure():
            return Content.assemble(("✖ ", "$error"), "gaps not known")
        case Covered(gaps=gaps) if gaps:
            return Content.assemble((f"▲ {counted(len(gaps), 'gap')}", "$warning"))
        case Covered(since=since) if since >= settled:
            return Content.assemble(("too recent for all to be there", "$muted"))
        case Covered(until=until) if until is not None and until <= settled:
            return Content.assemble(("complete", "$muted"))
    there = local(settled, now)
    at = f"{there:%H:%M}" if there.date() == now.date() else end_of_axis(settled, now)
    return Content.assemble((f"complete to {at}", "$muted"))


def gap_words(covered: Covered | Failure | None) -> Content:
    """Return what is missing, a line for each gap of the first few."""
    if not isinstance(covered, Covered):
        return Content("")
    lines = [Content.assemble(("▲ ", "$warning"), (gap, "$foreground")) for gap in covered.gaps[:MOST_GAPS]]
    if len(covered.gaps) > MOST_GAPS:
        lines.append(Content.assemble((f"  and {len(covered.gaps) - MOST_GAPS:,} more", "$muted")))
    return Content("\n").join(lines)


def _store(whole: Summary | Failure | None, facts: ScreenFacts, *, roomy: bool) -> Content:
    if not isinstance(whole, Summary) or whole.first is None or whole.last is None:
        return Content("")
    lead = f"store: {counted(whole.events, 'event')}, " if roomy else "store "
    return Content.assemble((f"{lead}{_from_to(whole, facts)}", "$muted"))


def _from_to(whole: Summary, facts: ScreenFacts) -> str:
    now = facts.clock()
    if whole.first is None or whole.last is None:
        return ""
    return f"{end_of_axis(whole.first, now)} – {end_of_axis(whole.last, now)}"


def nothing(whole: Summary | Failure, facts: ScreenFacts) -> str:
    """Return what an empty list says: why, and what to do."""
    if isinstance(whole, Failure):
        return "No answer from the store: r asks again."
    if whole.events:
        return (
            "No event passes this filter.\n/ changes it, Esc shows what the screen opened with.\n"
            f"The store has {counted(whole.events, 'event')}, {_from_to(whole, facts)}."
        )
    return (
        "No events are in the store: nothing was fetched or imported yet.\n"
        "P fetches the last 24 hours by LookupEvents, :pull 7d the last 7 days.\n"
        "In a shell: keydeck events pull fetches,\n"
        "keydeck events import PATH reads CloudTrail's files."
    )


class CoverLine(Static):
    """One line; where the screen is tall, the first few gaps below it."""

    DEFAULT_CSS = """
    CoverLine {
        height: auto; min-height: 1; max-height: 4; padding: 0 1; color: $muted;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    """

    class StoreKnown(Message):
        def __init__(self, whole: Summary | Failure) -> None:
            super().__init__()
            self.whole = whole

    def __init__(self, facts: ScreenFacts) -> None:
        super().__init__()
        self._facts = facts
        self._expression = ""
        self._asked: dict[str, PendingCall[Any]] = {}
        self._summary: Summary | Failure | None = None
        self._fetched: Covered | Failure | None = None
        self._shown = Content("")
        self.whole: Summary | Failure | None = None
        """What the store has, whatever the filter."""

    def on_unmount(self) -> None:
        for asked in self._asked.values():
            asked.drop()

    def on_resize(self) -> None:
        self.show()

    def count(self, expression: str) -> None:
        """Load everything about a filter; earlier requests are dropped."""
        self._expression = expression
        summary = self._facts.services.events.summary
        self._ask("summary", lambda c: summary(expression, cancelled=c), self._know_summary)
        self._ask("whole", lambda c: summary("", cancelled=c), self._know_whole)

    def _ask(self, what: str, call: Callable[[Cancellation], Any], then: Callable[[Any], None]) -> None:
        before = self._asked.get(what)
        if before is not None:
            before.drop()
        self._asked[what] = ask(self, call, then, group=f"events-{what}")

    def _know_summary(self, answer: Summary | Failure) -> None:
        self._summary = answer
        self.show()

    def _know_whole(self, answer: Summary | Failure) -> None:
        self.whole = answer
        self._ask_fetched()
        self.post_message(self.StoreKnown(answer))

    def _ask_fetched(self) -> None:
        """Ask what of the shown time was fetched; where it has no beginning, from the first event on."""
        now = self._facts.clock()
        since, until = window(self._expression, now)
        if since is None and isinstance(self.whole, Summary):
            since = self.whole.first
        if since is None:
            self._fetched = None
            return
        begin, coverage_of = since, self._facts.services.event_coverage.coverage_of
        self._ask(
            "fetched", lambda _: Covered(begin, until, coverage_of(begin, until or now)), self.know_fetched
        )

    def know_fetched(self, answer: Covered | Failure) -> None:
        self._fetched = answer
        self.show()

    def show(self) -> None:
        width = max(self.screen.size.width - 2, 10)
        words = cover(self._summary, self.whole, self._fetched, self._facts, width)
        gaps = gap_words(self._fetched) if self.screen.has_class("-tall") else Content("")
        shown = Content("\n").join([words, gaps]) if gaps else words
        if shown != self._shown:
            higher = shown.plain.count("\n") != self._shown.plain.count("\n")
            self._shown = shown
            self.update(shown, layout=higher)
