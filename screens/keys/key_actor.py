"""What can be done to one key, alike on the list of keys and on a key's own page."""

from __future__ import annotations

from typing import ClassVar

from screens.actions.action import Action, Scope
from screens.main_screen import MainScreen
from screens.routes import Followed, PolicyBehind


class KeyActor(MainScreen):
    """A screen that has a key in hand, or none yet."""

    ACTS: ClassVar[tuple[Scope, ...]] = (Scope.KEY,)

    @property
    def key_in_hand(self) -> str | None:
        """The ARN of the key that actions are about."""
        raise NotImplementedError

    def possible(self, action: Action) -> bool | None:
        """Without a key nothing can be done to one."""
        if action.scope is Scope.KEY and self.key_in_hand is None:
            return None
        return super().possible(action)

    def do_policy(self) -> None:
        """To who may do what with the key."""
        if self.key_in_hand is not None:
            self.post_message(Followed(PolicyBehind(self.key_in_hand)))
