"""One Region's KMS over HTTP: connections that are kept, one signed call sent, its answer read.

Certificate authorities, proxy and endpoint are botocore's. Exceptions of aiohttp may carry an answer, which
may hold a data key; they end here, and botocore's for the same failure is returned.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from crypto_core.kms import KmsGround
from crypto_core.reencryption.bulk.signing import KmsSigner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientResponse, ClientSession
    from botocore.credentials import ReadOnlyCredentials

MAX_ANSWER_BYTES = 64 * 1024
"""The longest answer is a data key with 6,144 bytes of ciphertext, in base64."""

KEEP_SECONDS = 15.0
"""How long an idle connection is kept: less than KMS keeps it."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back. The body may hold a data key."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Endpoint:
    """KMS in one Region. For one event loop; `close` it."""

    def __init__(self, ground: KmsGround, tls: ssl.SSLContext | None) -> None:
        from yarl import URL

        self._ground = ground
        self._url = URL(ground.endpoint_url.rstrip("/") + "/", encoded=True)
        self._signer: tuple[ReadOnlyCredentials, KmsSigner] | None = None
        self._session = _session(ground, tls)

    async def send(
        self, operation: str, body: bytes, credentials: ReadOnlyCredentials, now: float
    ) -> HttpAnswer | Exception:
        """Send one signed call. Returns the answer, or botocore's exception where there was none."""
        from aiohttp import ClientError

        try:
            async with self._session.post(
                self._url,
                data=body,
                headers=self._signed_by(credentials).headers(operation, body, now),
                proxy=self._ground.proxy,
                allow_redirects=False,
            ) as response:
                return HttpAnswer(response.status, response.headers, await _bounded(response))
        except (ClientError, TimeoutError, OSError) as error:
            return _as_botocore(error, self._ground.endpoint_url)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    def _signed_by(self, credentials: ReadOnlyCredentials) -> KmsSigner:
        if self._signer is None or self._signer[0] is not credentials:
            signer = KmsSigner(credentials, self._ground.region, self._ground.endpoint_url)
            self._signer = (credentials, signer)
        return self._signer[1]


def _session(ground: KmsGround, tls: ssl.SSLContext | None) -> ClientSession:
    """aiohttp with what is needed and no more: no cookies, no decompression, headers that are ours."""
    from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, ThreadedResolver

    return ClientSession(
        connector=TCPConnector(
            limit=0,
            ssl=tls if tls is not None else True,
            resolver=ThreadedResolver(),
            keepalive_timeout=KEEP_SECONDS,
        ),
        headers={"User-Agent": ground.user_agent},
        skip_auto_headers=("Accept", "Accept-Encoding"),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        timeout=ClientTimeout(
            total=ground.connect_timeout + ground.read_timeout, sock_connect=ground.connect_timeout
        ),
    )


def tls_context(ground: KmsGround) -> ssl.SSLContext | None:
    """Return what verifies the endpoint as botocore does; None for one that is reached without TLS.

    Reads files. Raises OSError.
    """
    if not ground.endpoint_url.startswith("https:"):
        return None
    if Path(ground.authorities).is_dir():
        return ssl.create_default_context(capath=ground.authorities)
    return ssl.create_default_context(cafile=ground.authorities)


async def _bounded(response: ClientResponse) -> bytes:
    """The body, cut one byte behind what an answer of KMS can have."""
    content = response.content
    body = await content.read(MAX_ANSWER_BYTES + 1)
    while not content.at_eof() and len(body) <= MAX_ANSWER_BYTES:
        body += await content.read(MAX_ANSWER_BYTES + 1)
    if len(body) > MAX_ANSWER_BYTES:
        response.close()
    return body


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
    if isinstance(
        error, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError
    ):
        return b.ConnectionClosedError(endpoint_url=url)
    return b.HTTPClientError(error=what)
