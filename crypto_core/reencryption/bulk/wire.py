"""One kept connection to KMS, with one POST under way at a time.

aiohttp makes the connection (names, TLS, proxies) and httptools reads what comes; a general client's request
and response objects, which cost several times what signing a call does, are left out. What comes is received
into a buffer that is kept, and overwritten once it was read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
    """The connection. `post` on it while it is open and idle."""

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
