"""A token's timeline: who opened it, as far as CloudTrail can tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from crypto_core.cancelling import Cancellation
from crypto_core.provider_logs.token_use import TokenUse
from crypto_core.references import TokenRef
from crypto_core.trail.use.token_timeline import TokenTimeline
from screens.facts import Facts
from screens.use.token_lines import token_lines
from screens.use.token_use_lines import use_lines
from screens.use.use_screen import UseScreen
from screens.widgets.line_list import Line


@dataclass(frozen=True, slots=True)
class OpenedAndUsed:
    """What CloudTrail tells of a token and, where audit logs can be asked, what its provider does."""

    timeline: TokenTimeline
    use: TokenUse | None


class TokenScreen(UseScreen[OpenedAndUsed]):
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

    def ask_for(self, cancelled: Cancellation) -> OpenedAndUsed:
        """Count the events that name it, and those that could be about it; and find what was done with it."""
        services = self.facts.services
        timeline = services.event_use.token_timeline(self._ref, cancelled=cancelled)
        uses = services.token_uses
        use = None if uses is None else uses.use_of(timeline, cancelled=cancelled)
        return OpenedAndUsed(timeline, use)

    def lines(self, answer: OpenedAndUsed, width: int) -> Iterable[Line]:
        """Return the page."""
        use = () if answer.use is None else use_lines(answer.use, width, self.facts)
        return token_lines(answer.timeline, width, self.facts, use)
