"""Navigation between screens: modes side by side, the screens opened from a line on top, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from textual.app import App
from textual.screen import Screen

from screens.main_screen import MainScreen

DEEPEST = 12
"""How many screens may lie on top of one another."""


@dataclass(frozen=True, slots=True)
class NavigationPlace:
    """Where the operator is: a mode, and the screens on top of its first one."""

    mode: str
    above: tuple[MainScreen, ...] = ()


class Navigation:
    """Moves about in one app.

    A screen that is left by the way back is kept until the next but one move, so that going there again finds
    its cursor, filter and order as they were.
    """

    def __init__(self, app: App[Any], modes: Mapping[str, Callable[[], MainScreen]]) -> None:
        self._app = app
        self._modes = modes
        self._last: NavigationPlace | None = None
        self._kept: tuple[MainScreen, ...] = ()
        for mode, screen in modes.items():
            app.add_mode(mode, cast("Callable[[], Screen[Any]]", screen))

    @property
    def here(self) -> NavigationPlace:
        above = tuple(s for s in self._app.screen_stack[1:] if isinstance(s, MainScreen))
        return NavigationPlace(self._app.current_mode, above)

    async def start(self, mode: str) -> None:
        await self._app.switch_mode(mode)

    async def go(self, mode: str) -> None:
        """Go to a mode where it was left; if that is here already, to its first screen."""
        left = self.here
        if mode == left.mode:
            await self._ascend_to(0)
        else:
            await self._app.switch_mode(mode)
        self._moved(left)

    async def deeper(self, screen: MainScreen) -> bool:
        """Open a screen on top of this one; returns False if too many are open already."""
        left = self.here
        if len(left.above) >= DEEPEST:
            return False
        await self._app.push_screen(screen)
        self._moved(left)
        return True

    async def back(self) -> bool:
        """Back to the screen below; returns False on the first one of a mode."""
        left = self.here
        if not left.above:
            return False
        await self._ascend_to(len(left.above) - 1)
        self._moved(left)
        return True

    async def ascend(self, depth: int) -> None:
        """Back to the screen at that depth, 0 being the mode's first one."""
        left = self.here
        await self._ascend_to(depth)
        self._moved(left)

    async def previous(self) -> bool:
        """To the place before this one; returns False if there was none."""
        to, left = self._last, self.here
        if to is None or to == left:
            return False
        if to.mode != left.mode:
            await self._app.switch_mode(to.mode)
        common = 0
        for mine, theirs in zip(self.here.above, to.above, strict=False):
            if mine is not theirs:
                break
            common += 1
        await self._ascend_to(common)
        for screen in to.above[common:]:
            await self._app.push_screen(screen)
        self._moved(left)
        return True

    async def start_over(self) -> None:
        """Leave everything that was looked at: it is about another place now."""
        await self._ascend_to(0)
        here = self._app.current_mode
        for mode, screen in self._modes.items():
            if mode != here:
                await self._app.remove_mode(mode)
                self._app.add_mode(mode, cast("Callable[[], Screen[Any]]", screen))
        self._last = None
        self._keep(())

    async def _ascend_to(self, depth: int) -> None:
        """Take screens off. They are kept, for the next move may lead to them."""
        leaving = self.here.above[depth:]
        for screen in leaving:
            if not self._app.is_screen_installed(screen):
                self._app.install_screen(screen, f"kept-{id(screen)}")
        for _ in leaving:
            await self._app.pop_screen()

    def _moved(self, left: NavigationPlace) -> None:
        if left == self.here:
            return
        self._last = left
        self._keep(left.above)

    def _keep(self, screens: tuple[MainScreen, ...]) -> None:
        """Keep these screens, and let go of others that nothing shows any more."""
        gone = [s for s in self._kept if s not in screens and s not in self.here.above]
        self._kept = tuple(dict.fromkeys((*screens, *(s for s in self._kept if s in self.here.above))))
        for screen in gone:
            if self._app.is_screen_installed(screen):
                self._app.uninstall_screen(screen)
                screen.remove()
