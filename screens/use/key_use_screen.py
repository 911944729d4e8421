"""A key's use: by operation, principal and material, all its Regions together and apart, day by day."""

from __future__ import annotations

from collections.abc import Iterable

from crypto_core.cancelling import Cancellation
from crypto_core.trail.use.keys import KeyUseSummary
from screens.facts import Facts
from screens.use.key_use_lines import key_use_lines
from screens.use.use_screen import UseScreen
from screens.widgets.line_list import Line


class KeyUseScreen(UseScreen[KeyUseSummary]):
    """A multi-Region key's replicas are one key here, and are told apart below."""

    NAME = "use"
    ASKING = "Counting the key's events…"

    def __init__(self, facts: Facts, key_arn: str) -> None:
        super().__init__(facts)
        self._key_arn = key_arn

    @property
    def crumb(self) -> tuple[str, str]:
        """The key's name."""
        return "Use", self.facts.key_words.long(self._key_arn)

    def ask_for(self, cancelled: Cancellation) -> KeyUseSummary:
        """Count the events about the key."""
        return self.facts.services.event_use.key_use(self._key_arn, cancelled=cancelled)

    def lines(self, answer: KeyUseSummary, width: int) -> Iterable[Line]:
        """Return the page."""
        return key_use_lines(answer, width, self.facts)
