"""One Region's KMS over HTTP: connections that are kept, one signed call sent, its answer read.

Connections are aiohttp's; certificate authorities, proxy and endpoint are botocore's. Exceptions of aiohttp
end here, and botocore's for the same failure is returned.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from crypto_core.aws.kms import KmsGround
from crypto_core.reencryption.bulk.signing import RequestSigner
from crypto_core.reencryption.bulk.wire import BrokenAnswerError, Wire, WireAnswer

if TYPE_CHECKING:
    from aiohttp import ClientRequest
    from botocore.credentials import ReadOnlyCredentials

KEEP_SECONDS = 15.0
"""How long an idle connection is kept: less than KMS keeps it."""


class Endpoint:
    """KMS in one Region. For one event loop; `close` it."""

    def __init__(self, ground: KmsGround, tls: ssl.SSLContext | None) -> None:
        from aiohttp import ClientError, ClientRequest, ClientTimeout, TCPConnector, ThreadedResolver
        from yarl import URL

        self._ground = ground
        self._loop = asyncio.get_running_loop()
        url = URL(ground.endpoint_url.rstrip("/") + "/", encoded=True)
        self._connector = TCPConnector(
            limit=0, ssl=tls if tls is not None else True, resolver=ThreadedResolver()
        )
        self._model = ClientRequest(
            "POST",
            url,
            loop=self._loop,
            proxy=URL(ground.proxy) if ground.proxy else None,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type"),
            headers={"User-Agent": ground.user_agent},
        )
        self._timeout = ClientTimeout(sock_connect=ground.connect_timeout)
        self._idle: list[Wire] = []
        self._head = b""
        self._failures = (ClientError, BrokenAnswerError, TimeoutError, OSError)
        self._signer: tuple[ReadOnlyCredentials, RequestSigner] | None = None

    async def send(
        self, operation: str, body: bytes, credentials: ReadOnlyCredentials, now: float
    ) -> WireAnswer | Exception:
        """Send one signed call. Returns the answer, or botocore's exception where there was none."""
        try:
            wire = self._kept() or await self._connected()
            lines = self._signed_by(credentials).lines(operation, body, now)
            request = b"%b%bContent-Length: %d\r\n\r\n%b" % (self._head, lines, len(body), body)
            answer = await wire.post(request, self._ground.read_timeout)
        except self._failures as error:
            return _as_botocore(error, self._ground.endpoint_url)
        if wire.is_open:
            self._idle.append(wire)
        return answer

    async def close(self) -> None:
        for wire in self._idle:
            wire.close()
        self._idle.clear()
        await self._connector.close()

    def _kept(self) -> Wire | None:
        """The connection that was used last, so that those beyond need grow old and go."""
        oldest = self._loop.time() - KEEP_SECONDS
        while self._idle:
            wire = self._idle.pop()
            if wire.is_open and wire.idle_since > oldest:
                return wire
            wire.close()
        return None

    async def _connected(self) -> Wire:
        from aiohttp import ConnectionTimeoutError

        try:
            async with asyncio.timeout(self._ground.connect_timeout):
                connection = await self._connector.connect(self._model, [], self._timeout)
        except TimeoutError as error:
            raise ConnectionTimeoutError from error
        self._head = self._head or _head(self._model)
        return Wire(connection)

    def _signed_by(self, credentials: ReadOnlyCredentials) -> RequestSigner:
        if self._signer is None or self._signer[0] is not credentials:
            signer = RequestSigner(credentials, self._ground.region, self._ground.endpoint_url)
            self._signer = (credentials, signer)
        return self._signer[1]


def _head(model: ClientRequest) -> bytes:
    """The first lines of every call, as far as they are alike. A proxy that sees the call has its own."""
    by_proxy = model.proxy is not None and not model.is_ssl()
    target = str(model.url) if by_proxy else model.url.raw_path
    kept = [name for name in ("Host", "User-Agent", "Proxy-Authorization") if name in model.headers]
    lines = "".join(f"{name}: {model.headers[name]}\r\n" for name in kept)
    return f"POST {target} HTTP/1.1\r\n{lines}".encode("latin-1")


def _as_botocore(error: Exception, url: str) -> Exception:
    """What botocore would raise for the same failure; nothing of an answer is in it."""
    import aiohttp
    from botocore import exceptions as b

    what = type(error).__name__
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return b.ConnectTimeoutError(endpoint_url=url)
    if isinstance(error, TimeoutError):
        return b.ReadTimeoutError(endpoint_url=url)
    if isinstance(error, aiohttp.ClientSSLError):
        return b.SSLError(endpoint_url=url, error=ssl.SSLError(str(error)))
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return b.ProxyConnectionError(proxy_url=what)
    if isinstance(error, aiohttp.ClientConnectorError):
        return b.EndpointConnectionError(endpoint_url=url, error=str(error.os_error))
    if isinstance(error, BrokenAnswerError | aiohttp.ClientOSError | OSError):
        return b.ConnectionClosedError(endpoint_url=url)
    return b.HTTPClientError(error=what)
