"""The console over a stage, driven as an operator would: keys in, text out."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from textual.events import Key
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import Worker

from console.application.app import KeydeckApp
from screens.connections import detail
from screens.connections.detail import TokenDetail
from screens.facts import ScreenFacts
from screens.main_screen import MainScreen
from screens.widgets.dialog import Dialog
from screens.widgets.header import Header
from screens.widgets.table.pane import TablePane
from screens.widgets.table.table import Table
from tests.screens.at_rest import wait_for_rest
from tests.screens.parsed_css import keep_parsed_css
from tests.screens.samples import NOW
from tests.screens.stage import Stage

wait_for_rest()
keep_parsed_css()

SMALL = (80, 24)
LARGE = (120, 40)
BOTH = pytest.mark.parametrize(
    "size",
    [pytest.param(SMALL, id="small"), pytest.param(LARGE, id="large", marks=pytest.mark.deep)],
)
"""The smaller terminal, where room is short, and in the deep lane the larger one."""

QUICK_REST = 0.02
"""Seconds that the cursor rests here before an envelope is read: nobody holds a key down."""
MOST_SECONDS = 120
"""How long anything may take on a machine that is busy with something else."""


def drawn(screen: Screen[Any], kind: type, has: str = "") -> bool:
    """Whether a dialog is to be seen: what is pressed before that agrees to nothing."""
    there = isinstance(screen, kind) and (not has or bool(screen.query(has)))
    return there and (not isinstance(screen, Dialog) or screen._drawn_at < math.inf)


@dataclass
class MovableClock:
    """The time that the console is told: it stands still unless a test lets it pass."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Deck:
    app: KeydeckApp
    pilot: Pilot[None]
    stage: Stage
    clock: MovableClock = field(default_factory=MovableClock)

    @property
    def facts(self) -> ScreenFacts:
        return self.app.facts

    @property
    def pane(self) -> TablePane[Any]:
        return self.app.screen.query_one(TablePane)

    @property
    def table(self) -> Table[Any]:
        return self.pane.table

    def toasts(self) -> list[str]:
        return [notification.message for notification in self.app._notifications]

    async def command(self, text: str) -> None:
        await self.press("colon")
        await self.type(text)
        await self.press("enter")

    async def filter(self, expression: str) -> None:
        await self.press("slash")
        await self.pilot.press("ctrl+u")
        await self.type(expression)
        await self.press("enter")

    async def press(self, *keys: str) -> None:
        """Press keys one by one, each after what the one before set off has come to rest."""
        for key in keys:
            await self.pilot.press(key)
            await self.settle()

    async def type(self, text: str) -> None:
        """Type a text into the field that has the focus, faster than the screen is painted."""
        driver = self.app._driver
        assert driver is not None
        for character in text:
            event = Key(_character_to_key(character), character)
            event.set_sender(self.app)
            driver.send_message(event)
        await self.settle()

    async def settle(self) -> None:
        """Wait until no call is under way but those that the stage holds up, and their answers are shown."""
        quiet = 0
        async with asyncio.timeout(MOST_SECONDS):
            while quiet < 2:
                await self.pilot.pause()
                busy = [worker for worker in self.app.workers if _blocking(worker)]
                if any(shown.read_soon for shown in self.app.screen.query(TokenDetail)):
                    quiet = 0
                    await asyncio.sleep(QUICK_REST / 4)
                elif getattr(
                    self.app, "_resize_timer", None
                ):  # the last of several sizes is taken a bit later
                    quiet = 0
                elif len(busy) > self.stage.waiting:
                    quiet = 0
                    await asyncio.wait([w._task for w in busy if w._task is not None], timeout=0.05)
                else:
                    quiet += 1

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(MOST_SECONDS):
            while not true():
                await asyncio.sleep(0.01)
                await self.pilot.pause()
        await self.settle()

    async def tick(self, seconds: float) -> None:
        """Let time pass on the console's clock, and let the screen notice it."""
        self.clock.pass_(seconds)
        screen = self.app.screen
        if isinstance(screen, MainScreen):
            screen._tick()
            screen.query_one(Header).show()
        await self.settle()

    def lines(self) -> list[str]:
        return ["".join(s.text for s in strip) for strip in self.app.screen._compositor.render_strips()]

    def text(self) -> str:
        return "\n".join(self.lines())

    def says(self) -> str:
        """What the texts of the screen or dialog on top say, however they are wrapped."""
        return "\n".join(str(text.content) for text in self.app.screen.query(Static))

    def line_with(self, text: str) -> str:
        found = next((line for line in self.lines() if text in line), None)
        assert found is not None, f"{text!r} is not on the screen:\n{self.text()}"
        return found

    def cursor_line(self) -> str:
        return next(line for line in self.lines() if line.lstrip().startswith("›"))


def _blocking(worker: Worker[object]) -> bool:
    """True for a worker that makes a call; the one that leads through a write waits for the operator."""
    return worker.group != "write" and not worker.is_finished


@asynccontextmanager
async def deck(
    stage: Stage | None = None,
    *,
    start: str = "status",
    size: tuple[int, int] = SMALL,
    theme: str = "keydeck-dark",
    **more: Any,
) -> AsyncIterator[Deck]:
    """The console on a stage, at rest on its first screen. Held calls are let go in the end.

    `more` goes to the app: memory, log, keys, intervals.
    """
    stage = stage or Stage()
    clock = MovableClock()
    rest = detail.REST_SECONDS
    detail.REST_SECONDS = QUICK_REST
    app = KeydeckApp(stage.services(), start_screen=start, clock=clock, **more)
    app.theme = theme
    # On a busy machine an answer takes its time, and is then asked for less often.
    app.facts.timer = lambda: clock().timestamp()
    try:
        async with app.run_test(size=size, notifications=True) as pilot:
            running = Deck(app, pilot, stage, clock)
            await running.until(lambda: "surroundings" in app.facts._asked)
            yield running
    finally:
        detail.REST_SECONDS = rest
        for gate in stage.gates.values():
            gate.set()
