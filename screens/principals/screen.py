"""A principal's blast radius: the tokens that it opened, and apart from them what it could have opened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import work

from crypto_core.cancelling import Cancellation
from crypto_core.text.cleaning import clean
from crypto_core.trail.use.blast_radius import BlastRadius
from screens.actions.action import Action, ActionScope
from screens.facts import Facts
from screens.key_changes.block_actor import BlockActor
from screens.key_changes.block_lines import Named, blocks_of
from screens.principals.principal_lines import principal_lines
from screens.use.lines import who
from screens.use.use_screen import UseScreen
from screens.widgets.line_list import Line


class PrincipalScreen(BlockActor, UseScreen[BlastRadius]):
    """Facts are the tokens that records name. Possible ones are counted by key material, "at most"."""

    NAME = "principal"
    EVERY = 300.0
    ACTS: ClassVar[tuple[ActionScope, ...]] = (ActionScope.PRINCIPAL, ActionScope.BLOCKING)
    ASKING = "Counting what it opened, and the tokens that it could have opened…"

    def __init__(self, facts: Facts, arn: str) -> None:
        super().__init__(facts)
        self._arn = arn

    @property
    def crumb(self) -> tuple[str, str]:
        return "Principal", who(clean(self._arn))

    @property
    def named(self) -> Named:
        """The principal; its keys are those that it used."""
        return Named((self._arn,))

    def ask_for(self, cancelled: Cancellation) -> BlastRadius:
        return self.facts.services.event_use.blast_radius(self._arn, cancelled=cancelled)

    def lines(self, answer: BlastRadius, width: int) -> Iterable[Line]:
        return principal_lines(answer, blocks_of(self.facts, (self._arn,)), width, self.facts)

    def possible(self, action: Action) -> bool | None:
        """Before its events are counted it is not known since when."""
        possible = super().possible(action)
        return (
            None if possible and action.scope is ActionScope.PRINCIPAL and self.answer is None else possible
        )

    @work(exclusive=True, group="write")
    async def do_incident(self) -> None:
        from screens.incidents.about import about_principal
        from screens.incidents.beginning import begin_incident

        if self.answer is not None:
            await begin_incident(self, about_principal(clean(self._arn, 700), self.answer.first))

    @property
    def shown_besides(self) -> object:
        """Who is blocked is on the page, too."""
        return self.facts.blocks.value
