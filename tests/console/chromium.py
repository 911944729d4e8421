"""A headless Chromium, driven over the DevTools protocol: https://chromedevtools.github.io/devtools-protocol/."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # containers have no user namespaces to build it from
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--window-size=1280,800",
)


@cache
def chromium() -> str | None:
    """Return the path of the system's Chromium, if there is one that starts."""
    found = (path for path in map(shutil.which, NAMES) if path)
    return next((path for path in found if _starts(path)), None)


def _starts(path: str) -> bool:
    # Some systems have a script by that name that only says where to get one.
    return subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0


class Tab:
    """One page. Remembers every address that it asked for and every byte that its websockets brought."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self.requested: list[str] = []
        self.received = b""
        self.complaints: list[str] = []

    async def ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        return await asyncio.wait_for(answer, 20)

    async def listen(self) -> None:
        """Take in answers and events until the browser ends."""
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                answer = self._answers.pop(said["id"])
                if not answer.done():
                    answer.set_result(said.get("result", said.get("error")))
                continue
            event = said["params"]
            match said["method"]:
                case "Network.requestWillBeSent":
                    self.requested.append(event["request"]["url"])
                case "Network.webSocketCreated":
                    self.requested.append(event["url"])
                case "Network.webSocketFrameReceived" if event["response"]["opcode"] == 2:
                    self.received += base64.b64decode(event["response"]["payloadData"])
                case "Log.entryAdded" if event["entry"]["level"] == "error":
                    self.complaints.append(event["entry"]["text"])
                case "Runtime.exceptionThrown":
                    self.complaints.append(str(event["exceptionDetails"]))

    async def open(self, url: str) -> None:
        await self.ask("Page.navigate", url=url)

    async def evaluate(self, script: str) -> Any:
        """Return what a script in the page evaluates to; it runs as if the operator had clicked.

        None where the page is left meanwhile.
        """
        answer = await self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        return answer.get("result", {}).get("value")

    async def press(self, key: str) -> None:
        await self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def picture(self) -> bytes:
        return base64.b64decode((await self.ask("Page.captureScreenshot"))["data"])

    async def until(self, holds: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for something to hold. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.05)


@asynccontextmanager
async def opened_tab(path: str, profile: Path) -> AsyncIterator[Tab]:
    """Start Chromium with a profile of its own and give its one tab."""
    with (profile / "log").open("wb") as log:
        process = subprocess.Popen(
            [path, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        async with aiohttp.ClientSession() as session:
            socket_url = await _socket_url(session, profile / "DevToolsActivePort")
            async with session.ws_connect(socket_url, max_msg_size=0) as socket:
                tab = Tab(socket)
                listening = asyncio.create_task(tab.listen())
                for domain in ("Network", "Page", "Runtime", "Log"):
                    await tab.ask(f"{domain}.enable")
                yield tab
                listening.cancel()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _socket_url(session: aiohttp.ClientSession, port_file: Path) -> str:
    async with asyncio.timeout(60):
        while not (port_file.exists() and (lines := port_file.read_text().splitlines())):
            await asyncio.sleep(0.05)
        while True:
            async with session.get(f"http://127.0.0.1:{lines[0]}/json/list") as answer:
                pages = [page for page in await answer.json() if page["type"] == "page"]
            if pages:
                return str(pages[0]["webSocketDebuggerUrl"])
            await asyncio.sleep(0.05)
