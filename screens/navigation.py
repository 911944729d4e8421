"""Navigation between screens: modes side by side, the screens opened from a line on top, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from textual.app import App
from textual.screen import Screen

from screens.main_screen import MainScreen

DEEPEST = 12
"""How many screens may lie on top of one another."""


class Navigation:
    """Moves about in one app: each mode is found as it was left."""

    def __init__(self, app: App[Any], modes: Mapping[str, Callable[[], MainScreen]]) -> None:
        self._app = app
        self._modes = modes
        for mode, screen in modes.items():
            app.add_mode(mode, cast("Callable[[], Screen[Any]]", screen))

    @property
    def above(self) -> int:
        """How many screens lie on the mode's first one, without dialogs."""
        return sum(isinstance(screen, MainScreen) for screen in self._app.screen_stack[1:])

    async def start(self, mode: str) -> None:
        await self._app.switch_mode(mode)

    async def go(self, mode: str) -> None:
        """Go to a mode where it was left; if that is here already, to its first screen."""
        if mode == self._app.current_mode:
            self.ascend(0)
        else:
            await self._app.switch_mode(mode)

    async def deeper(self, screen: MainScreen) -> bool:
        """Open a screen on top of this one; returns False if too many are open already."""
        if self.above >= DEEPEST:
            return False
        await self._app.push_screen(screen)
        return True

    def back(self) -> bool:
        """Back to the screen below; returns False on the first one of a mode."""
        if not self.above:
            return False
        self.ascend(self.above - 1)
        return True

    def ascend(self, depth: int) -> None:
        """Back to the screen at that depth, 0 being the mode's first one.

        Nobody waits here until a screen is gone: it may be one of its own handlers that leads away from it.
        """
        while self.above > depth or not isinstance(self._app.screen, MainScreen):
            self._app.screen.dismiss()

    async def start_over(self) -> None:
        """Leave everything that was looked at: it is about another place now."""
        self.ascend(0)
        here = self._app.current_mode
        for mode, screen in self._modes.items():
            if mode != here:
                await self._app.remove_mode(mode)
                self._app.add_mode(mode, cast("Callable[[], Screen[Any]]", screen))
