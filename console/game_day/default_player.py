"""Somebody who has never seen the console: accepts every default, and types what a confirmation demands.

Declares an incident from the first finding in the list, and does what the runbook says. Of the scenario it
knows what the briefing tells: the key in question, and which runbook fits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from console.game_day.measures import Measures
from console.game_day.responder import Player, noticed
from console.game_day.runbook_work import RunbookWork
from crypto_core.errors import KeydeckError
from crypto_core.incidents.model import IncidentScope, StepView
from crypto_core.incidents.runbooks.catalogue import SubjectKind
from crypto_core.incidents.runbooks.runbook import Runbook
from crypto_core.references import TokenRef, parse_reference
from crypto_core.text.cleaning import clean
from screens.incidents.about import About, about_finding
from screens.signs import SIGNS

if TYPE_CHECKING:
    from console.game_day.game import Game
    from console.game_day.platform_part import PlatformPart

_DECLARES_KEY = "key-incident"
"""The step that says to declare an incident of the key."""
_KEY_COMPROMISE = "key-compromise"


class DefaultWork(RunbookWork):
    """Works through runbooks by their defaults."""

    def __init__(
        self,
        game: Game,
        measures: Measures,
        platform: PlatformPart,
        tell: Callable[[str], None],
        about: About,
    ) -> None:
        super().__init__(game, measures, platform, tell, answers=())
        self._about = about

    def scope(self, runbook: Runbook) -> IncidentScope:
        """What the dialog fills in from the finding; where that names no key, the briefing's."""
        scope = self._about.scope(runbook.subject)
        if runbook.subject is SubjectKind.KEY and not scope.key:
            return IncidentScope(
                key=self._game.sandbox.world.current_key.arn,
                since=scope.since,
                origin=scope.origin,
                principal=scope.principal,
            )
        if runbook.subject is SubjectKind.TOKENS and not (scope.references or scope.filter):
            # What whom the finding names may have opened can't be told for v1: every token is in scope.
            return IncidentScope(
                filter="reference:*", since=scope.since, origin=scope.origin, principal=scope.principal
            )
        return scope

    def by_hand(self, number: int) -> None:
        """Let the owners of the tokens in scope revoke them at their providers."""
        scope = self._at_work.show(number).incident.scope
        refs = [ref for ref in map(parse_reference, scope.references) if isinstance(ref, TokenRef)]
        self._platform.revoke_as_owners(refs)

    def before_finishing(self, number: int, view: StepView) -> None:
        """Do what the runbook tells to do elsewhere: declare an incident of the key, and work through it."""
        incidents = self._at_work
        if view.step.id != _DECLARES_KEY:
            return
        runbook = next((one for one in incidents.runbooks() if one.id == _KEY_COMPROMISE), None)
        if runbook is None:
            return
        name = incidents.show(number).incident.name
        key = incidents.declare(runbook.id, self.scope(runbook), f"Comes from {name}")
        self._tell(f"Declared {incidents.show(key).incident.name} by the runbook {clean(runbook.title)}.")
        self.work(key)


class DefaultPlayer(Player):
    """Takes the console's defaults: the first finding, the first runbook, what dialogs fill in."""

    def _respond(self) -> None:
        first = self._first_finding()
        work = DefaultWork(self._game, self._measures, self._platform, self._tell, first)
        incident = work.declare()
        if incident is not None:
            work.work(incident)

    def _first_finding(self) -> About:
        """What the first finding in the list is about; nothing where there is none."""
        try:
            found = noticed(self._game, self._measures.container, self._tell)
        except KeydeckError as error:
            self._tell(f"The events could not be fetched: {error}")
            return About()
        if not found:
            return About()
        self._tell(f"{SIGNS[found[0].severity].text} {found[0].severity.value:8} {found[0].title}")
        return about_finding(found[0])
