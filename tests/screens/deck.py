"""The console over a stage, driven as an operator would: keys in, text out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from textual.pilot import Pilot
from textual.widgets import Static
from textual.worker import Worker

from console.app import KeydeckApp
from tests.screens.samples import NOW
from tests.screens.stage import Stage

SMALL = (80, 24)
LARGE = (120, 40)


@dataclass
class Deck:
    """A running console."""

    app: KeydeckApp
    pilot: Pilot[None]
    stage: Stage

    async def press(self, *keys: str) -> None:
        """Press keys one by one, each after what the one before set off has come to rest."""
        for key in keys:
            await self.pilot.press(key)
            await self.settle()

    async def type(self, text: str) -> None:
        """Type a text into the field that has the focus."""
        await self.pilot.press(*("space" if c == " " else c for c in text))
        await self.settle()

    async def settle(self) -> None:
        """Wait until no call is under way but those that the stage holds up."""
        for _ in range(200):
            await self.pilot.pause()
            busy = [worker for worker in self.app.workers if _blocking(worker)]
            if len(busy) <= self.stage.waiting:
                await self.pilot.pause()
                return
            await asyncio.wait([w._task for w in busy if w._task is not None], timeout=0.05)
        raise AssertionError("the screen never came to rest")

    def lines(self) -> list[str]:
        """What the terminal shows, line by line."""
        return ["".join(s.text for s in strip) for strip in self.app.screen._compositor.render_strips()]

    def text(self) -> str:
        """What the terminal shows."""
        return "\n".join(self.lines())

    def says(self) -> str:
        """What the texts of the screen or dialog on top say, however they are wrapped."""
        return "\n".join(str(text.content) for text in self.app.screen.query(Static))

    def line_with(self, text: str) -> str:
        """The first line that contains a text."""
        found = next((line for line in self.lines() if text in line), None)
        assert found is not None, f"{text!r} is not on the screen:\n{self.text()}"
        return found

    def cursor_line(self) -> str:
        """The line under the cursor."""
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
) -> AsyncIterator[Deck]:
    """The console on a stage, at rest on its first screen. Held calls are let go in the end."""
    stage = stage or Stage()
    app = KeydeckApp(stage.services(), start_screen=start, clock=lambda: NOW)
    app.theme = theme
    try:
        async with app.run_test(size=size, notifications=True) as pilot:
            running = Deck(app, pilot, stage)
            await running.settle()
            yield running
    finally:
        for gate in stage.gates.values():
            gate.set()
