"""One key: what KMS says of it, its materials, and the tokens under each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import ClassVar

from crypto_core.cancelling import Cancellation
from crypto_core.keys.needing_copies import NeedingCopies
from crypto_core.keys.policy.reading import KeyPolicy
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import Status
from crypto_core.trail.use.keys import KeyUseSummary
from screens.actions.action import ActionScope
from screens.answer_screen import AnswerScreen
from screens.asking import PendingCall, ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.keys.access_lines import access_lines
from screens.keys.copy_lines import copy_lines
from screens.keys.detail import fact_lines, material_lines, missing_lines
from screens.keys.finding_lines import finding_lines
from screens.keys.key_actor import KeyActor
from screens.keys.timeline import timeline
from screens.keys.use_lines import day_line, principal_lines, recent_use
from screens.use.lines import BLANK, NAME_CELLS, fact
from screens.widgets.cells import fit
from screens.widgets.line_list import Line, line

MOST_ACCESSES = 7
"""How many lines who may use the key gets before the policy has to be opened."""


class KeyScreen(KeyActor, AnswerScreen[KeyState]):
    """What the list says of the key at once, and what KMS says when it's asked about this one."""

    NAME = "key"
    EVERY = 60.0
    ACTS: ClassVar[tuple[ActionScope, ...]] = (ActionScope.KEY,)

    def __init__(self, facts: Facts, key_arn: str) -> None:
        super().__init__(facts)
        self.key_arn = key_arn
        known = facts.key_words.find(key_arn)
        if known is not None:
            self.knows(known, facts.keys.at)
        self._policy: KeyPolicy | Trouble | None = None
        self._policy_asked = False
        self._use: KeyUseSummary | None = None
        self._copies: NeedingCopies | None = None
        self._asked_use: PendingCall[KeyUseSummary | None] | None = None

    @property
    def crumb(self) -> tuple[str, str]:
        """The key's name."""
        return "Key", self.facts.key_words.long(self.key_arn)

    @property
    def key_in_hand(self) -> str | None:
        """This key, also before it is known."""
        return self.key_arn

    def ask_for(self, cancelled: Cancellation) -> KeyState:
        """Ask KMS about this key."""
        return self.facts.services.keys.show(self.key_arn)

    def ask_anew(self) -> None:
        """Ask KMS about this key and who may use it."""
        if not self._policy_asked:
            self._policy_asked = True
            read = self.facts.services.policies.read
            ask(self, lambda _: read(self.key_arn), self._keep_policy, group="policy")
        if (register := self.facts.services.copy_register) is not None:
            ask(self, lambda _: register.needing(self.key_arn), self._keep_copies, group="copies")
        if self._asked_use is None or not self._asked_use.waiting:
            services, now = self.facts.services, self.facts.clock()
            self._asked_use = ask(
                self,
                lambda cancelled: recent_use(services, self.key_arn, now, cancelled),
                self._keep_use,
                group="use",
            )
        super().ask_anew()

    def on_unmount(self) -> None:
        """Nobody waits any more for the events to be counted."""
        if self._asked_use is not None:
            self._asked_use.drop()

    def _keep_use(self, answer: KeyUseSummary | Trouble | None) -> None:
        """Show how the key was used; trouble with the store is for the page about its use to tell."""
        if isinstance(answer, KeyUseSummary) and answer != self._use:
            self._use = answer
            if self.is_mounted:
                self.show_facts()

    def _keep_copies(self, answer: NeedingCopies | Trouble) -> None:
        """Show which registered copies need the key."""
        copies = NeedingCopies(unknown=answer.message) if isinstance(answer, Trouble) else answer
        if copies != self._copies:
            self._copies = copies
            if self.is_mounted:
                self.show_facts()

    def _keep_policy(self, answer: KeyPolicy | Trouble) -> None:
        """Keep who may use the key; after a failure the earlier answer stays."""
        self._policy_asked = False
        if not (isinstance(answer, Trouble) and isinstance(self._policy, KeyPolicy)):
            self._policy = answer
        if self.is_mounted:
            self.show_facts()

    def lines(self, answer: KeyState, width: int) -> Iterable[Line]:
        """Return the key, its materials over time, who may use it, and what is wrong with it."""
        status, now = self.facts.status.value, self.facts.clock()
        return (
            *fact_lines(answer, status, now, width),
            *((day_line(self._use, self.key_arn, now),) if self._use is not None else ()),
            *self._picture(answer, status, now, width),
            BLANK,
            *material_lines(answer, status, now, width),
            BLANK,
            *self._used_by(width),
            *self._may_use(width),
            *finding_lines(answer, self.facts.posture.value, width),
            *copy_lines(self._copies, width),
            *missing_lines(answer, width),
        )

    def _picture(self, key: KeyState, status: Status | None, now: datetime, width: int) -> Sequence[Line]:
        """The materials over time."""
        picture = timeline(key, status, now, width - NAME_CELLS)
        names = ("", "material", "tokens", "since")
        lines = [
            line((fit(name, NAME_CELLS), "$muted"), content)
            for name, content in zip(names, picture, strict=False)
        ]
        return [BLANK, *lines] if lines else []

    def _used_by(self, width: int) -> Iterable[Line]:
        """Whose calls the store has of the last days."""
        return principal_lines(self._use, self.key_arn, width, self.facts) if self._use is not None else ()

    def _may_use(self, width: int) -> Sequence[Line]:
        """Who may use the key, and the way to its policy."""
        match self._policy:
            case KeyPolicy():
                return access_lines(self._policy, width, MOST_ACCESSES)
            case Trouble(message=message, remedy=remedy):
                words, style = f"not known: {message} {remedy}".strip(), "$warning"
            case _:
                words, style = "asking KMS…", "$muted"
        return [fact("may use", words, width, style=style)]
