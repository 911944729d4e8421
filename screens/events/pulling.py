"""Fetching new events while the list is looked at: one pull at a time, its progress, its end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from textual.dom import DOMNode
from textual.timer import Timer

from crypto_core.text.cleaning import shortened
from crypto_core.trail.sources.report import PullProgress, PullReport
from screens.asking import PendingCall, ask
from screens.blocking import Failure

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
