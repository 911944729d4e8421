"""The HTTP side of the endpoint: one aiohttp server on the loopback interface.

It uses aiohttp's low-level server, without application, router and middlewares, because a re-encryption
run makes tens of thousands of calls and the gate must not be what bounds it.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_request import BaseRequest

from console.sandbox.endpoint.admin import Admin
from console.sandbox.endpoint.control_access import ControlAccess
from console.sandbox.endpoint.gate import MAX_BODY, EndpointGate, HalfAnswerError, ResetConnectionError
from console.sandbox.endpoint.services import JSON
from console.sandbox.http_message import HttpAnswer, HttpRequest
from console.sandbox.providers import PREFIX, ProviderResetError, Providers

HOST = "127.0.0.1"
_CONTROLS = ("/_gate/", f"{PREFIX}control/")
_NO_ACCESS = '{"message": "only who started the endpoint drives it"}'
log = logging.getLogger(__name__)

# SO_LINGER on, zero seconds: closing the socket sends a reset.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class EndpointServer:
    """Listens, and hands every request to the gate, to the admin calls (`/_gate/`) or to the providers."""

    def __init__(self, gate: EndpointGate, delivery_interval: float) -> None:
        self._gate = gate
        self._admin = Admin(gate)
        self.access = ControlAccess()
        self._providers = Providers()
        self._delivery_interval = delivery_interval
        self._listener: asyncio.Server | None = None
        self._web: web.Server | None = None
        self._deliveries: asyncio.Task[None] | None = None

    async def start(self, port: int) -> int:
        """Open the port (0: any free one) and return it; moto is imported meanwhile. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._web = web.Server(
            self._handle,
            request_factory=_request_factory(loop),
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
        )
        self._listener = await loop.create_server(self._web, HOST, port, backlog=1024)
        self._gate.moto.start()
        self._deliveries = asyncio.create_task(self._deliver_regularly())
        listening_on = int(self._listener.sockets[0].getsockname()[1])
        self.access.listen_on(listening_on)
        return listening_on

    async def stop(self) -> None:
        """Close the port and the connections; what the trail hasn't delivered is given up."""
        if self._deliveries is not None:
            self._deliveries.cancel()
        if self._listener is not None:
            self._listener.close()
        if self._web is not None:
            await self._web.shutdown(timeout=0.02)
        self._gate.moto.stop()

    async def _handle(self, request: BaseRequest) -> web.StreamResponse:
        if "Expect" in request.headers:
            # botocore sends it with S3 uploads, and waits a second for the go-ahead.
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        whole = HttpRequest(request.method, request.raw_path, request.headers, await request.read())
        if whole.target.startswith(_CONTROLS) and not self.access.permits(request.headers):
            return web.Response(status=403, text=_NO_ACCESS, content_type="application/json")
        if whole.target.startswith(PREFIX):
            try:
                return _response(await self._providers.answer(whole))
            except ProviderResetError:
                _reset(request)
                return web.Response(status=500)
        if whole.target == "/_gate/clear":
            self._providers.clear()
        if whole.target.startswith("/_gate/"):
            return _response(await self._admin.answer(whole))
        if whole.target.startswith("/moto-api"):
            # moto's own controls would change its backends behind the gate's back.
            return web.Response(status=404, text="moto's own API is closed: use /_gate/")
        try:
            answer = await self._gate.answer(whole, request.remote or HOST)
        except ResetConnectionError:
            _reset(request)
            return web.Response(status=500)
        except HalfAnswerError:
            return await _half(request)
        return _response(answer)

    async def _deliver_regularly(self) -> None:
        await self._gate.moto.ready()
        while True:
            await asyncio.sleep(self._delivery_interval)
            try:
                await self._gate.delivery.deliver()
            except Exception:  # logged; the next delivery tries again
                log.exception("delivery to S3 failed")


def _response(answer: HttpAnswer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


async def _half(request: BaseRequest) -> web.StreamResponse:
    """Announce more than is sent, and close the connection."""
    response = web.StreamResponse(headers={"Content-Type": JSON, "Content-Length": "400"})
    await response.prepare(request)
    await response.write(b'{"CiphertextBlob": "AQIDAHh')
    if request.transport is not None:
        request.transport.close()  # Once what was written is sent.
    return response


def _reset(request: BaseRequest) -> None:
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


def _request_factory(loop: asyncio.AbstractEventLoop) -> Callable[..., BaseRequest]:
    def make(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> BaseRequest:
        return BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY)

    return make


async def serve(
    server: EndpointServer, port: int, announce: Callable[[int], None], until: Awaitable[Any]
) -> None:
    """Run the server, call `announce` with the port once it listens, and stop when `until` is done."""
    listening_on = await server.start(port)
    try:
        announce(listening_on)
        await until
    finally:
        await server.stop()
