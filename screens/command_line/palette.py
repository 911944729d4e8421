"""The palette: every action that can be done here, found by any part of its words."""

from __future__ import annotations

from functools import partial
from typing import Any

from textual.command import DiscoveryHit, Hit, Hits, Provider

from screens.actions.action import Action
from screens.actions.performing import Actor, perform, within_reach


class ActionProvider(Provider):
    """Offers the actions of the screen that the palette was opened on."""

    async def discover(self) -> Hits:
        for actor, action in self._actions():
            yield DiscoveryHit(_title(action), self._doing(actor, action), help=action.explanation)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for actor, action in self._actions():
            text = f"{_title(action)}  {action.explanation}"
            score = matcher.match(text)
            if query.strip().lower() in (f":{action.name}", action.title):
                # What is named in full is meant, not what begins alike.
                score *= 2
            if score > 0:
                yield Hit(
                    score,
                    matcher.highlight(_title(action)),
                    self._doing(actor, action),
                    text=text,
                    help=action.explanation,
                )

    def _actions(self) -> list[tuple[Actor, Action]]:
        return [
            (actor, action)
            for actor, action in within_reach(self.screen)
            if actor.possible(action) and action.scope.value != "list"
        ]

    def _doing(self, actor: Actor, action: Action) -> Any:
        return partial(perform, actor, action)


def _title(action: Action) -> str:
    return f"{action.title}  (:{action.name})"
