"""The server's routes: the page, its files, the websocket, and the files that the console delivers."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from aiohttp import web
from textual_serve.download_manager import DownloadManager

from console.web.files import INDEX, PageFile, page_files
from console.web.gate import SUBPROTOCOL, RequestGate
from console.web.process import ConsoleProcess
from console.web.reports import report
from console.web.session import MESSAGE_BYTES, Seat, clamped, relay

_HEARTBEAT = 15.0
_CLOSING = 2.0


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
