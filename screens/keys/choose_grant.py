"""Which grant? Those of one key, as KMS lists them."""

from __future__ import annotations

from textual.content import Content

from crypto_core.keys.grants import Grant
from crypto_core.keys.policy.actions import in_words
from crypto_core.keys.policy.reading import KeyPolicy
from crypto_core.text.cleaning import shortened
from screens.ages import day
from screens.facts import Facts
from screens.widgets.cells import cut, fit
from screens.widgets.choice_dialog import ChoiceDialog
from screens.widgets.line_list import Line, line


class ChooseGrant(ChoiceDialog[str]):
    """Returns the chosen grant's id, None if the operator went back."""

    def __init__(self, facts: Facts, key_arn: str) -> None:
        super().__init__("Which grant?")
        self._facts = facts
        self._key_arn = key_arn

    def on_mount(self) -> None:
        """Ask for the grants."""
        read = self._facts.services.policies.read
        self.ask_for("Asking KMS for grants…", lambda _: read(self._key_arn), self._show)

    def _show(self, answer: KeyPolicy) -> None:
        if answer.missing:
            told = "; ".join(f"{part}: {why}" for part, why in answer.missing.items())
            self.say(Content(f"Not known: {told}"))
        elif not answer.grants:
            self.say(Content("The key has no grant."))
        else:
            self.offer(answer.grants, self._line)

    def _line(self, grant: Grant, width: int) -> Line:
        since = f", since {day(grant.created_at, self._facts.clock())}" if grant.created_at else ""
        named = f' "{shortened(grant.name, 60)}"' if grant.name else ""
        words = f"{grant.grantee.name} may {in_words(grant.operations)}{since}{named}"
        short_id = fit(f"{grant.grant_id[:8]}…", 11)
        return line(" ", (short_id, "$muted"), cut(words, width - 12), target=grant.grant_id)
