"""When a console has come to rest: no task of its event loop can run, and none is about to.

Textual's own test waits until the process computes little, at least 20 ms. That takes most of a test's time,
and on a busy machine, where the process computes little because others do, it ends too early.
"""

from __future__ import annotations

import asyncio
from typing import Any

import textual.app
import textual.pilot

SOON = 0.03
"""Seconds ahead in which a timer that is due is waited for, such as the one that paints what has changed."""


async def at_rest(_least: float = 0, most: float = 1.0) -> None:
    """Return when nothing is left to do but to wait; after `most` seconds in any case."""
    loop: Any = asyncio.get_running_loop()
    end = loop.time() + most
    while loop.time() < end:
        await asyncio.sleep(0)
        if loop._ready:
            continue
        due = [timer.when() for timer in loop._scheduled if not timer.cancelled()]
        pause = min(due, default=end) - loop.time()
        if pause > SOON:
            return
        await asyncio.sleep(max(pause, 0))


def wait_for_rest() -> None:
    textual.app.wait_for_idle = textual.pilot.wait_for_idle = at_rest  # type: ignore[attr-defined]
