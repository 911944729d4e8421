"""The console as a child process behind a websocket; it never outlives its page."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from console.browser.gate import report
from console.host.children import import_path
from console.printed.output import say

GRACE = 5.0
"""Seconds that a console has to end by itself before it is killed."""

_READY = b"__GANGLION__\n"
_PACKET = struct.Struct(">cI")
_STDERR = 4000
_LAST_WORDS = 1.0


def console_command(*, read_only: bool) -> list[str]:
    """Return the command line of the child; it names no secret."""
    # -P: what lies in the working directory is not imported.
    command = [sys.executable, "-P", "-m", "console.browser.child"]
    return [*command, "--read-only"] if read_only else command


def child_environment(user: str = "") -> dict[str, str]:
    """Return what the child finds besides our environment: its driver, this package's place, who uses it."""
    path = import_path(os.environ.get("PYTHONPATH"))
    driver = "console.browser.driver:PageDriver"
    return {"TEXTUAL_DRIVER": driver, "PYTHONPATH": path, "KEYDECK_BROWSER_USER": user or "somebody"}


class ConsoleProcess(AppService):
    """One console behind one websocket, in a process group of its own, so that its workers end with it."""

    def __init__(
        self,
        command: Sequence[str],
        socket: web.WebSocketResponse,
        downloads: DownloadManager,
        *,
        user: str = "",
    ) -> None:
        super().__init__(
            "",
            write_bytes=_tolerant(socket.send_bytes),
            write_str=_tolerant(socket.send_str),
            close=socket.close,  # type: ignore[arg-type]  # it returns a bool that nobody reads
            download_manager=downloads,
        )
        self._command = list(command)
        self._user = user

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._build_environment(width, height) | child_environment(self._user),
            start_new_session=True,
        )
        self._stdin = self._process.stdin
        return self._process

    async def run(self) -> None:
        """Carry what the console paints to the page until either ends; then close the websocket."""
        process = self._process
        if process is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("run is for start to call")
        said = asyncio.create_task(_tail(process.stderr))
        try:
            await self._carry(process.stdout)
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except Exception as error:  # noqa: BLE001  # what the console sent is not the protocol: it ends
            report(error)
        await self.remote_close()
        while await process.stdout.read(65536):  # a full pipe would keep the process from ending
            pass
        for line in (await said).splitlines():
            say(line)

    async def _carry(self, stdout: asyncio.StreamReader) -> None:
        if await stdout.readline() != _READY:
            return
        takers = {b"D": self.on_data, b"M": self.on_meta, b"P": self.on_packed}
        while True:
            kind, size = _PACKET.unpack(await stdout.readexactly(_PACKET.size))
            await takers[kind](await stdout.readexactly(size))

    async def on_meta(self, data: bytes) -> None:
        """Act on what the console asks of the browser; opening other sites is not among it."""
        if json.loads(data)["type"] != "open_url":
            await super().on_meta(data)

    async def stop(self) -> None:
        """Ask the console to end, make it after GRACE seconds, and wait until it has."""
        process, task = self._process, self._task
        if process is None or task is None:
            return
        await self._download_manager.cancel_app_downloads(self.app_service_id)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await self.send_meta({"type": "quit"})
                await asyncio.wait({task})
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.wait({task}, timeout=_LAST_WORDS)
        task.cancel()
        await asyncio.wait({task})
        await process.wait()
        self._task = None


def _tolerant(send: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """What is painted for a page that has gone is dropped, while the console is asked to end."""

    async def sent(data: bytes | str) -> None:
        with suppress(ConnectionError, RuntimeError):
            await send(data)

    return sent


async def _tail(stderr: asyncio.StreamReader) -> str:
    """Return the end of a console's stderr, once it has ended."""
    said = b""
    while read := await stderr.read(4096):
        said = (said + read)[-_STDERR:]
    return said.decode("utf-8", "replace")
