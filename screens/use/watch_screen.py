"""Watches a retired key: every use, as CloudTrail delivers it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from crypto_core.cancelling import Cancellation
from crypto_core.trail.key_watch.watch import SHORTEST_SECONDS
from screens.blocking import Trouble
from screens.facts import Facts
from screens.use.use_screen import UseScreen
from screens.use.watch_lines import watch_lines
from screens.use.watching import WatchedUses, Watching
from screens.widgets.line_list import Line


class WatchScreen(UseScreen[WatchedUses]):
    """Looks while it is in sight: fetches what is new, then shows what came. Left, it stops at once."""

    NAME = "watch"
    EVERY = 60.0
    ASKING = "Fetching the key's events since then by LookupEvents, then reading them…"
    LIMIT: ClassVar[float] = 6 * 3_600.0

    def __init__(self, facts: Facts, key_arn: str, since: datetime) -> None:
        super().__init__(facts)
        self._key_arn = key_arn
        self._watching = Watching(facts.services.key_monitor, key_arn, since)

    @property
    def crumb(self) -> tuple[str, str]:
        """The key's name."""
        return "Watch", self.facts.key_words.long(self._key_arn)

    @property
    def took(self) -> float:
        """So that two looks are never nearer to one another than the monitor allows."""
        return SHORTEST_SECONDS / 20

    def ask_for(self, cancelled: Cancellation) -> WatchedUses:
        """Look once."""
        return self._watching.look(cancelled)

    def lines(self, answer: WatchedUses, width: int) -> Iterable[Line]:
        """Return the page."""
        return watch_lines(answer, width, self.facts)

    def _keep(self, answer: WatchedUses | Trouble) -> None:
        super()._keep(answer)
        self._go_on()

    def _tick(self) -> None:
        super()._tick()
        self._go_on()

    def _go_on(self) -> None:
        """Fetch again at once if more is waiting."""
        more = self.answer is not None and self.answer.look.more and self.trouble is None
        if more and self.is_mounted and self.is_current and not self.refreshing.paused:
            self.ask_anew()
