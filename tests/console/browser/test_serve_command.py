"""keydeck serve: what it prints, what it refuses, how it ends, and that nothing outlives it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from console.browser import driver
from console.browser.admission import WRONG_TRIES
from console.browser.process import child_environment, console_command
from tests.console.browser.conftest import Command, entered, gone, page_socket, painted

Keydeck = Callable[..., Any]
Serve = Callable[..., Awaitable[Command]]


async def connected(client: aiohttp.ClientSession, served: Command) -> aiohttp.ClientWebSocketResponse:
    page_key = await entered(client, served.address)
    opened = await page_socket(client, served.url, page_key, "?width=120&height=40")
    await painted(opened, "keydeck")
    return opened


def browser() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


@pytest.mark.quick(1)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_without_a_terminal_until_it_is_told_to_end(
    command: Serve, number: signal.Signals
) -> None:
    served = await command()
    async with browser() as client:
        await connected(client, served)
        (console,) = served.consoles()
        assert console.cmdline()[-1] == "--read-only"
        token = served.address.partition("=")[2]
        for process in (console, psutil.Process(served.process.pid)):
            assert token not in str(process.cmdline())
            assert token not in str(process.environ())
        code, said = await served.end(number)
    assert code == 0
    assert said.splitlines() == [
        "Read only; --read-write allows changes.",
        "The address lets one browser in, once. Ctrl-C ends the server and the console.",
        "Opened by a browser at 127.0.0.1.",
    ]
    await gone(console)


@pytest.mark.deep
async def test_changes_are_allowed_only_where_it_is_told_so(command: Serve) -> None:
    served = await command("--read-write")
    async with browser() as client:
        await connected(client, served)
        (console,) = served.consoles()
        assert "--read-only" not in console.cmdline()
        _, said = await served.end(signal.SIGTERM)
    assert "Changes are allowed." in said


@pytest.mark.deep
async def test_a_server_that_is_killed_leaves_no_console_behind(command: Serve) -> None:
    served = await command()
    async with browser() as client:
        await connected(client, served)
        (console,) = served.consoles()
        served.process.kill()
        await gone(console)


@pytest.mark.deep
async def test_a_server_that_is_killed_while_the_console_starts_leaves_none_behind(command: Serve) -> None:
    served = await command()
    async with browser() as client:
        page_key = await entered(client, served.address)
        async with page_socket(client, served.url, page_key):
            async with asyncio.timeout(10):
                while not served.consoles():
                    await asyncio.sleep(0.01)
            (console,) = served.consoles()
            served.process.kill()
            await gone(console)


@pytest.mark.deep
async def test_a_console_whose_input_ends_leaves_although_it_could_go_on_painting(
    environment: dict[str, str],
) -> None:
    child = await asyncio.create_subprocess_exec(
        *console_command(read_only=True),
        env=os.environ | child_environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    seen = b""
    while b"keydeck" not in seen:
        seen += await child.stdout.read(4096)
    child.stdin.close()
    await asyncio.wait_for(child.communicate(), 2 * driver.GRACE)
    assert child.returncode == 0


@pytest.mark.deep
async def test_too_many_wrong_tokens_end_the_server(command: Serve) -> None:
    served = await command()
    async with browser() as client:
        for _ in range(WRONG_TRIES):
            async with client.get(f"{served.url}/?token=guess") as answer:
                assert answer.status == 403
    _, said = await asyncio.wait_for(served.process.communicate(), 10)
    assert served.process.returncode == 3
    assert "Too many wrong addresses" in said.decode()
    assert "guess" not in said.decode()


@pytest.mark.deep
async def test_broken_requests_leave_no_trace_of_what_they_carried(command: Serve) -> None:
    served = await command()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
    writer.write(f"GET /{served.address} HTTP/9\r\nCookie: canary\r\n{'x' * 9000}\r\n\r\n".encode())
    assert b"400" in await reader.read(65536)
    writer.close()
    _, said = await served.end(signal.SIGTERM)
    assert len(said.splitlines()) == 2


@pytest.mark.deep
async def test_a_module_in_the_working_directory_is_not_what_is_served(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "console").mkdir()
    (tmp_path / "console" / "__init__.py").write_text("raise SystemExit('foreign code ran')")
    child = await asyncio.create_subprocess_exec(
        *console_command(read_only=True),
        cwd=tmp_path,
        env=os.environ | child_environment() | {"DATABASE_URL": ""},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await child.communicate()
    assert (child.returncode, out) == (2, b"")
    assert said.decode().startswith("keydeck: No database is configured.")


@pytest.mark.deep
def test_without_the_extra_it_says_what_to_install() -> None:
    missing = (
        "import sys; sys.modules['textual_serve'] = None; from console.__main__ import main; main(['serve'])"
    )
    ran = subprocess.run([sys.executable, "-c", missing], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.strip().endswith("pip install 'keydeck[web]'")


REMOTE = ("--host", "192.0.2.7", "--allow-remote")
"""192.0.2.0/24 is for documentation (RFC 5737): no machine has such an address to listen on."""
HEADER = ("--identity-header", "X-Forwarded-Email")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        *((("--host", host), "--allow-remote") for host in ("0.0.0.0", "::", "192.0.2.7", "keydeck.example")),
        pytest.param(("--host", "0.0.0.0", "--allow-remote"), "--public-url", id="no address to print"),
        (REMOTE, "isn't encrypted. Put it behind TLS"),
        (REMOTE, "Can't listen on 192.0.2.7"),
        (("--public-url", "keydeck.example"), "https://keydeck.example"),
        pytest.param(HEADER, "--public-url", id="who uses it is believed of a proxy alone"),
        ((HEADER[0], "a: b", "--public-url", "https://keydeck.example"), "name of a header"),
    ],
)
def test_where_it_may_not_be_reached_and_what_is_malformed_is_refused(
    keydeck: Keydeck, options: tuple[str, ...], said: str
) -> None:
    ran = keydeck("serve", *options)
    assert ran.exit_code == 2
    assert said in ran.stderr


def test_a_port_that_is_taken_is_said(keydeck: Keydeck) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = keydeck("serve", "--port", str(taken.getsockname()[1]))
    assert ran.exit_code == 2
    assert "--port" in ran.stderr


def test_read_write_does_not_lift_read_only(keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keydeck("--read-only", "serve", "--read-write").exit_code == 2
    monkeypatch.setenv("KEYDECK_READ_ONLY", "true")
    assert keydeck("serve", "--read-write").exit_code == 2


def test_without_a_database_it_does_not_start(keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    ran = keydeck("serve")
    assert ran.exit_code == 2
    assert "No database is configured" in ran.stderr
