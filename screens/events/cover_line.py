"""The line above the bars: hidden events and fetched periods, counted in workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from crypto_core.cancelling import Cancellation
from crypto_core.trail.store import Summary
from screens.asking import PendingCall, ask
from screens.blocking import Trouble
from screens.event_filters import window
from screens.events.cover import Covered, cover, gap_words
from screens.facts import Facts


class CoverLine(Static):
    """One line; where the screen is tall, the first few gaps below it."""

    DEFAULT_CSS = """
    CoverLine {
        height: auto; min-height: 1; max-height: 4; padding: 0 1; color: $muted;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    """

    class StoreKnown(Message):
        def __init__(self, whole: Summary | Trouble) -> None:
            super().__init__()
            self.whole = whole

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self._facts = facts
        self._expression = ""
        self._asked: dict[str, PendingCall[Any]] = {}
        self._summary: Summary | Trouble | None = None
        self._fetched: Covered | Trouble | None = None
        self._shown = Content("")
        self.whole: Summary | Trouble | None = None
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

    def _know_summary(self, answer: Summary | Trouble) -> None:
        self._summary = answer
        self.show()

    def _know_whole(self, answer: Summary | Trouble) -> None:
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

    def know_fetched(self, answer: Covered | Trouble) -> None:
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
