"""What a connection to KMS makes of what comes over it: bytes that the test writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from aiohttp import ClientRequest, ClientTimeout, TCPConnector
from yarl import URL

from crypto_core.reencryption.bulk.http import MAX_ANSWER_BYTES, BrokenAnswerError, Wire

REQUEST = b"POST / HTTP/1.1\r\nHost: kms\r\nContent-Length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def over(sent: Sequence[Sequence[bytes]], use: Callable[[Wire], Awaitable[object]]) -> None:
    """Connect to an endpoint that answers each request with pieces of bytes; b"" ends the connection."""
    answers = [list(pieces) for pieces in sent]
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while answers:
                await reader.readuntil(b"\r\n\r\n")
                for piece in answers.pop(0):
                    if not piece:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.01)
            await reader.read()
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            writer.transport.abort()
            ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, TCPConnector() as connector:
        model = ClientRequest("POST", URL(f"http://127.0.0.1:{port}/"), loop=asyncio.get_running_loop())
        wire = Wire(await connector.connect(model, [], ClientTimeout()))
        try:
            await use(wire)
        finally:
            wire.close()
            await ended.wait()


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 7\r\n\r\n", b'{"a":', b"1}"],
        [b"HTTP/1.1 200 OK\r\ndate:today\r\ncontent-length:7\r\n\r\n" + b'{"a":1}'],
        [
            b"HTTP/1.1 200 OK\r\nDate: today\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
            b'{"a":\r\n2\r\n1}\r\n0\r\n\r\n',
        ],
        [
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}',
        ],
        [
            bytes([byte])
            for byte in b"HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}'
        ],
    ],
    ids=["pieces", "whole", "chunked", "continue", "bytes"],
)
async def test_an_answer_is_read_however_it_comes_and_the_connection_serves_the_next_call(
    pieces: list[bytes],
) -> None:
    async def use(wire: Wire) -> None:
        for _ in range(2):
            answer = await wire.post(REQUEST, 5)
            assert (answer.status, answer.body, answer.headers["date"]) == (200, b'{"a":1}', "today")
            assert wire.is_open

    await over([pieces, pieces], use)


@pytest.mark.parametrize(
    "pieces",
    [
        [b""],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{", b""],
        [b"HTTP/1.1 200 OK\r\n\r\n{}", b""],
        [b"SSH-2.0-OpenSSH_9.6\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"],
        [b"HTTP/1.1 200 OK\r\n" + b"X: \x1b[2J[/red]" + b"x" * 2 * MAX_ANSWER_BYTES, b"x" * MAX_ANSWER_BYTES],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n", *[b"x" * 65_536] * 16],
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nx"],
    ],
    ids=["closed", "half", "endless", "ssh", "length", "both", "head", "10 MB", "upgrade"],
)
async def test_what_is_no_answer_breaks_the_call_and_the_connection(pieces: list[bytes]) -> None:
    async def use(wire: Wire) -> None:
        with pytest.raises(BrokenAnswerError, match=r"^$"):
            await wire.post(REQUEST, 5)
        assert not wire.is_open
        with pytest.raises(BrokenAnswerError):
            await wire.post(REQUEST, 5)

    await over([pieces, [OK]], use)


async def test_a_connection_that_kms_says_it_closes_is_not_used_again() -> None:
    async def use(wire: Wire) -> None:
        answer = await wire.post(REQUEST, 5)
        assert answer.body == b"{}"
        assert not wire.is_open

    await over([[OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")]], use)


async def test_a_late_answer_is_not_taken_for_the_next_calls() -> None:
    async def use(wire: Wire) -> None:
        with pytest.raises(TimeoutError):
            await wire.post(REQUEST, 0.05)
        assert not wire.is_open

    await over([[], [OK]], use)


@pytest.mark.parametrize("more", [OK, OK[:30], OK[:-1]])
async def test_more_than_the_answer_to_a_call_ends_the_connection(more: bytes) -> None:
    async def use(wire: Wire) -> None:
        assert (await wire.post(REQUEST, 5)).body == b"{}"
        with pytest.raises(BrokenAnswerError):
            await wire.post(REQUEST, 5)

    await over([[OK + more], [OK]], use)


async def test_what_comes_unasked_closes_the_connection() -> None:
    async def use(wire: Wire) -> None:
        assert (await wire.post(REQUEST, 5)).body == b"{}"
        for _ in range(200):
            await asyncio.sleep(0.01)
            if not wire.is_open:
                break
        assert not wire.is_open

    await over([[OK, OK]], use)


async def test_a_cancelled_call_closes_its_connection() -> None:
    async def use(wire: Wire) -> None:
        call = asyncio.ensure_future(wire.post(REQUEST, 5))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not wire.is_open

    await over([[]], use)
