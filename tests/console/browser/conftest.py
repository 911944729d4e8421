"""A site in this process with a stand-in for the console, and the real command as a process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import aiohttp
import psutil
import pytest
from aiohttp import web

from console.browser import driver
from console.browser.admission import Admission
from console.browser.gate import RequestGate
from console.browser.site import Site, listen
from console.server_addresses import addresses

_STAND_IN = """
import json, os, struct
def say(kind, data): os.write(1, struct.pack(">cI", kind, len(data)) + data)
def hear(size):
    data = b""
    while len(data) < size:
        data += os.read(0, size - len(data)) or os._exit(0)
    return data
os.write(1, b"__GANGLION__\\n")
say(b"D", b"pid %d." % os.getpid())
while True:
    kind, size = struct.unpack(">cI", hear(5))
    data = hear(size)
    said = json.loads(data) if kind == b"M" else {}
    if said.get("type") == "quit":
        os._exit(0)
    say(b"D", data)
    if data == b"deliver":
        start = {"key": "K1", "path": "/etc/../a b;é.csv", "open_method": "browser", "encoding": ""}
        say(b"M", json.dumps({"type": "deliver_file_start", "mime_type": "text/html", **start}).encode())
    if data == b"open":
        say(b"M", json.dumps({"type": "open_url", "url": "https://elsewhere.example"}).encode())
    if said.get("type") == "deliver_chunk_request":
        chunk = b"" if os.environ.pop("DELIVERED", None) else b"<b>content</b>"
        os.environ["DELIVERED"] = "1"
        say(b"P", b"ts13:deliver_chunks2:K1%d:%se" % (len(chunk), chunk))
"""

STAND_IN = [sys.executable, "-c", _STAND_IN]
"""A console that answers every packet with the same bytes."""


@dataclass
class Running:
    """A site, as a browser that was let in sees it."""

    url: str
    admission: Admission
    client: aiohttp.ClientSession
    locked: list[bool] = field(default_factory=list)
    page_key: str = ""

    async def enter(self) -> None:
        self.page_key = await entered(self.client, f"{self.url}/?token={self.admission.token}")

    def socket(self, query: str = "") -> aiohttp.client._WSRequestContextManager:
        return page_socket(self.client, self.url, self.page_key, query)


async def entered(client: aiohttp.ClientSession, address: str) -> str:
    """Open the printed address; the client keeps the cookie. Returns the page key, as the page has it."""
    async with client.get(address) as answer:
        assert (answer.status, answer.url.path, answer.url.query_string) == (200, "/", "")
        return answer.history[0].headers["Location"].partition("#")[2]


def page_socket(
    client: aiohttp.ClientSession, url: str, page_key: str, query: str = ""
) -> aiohttp.client._WSRequestContextManager:
    return client.ws_connect(f"{url}/ws{query}", origin=url, protocols=("keydeck", page_key))


Serving = Callable[..., Awaitable[Running]]


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    """Start sites; each ends with the test."""
    async with AsyncExitStack() as stack:

        async def start(
            command: list[str] = STAND_IN, public_url: str | None = None, identity_header: str = ""
        ) -> Running:
            listening = stack.enter_context(listen("127.0.0.1", 0))
            where = addresses("127.0.0.1", listening.getsockname()[1], public_url)
            admission, locked = Admission(), []
            gate = RequestGate(where, admission, lambda: locked.append(True), identity_header=identity_header)
            runner = web.AppRunner(Site(gate, command).application(), access_log=None, shutdown_timeout=1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, listening).start()
            client = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
            await stack.enter_async_context(client)
            return Running(f"http://127.0.0.1:{listening.getsockname()[1]}", admission, client, locked)

        yield start


@pytest.fixture
async def site(serving: Serving) -> Running:
    """A site that nobody has entered yet."""
    return await serving()


@dataclass
class Command:
    """`keydeck serve` as a process; `address` is what it printed."""

    process: asyncio.subprocess.Process
    address: str
    url: str

    def consoles(self) -> list[psutil.Process]:
        found = []
        for child in psutil.Process(self.process.pid).children():
            # One that has just ended has no command line any more.
            with suppress(psutil.NoSuchProcess):
                if "console.browser.child" in child.cmdline():
                    found.append(child)
        return found

    async def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; return the exit code and what was said on stderr."""
        self.process.send_signal(number)
        _, said = await asyncio.wait_for(self.process.communicate(), 20)
        return self.process.returncode or 0, said.decode()


@pytest.fixture
async def command(environment: dict[str, str]) -> AsyncIterator[Callable[..., Awaitable[Command]]]:
    """Start `keydeck serve` with options, over the test's own database."""
    started: list[asyncio.subprocess.Process] = []

    async def start(*options: str) -> Command:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "console", "serve", *options),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ,
        )
        started.append(process)
        assert process.stdout is not None
        address = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", address)
        return Command(process, address, address.partition("/?")[0])

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def painted(socket: aiohttp.ClientWebSocketResponse, text: str, seconds: float = 30) -> str:
    """Read what the console paints until the text is there; returns all of it, without escape sequences."""
    seen = b""
    async with asyncio.timeout(seconds):
        while text not in (plain := readable(seen)):
            message = await socket.receive()
            assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), plain[-500:]
            seen += message.data if isinstance(message.data, bytes) else b""
    return plain


def readable(stream: bytes) -> str:
    return re.sub(r"\x1b\[[0-9;?<>=$]*[ -/]*[@-~]", "", stream.decode("utf-8", "replace"))


async def gone(process: psutil.Process, seconds: float = 2 * driver.GRACE) -> None:
    # It may end between one question and the next.
    with suppress(psutil.NoSuchProcess):
        async with asyncio.timeout(seconds):
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                await asyncio.sleep(0.05)
