"""The server and its routes: the page, its files, the websocket, the files that the console delivers."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from urllib.parse import quote

from aiohttp import WSMsgType, web
from textual_serve.download_manager import DownloadManager

from console.browser.admission import Admission
from console.browser.gate import SUBPROTOCOL, RequestGate, report
from console.browser.process import ConsoleProcess
from console.printed.output import say
from console.server_addresses import Addresses, addresses
from crypto_core.values.errors import SettingsError

_HEARTBEAT = 15.0
_CLOSING = 2.0
MESSAGE_BYTES = 256 * 1024
"""A longer message ends the websocket; the longest are pastes."""

STALLED = 10.0
"""Seconds after which a console that takes nothing in is given up."""

_CELLS = 500
_PING = 64


class Site:
    """Answers what the gate lets through. `command` is the command line of the console."""

    def __init__(self, gate: RequestGate, command: Sequence[str]) -> None:
        self._gate = gate
        self._command = command
        self._files = page_files()
        self._downloads = DownloadManager()
        self._seat = Seat()

    def application(self) -> web.Application:
        """Return the application; shutting it down ends the console."""
        application = web.Application(middlewares=[self._gate.middleware])
        application.on_response_prepare.append(self._gate.add_headers)
        application.on_shutdown.append(self._shut_down)
        application.add_routes(
            [
                web.get("/", self._index, allow_head=False),
                web.get("/files/{name}", self._file, allow_head=False),
                web.get("/ws", self._websocket, allow_head=False),
                web.get("/download/{key}", self._download, allow_head=False),
            ]
        )
        return application

    async def _shut_down(self, _application: web.Application) -> None:
        await self._seat.leave()

    async def _index(self, _request: web.Request) -> web.Response:
        return _sent(self._files[INDEX])

    async def _file(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        return _sent(file)

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if not self._gate.is_from_the_page(request):
            raise web.HTTPForbidden
        socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT,
            timeout=_CLOSING,
            max_msg_size=MESSAGE_BYTES,
            compress=False,
            protocols=(SUBPROTOCOL,),
        )
        await socket.prepare(request)
        process = ConsoleProcess(self._command, socket, self._downloads, user=self._gate.user)
        width, height = request.query.get("width"), request.query.get("height")
        try:
            async with self._seat.taken(process, clamped(width, 80), clamped(height, 24)):
                await relay(socket, process)
        except ConnectionError:
            pass  # the browser went away
        except Exception as error:  # noqa: BLE001  # the gate can't answer what became a websocket
            report(error)
        await socket.close()
        return socket

    async def _download(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        try:
            delivered = await self._downloads.get_download_metadata(key)
        except KeyError:
            raise web.HTTPNotFound from None
        name = quote(delivered.file_name, safe="")
        # Always a file to keep: nothing that the console delivers is rendered in the page's origin.
        response = web.StreamResponse(headers={"Content-Disposition": f"attachment; filename*=UTF-8''{name}"})
        response.content_type = "application/octet-stream"
        await response.prepare(request)
        async for chunk in self._downloads.download(key):
            await response.write(chunk)
        await response.write_eof()
        return response


def _sent(file: PageFile) -> web.Response:
    return web.Response(body=file.body, content_type=file.content_type, charset=file.charset)


@dataclass(frozen=True, slots=True)
class PageFile:
    body: bytes
    content_type: str
    charset: str | None


INDEX = "index.html"


def page_files() -> dict[str, PageFile]:
    """Return the page's files by name: a fixed list, so no request ever becomes a path."""
    ours = files("console.browser") / "page"
    theirs = files("textual_serve") / "static"
    return {
        INDEX: _read(ours / INDEX, "text/html"),
        "page.css": _read(ours / "page.css", "text/css"),
        "page.js": _read(ours / "page.js", "text/javascript"),
        "icon.svg": _read(ours / "icon.svg", "image/svg+xml"),
        "xterm.css": _read(theirs / "css" / "xterm.css", "text/css"),
        "textual.js": _read(theirs / "js" / "textual.js", "text/javascript"),
        "roboto-mono.ttf": _read(theirs / "fonts" / "RobotoMono-VariableFont_wght.ttf", "font/ttf"),
    }


def _read(file: Traversable, content_type: str) -> PageFile:
    return PageFile(file.read_bytes(), content_type, "utf-8" if content_type.startswith("text/") else None)


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
        async with self._turn:
            await self._end()

    async def _end(self) -> None:
        if self._taken is not None:
            await self._taken.stop()
            self._taken = None


def clamped(cells: object, default: int) -> int:
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
        case _:
            pass


_ENDING = (signal.SIGINT, signal.SIGTERM)
_LAST_ANSWERS = 2.0

# aiohttp's own would quote requests, and a request may hold the token or the cookie.
_silent = logging.getLogger("keydeck.web.requests")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there, on any free port for 0. Raises SettingsError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a host"
        raise SettingsError(
            f"Can't listen on {host} port {port}: {reason}.", remedy="Choose another --host or --port."
        ) from error


async def serve(
    listening: socket.socket,
    host: str,
    command: Sequence[str],
    announce: Callable[[Addresses, str], None],
    *,
    public_url: str | None = None,
    identity_header: str = "",
) -> bool:
    """Serve until SIGINT or SIGTERM; returns False if too many wrong tokens ended it.

    `announce` is called with the addresses and the token once requests are answered. Raises SettingsError.
    """
    ended, locked = asyncio.Event(), asyncio.Event()

    def lock() -> None:
        locked.set()
        ended.set()

    where = addresses(host, listening.getsockname()[1], public_url)
    admission = Admission()
    gate = RequestGate(where, admission, lock, identity_header=identity_header)
    site = Site(gate, command)
    runner = web.AppRunner(
        site.application(), access_log=None, logger=_silent, shutdown_timeout=_LAST_ANSWERS
    )
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, ended.set)
    try:
        await runner.setup()
        await web.SockSite(runner, listening).start()
        announce(where, admission.token)
        await ended.wait()
    finally:
        await runner.cleanup()
        for number in _ENDING:
            loop.remove_signal_handler(number)
    return not locked.is_set()
