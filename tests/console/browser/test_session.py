"""The websocket: what reaches the console, what comes back, and that no console outlives its page."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextlib import closing, suppress

import aiohttp
import psutil
import pytest
from sqlalchemy import make_url

from console.browser import process
from console.browser import site as web_site
from console.browser.process import child_environment, console_command
from console.browser.site import MESSAGE_BYTES
from console.container import Container
from crypto_core.guard.guarded_change import Outcome
from tests.console.browser.conftest import Running, Serving, gone, painted

DEAF = [sys.executable, "-c", "import os, time; os.write(1, b'__GANGLION__\\n'); time.sleep(600)"]
CRASHING = [
    sys.executable,
    "-c",
    r"import sys; sys.stderr.write('\x1b[31mkeydeck: it broke\n'); sys.exit(3)",
]


async def console_of(socket: aiohttp.ClientWebSocketResponse) -> psutil.Process:
    """The stand-in says which process it is."""
    found = re.search(r"pid (\d+)", await painted(socket, "."))
    assert found
    return psutil.Process(int(found[1]))


@pytest.fixture
async def inside(site: Running) -> Running:
    await site.enter()
    return site


async def test_keys_and_sizes_reach_the_console(inside: Running) -> None:
    async with inside.socket() as socket:
        await socket.send_json(["stdin", "é2"])
        await painted(socket, "é2")
        await socket.send_json(["resize", {"width": 100, "height": 30}])
        await painted(socket, '{"type": "resize", "width": 100, "height": 30}')
        await socket.send_json(["focus"])
        await painted(socket, '{"type": "focus"}')


async def test_a_size_that_no_window_has_is_not_believed(inside: Running) -> None:
    async with inside.socket("?width=99999999999&height=-3") as socket:
        console = await console_of(socket)
        assert console.environ()["COLUMNS"] == "500"
        assert console.environ()["ROWS"] == "1"
        await socket.send_json(["resize", {"width": 10**9, "height": "many"}])
        await painted(socket, '"width": 500, "height": 24}')


async def test_what_is_not_understood_is_dropped_and_the_console_goes_on(inside: Running) -> None:
    hostile = [
        "",
        "not JSON",
        "null",
        "{}",
        "[]",
        '["stdin"]',
        '["stdin", 7]',
        '["stdin", {"a": 1}]',
        '["resize", {}]',
        '["resize", [1, 2]]',
        '["resize", {"width": {}, "height": []}]',
        '["ping", {}]',
        '["quit"]',
        '["meta", {"type": "deliver_chunk_request", "key": "/etc/passwd", "size": 100}]',
        '["stdin", "\\ud800"]',
        "[" * 100_000,
        "9" * 100_000,
        "\x00",
    ]
    async with inside.socket() as socket:
        console = await console_of(socket)
        for message in hostile:
            await socket.send_str(message)
        await socket.send_bytes(b"\x00" * 1000)
        await socket.send_json(["ping", "1"])
        await socket.send_json(["stdin", "still here"])
        await painted(socket, "still here")
        assert console.is_running()


async def test_a_ping_is_answered_with_no_more_than_a_stamp(inside: Running) -> None:
    async with inside.socket() as socket:
        await socket.send_json(["ping", "1" * 1000])
        while (message := await socket.receive()).type is not aiohttp.WSMsgType.TEXT:
            pass
        assert json.loads(message.data) == ["pong", "1" * 64]


async def test_a_message_beyond_the_limit_ends_the_websocket_and_the_console(inside: Running) -> None:
    async with inside.socket() as socket:
        console = await console_of(socket)
        await socket.send_json(["stdin", "x" * (MESSAGE_BYTES - 100)])
        await painted(socket, "x" * (MESSAGE_BYTES - 100))
        with suppress(ConnectionError):
            await socket.send_str("x" * 10_000_000)
        await gone(console)
    assert (await inside.client.get(inside.url)).status == 200


async def test_a_frame_that_breaks_the_protocol_ends_the_console_and_not_the_server(inside: Running) -> None:
    async with inside.socket() as socket:
        console = await console_of(socket)
        socket._writer.transport.write(b"\xff" * 64)
        await gone(console)
    assert (await inside.client.get(inside.url)).status == 200


async def test_the_console_ends_with_its_websocket(inside: Running) -> None:
    async with inside.socket() as socket:
        console = await console_of(socket)
    await gone(console)


async def test_the_console_ends_with_a_connection_that_breaks(inside: Running) -> None:
    async with inside.socket() as socket:
        console = await console_of(socket)
        socket._writer.transport.abort()
        await gone(console)


async def test_there_is_one_console_and_whoever_comes_last_has_it(inside: Running) -> None:
    async with inside.socket() as first:
        former = await console_of(first)
        async with inside.socket() as second:
            latter = await console_of(second)
            assert not former.is_running()
            while not first.closed:
                await first.receive()
            async with asyncio.TaskGroup() as group:
                sockets = [group.create_task(inside.socket().__aenter__()) for _ in range(5)]
            for socket in sockets:
                await socket.result().receive()
            await gone(latter)
            await asyncio.sleep(0.5)
            children = [c for c in psutil.Process().children() if "__GANGLION__" in " ".join(c.cmdline())]
            assert len(children) == 1
            for socket in sockets:
                await socket.result().close()


async def test_a_console_that_does_not_listen_is_killed(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE", 0.2)
    monkeypatch.setattr(web_site, "STALLED", 0.2)
    site = await serving(DEAF)
    await site.enter()
    before = set(psutil.Process().children())
    async with site.socket() as socket:
        await socket.send_json(["stdin", "x" * 200_000])
        async with asyncio.timeout(5):
            while not (new := set(psutil.Process().children()) - before):
                await asyncio.sleep(0.02)
    for child in new:
        await gone(child)


async def test_a_console_that_fails_closes_the_page_and_says_why_on_the_terminal(
    serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    site = await serving(CRASHING)
    await site.enter()
    async with site.socket() as socket:
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    said, out = "", ""
    async with asyncio.timeout(10):  # The page is closed before the terminal is told why.
        while "keydeck: it broke" not in said:
            await asyncio.sleep(0.02)
            read = capsys.readouterr()
            said, out = said + read.err, out + read.out
    assert "\x1b" not in said
    assert out == ""


async def test_a_command_that_does_not_exist_is_told_without_a_stack_to_the_page(
    serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    site = await serving(["/nowhere/python"])
    await site.enter()
    async with site.socket() as socket:
        message = await socket.receive()
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert "FileNotFoundError" in capsys.readouterr().err
    assert (await site.client.get(site.url)).status == 200


async def test_what_the_console_delivers_is_a_file_to_keep_and_comes_once(inside: Running) -> None:
    async with inside.socket() as socket:
        await socket.send_json(["stdin", "deliver"])
        while (message := await socket.receive()).type is not aiohttp.WSMsgType.TEXT:
            pass
        assert json.loads(message.data) == ["deliver_file_start", "K1"]
        async with inside.client.get(f"{inside.url}/download/K1") as answer:
            assert await answer.read() == b"<b>content</b>"
            assert answer.headers["Content-Type"] == "application/octet-stream"
            disposition = answer.headers["Content-Disposition"]
            assert disposition == "attachment; filename*=UTF-8''a%20b%3B%C3%A9.csv"
        assert (await inside.client.get(f"{inside.url}/download/K1")).status == 404


async def test_the_console_can_not_send_the_browser_elsewhere(inside: Running) -> None:
    async with inside.socket() as socket:
        await socket.send_json(["stdin", "open"])
        await socket.send_json(["stdin", "done"])
        seen = b""
        while b"done" not in seen:
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.BINARY
            seen += message.data


@pytest.mark.deep
@pytest.mark.parametrize("read_only", [True, False])
async def test_the_real_console_is_read_only_if_it_is_told_so(
    serving: Serving, environment: dict[str, str], read_only: bool
) -> None:
    site = await serving(console_command(read_only=read_only))
    await site.enter()
    database = str(make_url(environment["DATABASE_URL"]).database)
    async with site.socket("?width=200&height=40") as socket:
        assert ("[RO]" in await painted(socket, database)) is read_only


def test_what_is_written_from_a_browser_names_who_used_it_in_the_journal(services: Container) -> None:
    user = child_environment("ana[/red]\x1b[31m@example.org")["KEYDECK_BROWSER_USER"]
    settings = services.settings.model_copy(update={"browser_user": user})
    with closing(Container(settings)) as container:
        container.journal.record("init", "schema keydeck", Outcome.DONE)
        (entry,) = container.journal.entries(limit=1)
    assert ", browser of ana[/red]" in entry.host
    assert entry.host.endswith("@example.org")
    assert "\x1b" not in entry.host
    assert child_environment()["KEYDECK_BROWSER_USER"] == "somebody"


def test_the_command_line_of_the_console_names_no_secret_and_imports_nothing_from_the_working_directory() -> (
    None
):
    assert console_command(read_only=True)[1:] == ["-P", "-m", "console.browser.child", "--read-only"]
    assert console_command(read_only=False)[1:] == ["-P", "-m", "console.browser.child"]
