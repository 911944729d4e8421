"""One Region's KMS over HTTP: connections that are kept, one signed call sent, its answer read.

Connections are aiohttp's; certificate authorities, proxy and endpoint are botocore's. Exceptions of aiohttp
end here, and botocore's for the same failure is returned.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from crypto_core.aws.kms import KmsGround

if TYPE_CHECKING:
    from aiohttp.connector import Connection

MAX_ANSWER_BYTES = 64 * 1024
"""The longest answer is a data key with 6,144 bytes of ciphertext, in base64."""
_MOST_RECEIVED = MAX_ANSWER_BYTES + 32 * 1024
"""Bytes of one answer with its head, and of chunks' lengths where it comes in chunks."""
_BUFFER_BYTES = 4 * 1024
"""More than most answers have."""


class BrokenAnswerError(Exception):
    """The connection ended, or what came is no answer of HTTP/1.1. Says nothing of what came."""


@dataclass(slots=True)
class WireAnswer:
    """What came back. The body may hold a data key."""

    status: int
    fields: Sequence[tuple[bytes, bytes]]
    """The headers as they came."""
    body: bytes = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers as texts. They are looked at only where a call was refused."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.fields}


class Wire(asyncio.BufferedProtocol):
    """One kept connection, with one POST under way at a time: `post` on it while it is open and idle.

    aiohttp makes the connection (names, TLS, proxies) and httptools reads what comes; a general client's
    request and response objects, which cost several times what signing a call does, are left out. What comes
    is received into a buffer that is kept, and overwritten once it was read.
    """

    def __init__(self, connection: Connection) -> None:
        """Take over a connection that was just made."""
        from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

        transport = connection.transport
        if transport is None:
            raise BrokenAnswerError
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._transport = transport
        self._parser = HttpResponseParser(self)
        self._body = b""
        self._unread = (HttpParserError, HttpParserUpgrade)
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._asked: asyncio.Future[WireAnswer] | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._begin()
        self.idle_since = self._until = self._loop.time()
        transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    async def post(self, request: bytes, seconds: float) -> WireAnswer:
        """Send a request, return its answer.

        Raises BrokenAnswerError, TimeoutError after so many seconds. Whatever it raises, cancelled too, the
        connection is closed: a late answer would be taken for the next call's.
        """
        if self._transport.is_closing() or self._begun:
            raise BrokenAnswerError  # What is left of another answer would be taken for this call's.
        asked: asyncio.Future[WireAnswer] = self._loop.create_future()
        self._asked = asked
        self._until = self._loop.time() + seconds
        if self._clock is None:
            self._clock = self._loop.call_at(self._until, self._look)
        self._transport.write(request)
        try:
            return await asked
        except BaseException:  # raised again: a late answer must find no call
            self.close()
            raise
        finally:
            self._asked = None
            self.idle_since = self._loop.time()

    def close(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        self._transport.abort()
        self._connection.close()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Read on, and overwrite what was read: it may hold a data key."""
        self._received += nbytes
        if self._asked is None or self._asked.done() or self._received > _MOST_RECEIVED:
            self._fail(BrokenAnswerError())  # Nothing was asked, or far more comes than KMS says.
        else:
            try:
                self._parser.feed_data(self._buffer[:nbytes])
            except self._unread:
                self._fail(BrokenAnswerError())
        self._buffer[:nbytes] = bytes(nbytes)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(BrokenAnswerError())

    def on_message_begin(self) -> None:
        self._begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_body(self, body: bytes) -> None:
        self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        answer = WireAnswer(status, self._fields, self._body)
        keep = self._parser.should_keep_alive()
        self._begin()
        if status < 200:
            return  # An interim answer; KMS's own follows.
        unasked = self._asked is None or self._asked.done()
        if self._asked is not None and not unasked:
            self._asked.set_result(answer)
        if unasked or not keep:
            self.close()

    def _look(self) -> None:
        """End a call whose time is up. One timer serves all calls of a connection."""
        self._clock = None
        if self._asked is None:
            return
        if self._loop.time() < self._until:
            self._clock = self._loop.call_at(self._until, self._look)
        else:
            self._fail(TimeoutError())

    def _begin(self) -> None:
        self._begun = False
        self._received = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self._body = b""

    def _fail(self, error: Exception) -> None:
        self.close()
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(error)


if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

SERVICE = "kms"
CONTENT_TYPE = "application/x-amz-json-1.1"
TARGET = "TrentService."
"""Stands before an operation's name in X-Amz-Target."""


class RequestSigner:
    """Signs calls of one endpoint with one set of credentials, thousands a second. For one thread.

    AWS General Reference, "Create a signed AWS API request": of a call's canonical request all but the last
    line, the body's hash, is the same for every call of one operation in one second. botocore's signer writes
    that much once; what is left for each call is three hashes.
    """

    def __init__(self, credentials: ReadOnlyCredentials, region: str, url: str) -> None:
        """`credentials` are frozen ones: those that renew themselves could change between two lines."""
        from botocore.auth import SigV4Auth

        self._token = credentials.token
        self._secret = str(credentials.secret_key)
        self._url = url
        self._auth = SigV4Auth(credentials, SERVICE, region)
        self._second = -1
        self._drafts: dict[str, _CallDraft] = {}

    def lines(self, operation: str, body: bytes, now: float) -> bytes:
        """Return the headers of a signed call at `now`, in seconds since 1970, as lines of its request.

        They are all that is signed, but for Host, which is the URL's.
        """
        second = int(now)
        if second != self._second:
            self._second = second
            self._drafts.clear()
        draft = self._drafts.get(operation)
        if draft is None:
            draft = self._drafts[operation] = self._draft(operation)
        return draft.signed(body)

    def _draft(self, operation: str) -> _CallDraft:
        from botocore.auth import SIGV4_TIMESTAMP
        from botocore.awsrequest import AWSRequest

        moment = datetime.fromtimestamp(self._second, UTC).strftime(SIGV4_TIMESTAMP)
        headers = {"X-Amz-Target": TARGET + operation, "Content-Type": CONTENT_TYPE, "X-Amz-Date": moment}
        if self._token:
            headers["X-Amz-Security-Token"] = self._token
        request: Any = AWSRequest("POST", self._url, headers=headers)
        request.context["timestamp"] = moment
        auth: Any = self._auth
        credential, scope = auth.scope(request), auth.credential_scope(request)
        signed = auth.signed_headers(auth.headers_to_sign(request))
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature="
        )
        return _CallDraft(
            "\r\n".join(f"{name}: {value}" for name, value in headers.items()),
            auth.canonical_request(request).rpartition("\n")[0] + "\n",
            f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n",
            _signing_key(self._secret, scope),
        )


class _CallDraft:
    """What all calls of one operation in one second share."""

    __slots__ = ("_canonical", "_keyed", "_lines")

    def __init__(self, lines: str, canonical: str, to_sign: str, key: bytes) -> None:
        """`lines` end where the signature follows."""
        self._lines = lines.encode("latin-1")
        self._canonical = hashlib.sha256(canonical.encode())
        self._keyed = hmac.new(key, to_sign.encode(), digestmod="sha256")

    def signed(self, body: bytes) -> bytes:
        canonical, signature = self._canonical.copy(), self._keyed.copy()
        canonical.update(hashlib.sha256(body).hexdigest().encode())
        signature.update(canonical.hexdigest().encode())
        return b"%b%b\r\n" % (self._lines, signature.hexdigest().encode())


def _signing_key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


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
