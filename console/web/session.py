"""The one console that a server runs, and what its page may say to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import WSMsgType, web

from console.printed.printing import say
from console.web.process import ConsoleProcess

MESSAGE_BYTES = 256 * 1024
"""A longer message ends the websocket; the longest are pastes."""

STALLED = 10.0
"""Seconds after which a console that takes nothing in is given up."""

_CELLS = 500
_PING = 64


class Seat:
    """Room for one console: whoever comes later, such as a page loaded anew, takes it over."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._taken: ConsoleProcess | None = None

    @asynccontextmanager
    async def taken(self, process: ConsoleProcess, width: int, height: int) -> AsyncIterator[None]:
        """Run the console within the block, after the former one has ended."""
        async with self._turn:
            await self._end()
            self._taken = process
            await process.start(width, height)
        try:
            yield
        finally:
            async with self._turn:
                await process.stop()

    async def leave(self) -> None:
        """End the console that runs, if any."""
        async with self._turn:
            await self._end()

    async def _end(self) -> None:
        if self._taken is not None:
            await self._taken.stop()
            self._taken = None


def clamped(cells: object, default: int) -> int:
    """Return a width or height that a window may have."""
    try:
        return min(max(int(str(cells)), 1), _CELLS)
    except ValueError:
        return default


async def relay(socket: web.WebSocketResponse, process: ConsoleProcess) -> None:
    """Carry what the page says to the console until the websocket closes, or the console takes nothing in."""
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            continue
        try:
            said = json.loads(message.data)
        except (ValueError, RecursionError):
            continue
        try:
            async with asyncio.timeout(STALLED):
                await _act(said, socket, process)
        except TimeoutError:
            say(f"The console did not respond for {STALLED:g} seconds and was stopped.")
            return


async def _act(said: object, socket: web.WebSocketResponse, process: ConsoleProcess) -> None:
    """Pass one message on; what isn't understood is dropped."""
    match said:
        case ["stdin", str(text)]:
            await process.send_bytes(text.encode("utf-8", "replace"))
        case ["resize", {"width": width, "height": height}]:
            await process.set_terminal_size(clamped(width, 80), clamped(height, 24))
        case ["ping", str(stamp)]:
            await socket.send_json(["pong", stamp[:_PING]])
        case ["focus"]:
            await process.focus()
        case ["blur"]:
            await process.blur()
