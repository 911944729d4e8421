"""One kept connection to an HTTP/1.1 endpoint, with one POST under way at a time.

A general client spends several times what signing a call does on what KMS never sends: redirects, cookies,
compression, bodies in chunks. Read here is an answer with a Content-Length (RFC 9112, section 6.2), which is
what KMS sends; anything else is no answer of KMS and ends the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

MAX_HEAD_BYTES = 16 * 1024


class BrokenAnswerError(Exception):
    """The connection ended, or what came is no answer of KMS. Says nothing of what came."""


class Wire(asyncio.Protocol):
    """The connection. `post` on it when it is idle; it says itself when it can't be used any more."""

    def __init__(self, most_bytes: int) -> None:
        """`most_bytes` is the longest body that is read."""
        self._most = most_bytes
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._waiting: asyncio.Future[tuple[int, dict[str, str], bytes]] | None = None
        self.idle_since = self._loop.time()
        self.is_open = False

    async def post(
        self, head: bytes, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a call; returns status, headers in lower case, and body. Raises BrokenAnswerError.

        Cancelled, it closes the connection: its answer would be taken for the next call's.
        """
        if self._transport is None or not self.is_open:
            raise BrokenAnswerError
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        sent = head + lines.encode("latin-1") + b"Content-Length: %d\r\n\r\n" % len(body) + body
        self._waiting = self._loop.create_future()
        self._transport.write(sent)
        try:
            return await self._waiting
        except BaseException:
            self.close()
            raise
        finally:
            self._waiting = None
            self.idle_since = self._loop.time()

    def close(self) -> None:
        """End the connection, whatever is under way."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Hand over an answer once it is whole."""
        waiting = self._waiting
        if waiting is None or waiting.done():
            self.close()  # Nothing was asked.
            return
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            if len(self._received) > MAX_HEAD_BYTES:
                self._break()
            return
        status, headers = _head(bytes(self._received[:end]))
        length = headers.get("content-length", "")
        if status < 200 or not (length.isascii() and length.isdigit()) or "transfer-encoding" in headers:
            self._break()
            return
        begins, most = end + 4, min(int(length), self._most + 1)
        if len(self._received) - begins < most:
            return
        body = bytes(self._received[begins : begins + most])
        whole = len(self._received) == begins + int(length)
        self._received.clear()
        if not whole or "close" in headers.get("connection", "").lower():
            self.close()
        waiting.set_result((status, headers, body))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits."""
        self._break()

    def _break(self) -> None:
        self.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(BrokenAnswerError())


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers; status 0 for what is no head of an HTTP/1.1 answer."""
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = first.split(" ", 2)
    is_http = len(parts) > 1 and parts[0].startswith("HTTP/1.") and parts[1].isdigit()
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return int(parts[1]) if is_http else 0, headers
