"""A token's timeline: who opened it, as far as CloudTrail can tell."""

from __future__ import annotations

from collections.abc import Iterable

from crypto_core.cancelling import Cancellation
from crypto_core.references import TokenRef
from crypto_core.trail.use.token_timeline import TokenTimeline
from screens.facts import Facts
from screens.use.token_lines import token_lines
from screens.use.use_screen import UseScreen
from screens.widgets.line_list import Line


class TokenScreen(UseScreen[TokenTimeline]):
    """Exact for v2. Of a v1 token it shows what could have opened it, set apart: no record names it."""

    NAME = "timeline"
    ASKING = "Counting the token's events…"

    def __init__(self, facts: Facts, ref: TokenRef) -> None:
        super().__init__(facts)
        self._ref = ref

    @property
    def crumb(self) -> tuple[str, str]:
        """The token."""
        return "Timeline", str(self._ref)

    def ask_for(self, cancelled: Cancellation) -> TokenTimeline:
        """Count the events that name it, and those that could be about it."""
        return self.facts.services.event_use.token_timeline(self._ref, cancelled=cancelled)

    def lines(self, answer: TokenTimeline, width: int) -> Iterable[Line]:
        """Return the page."""
        return token_lines(answer, width, self.facts)
