"""The console in a real, headless Chromium."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from tests.console.browser.conftest import Command, Running, Serving, gone, page_socket, readable
from tests.console.chromium import NAMES, Tab, chromium, opened_tab

pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(chromium() is None, reason=f"no Chromium: none of {', '.join(NAMES)}"),
]

COLOURS = """
(() => {
  const seen = new Set();
  for (const canvas of document.querySelectorAll("canvas")) {
    const drawing = canvas.getContext("2d");
    const { data } = drawing.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4) seen.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
  }
  return seen.size;
})()
"""
EDGES = """
(() => {
  const screen = document.querySelector(".xterm-screen").getBoundingClientRect();
  return [screen.left, screen.top, innerWidth - screen.right, innerHeight - screen.bottom];
})()
"""


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    async with opened_tab(str(chromium()), tmp_path) as opened:
        yield opened


async def shown(tab: Tab, text: str) -> None:
    await tab.until(lambda: text in readable(tab.received))


async def test_the_console_is_painted_acts_on_keys_and_asks_no_other_host(
    command: Callable[..., Awaitable[Command]], tab: Tab
) -> None:
    served = await command()
    await tab.open(served.address)
    for text in ("keydeck", "[RO]", "Status"):
        await shown(tab, text)
    await asyncio.sleep(0.5)  # what was received is painted in the next frame
    assert await tab.evaluate(COLOURS) > 30
    assert (await tab.picture()).startswith(b"\x89PNG")
    assert await tab.evaluate("document.fonts.check('15px \"Roboto Mono\"')")
    left, top, right, bottom = await tab.evaluate(EDGES)
    assert (left, top) == (0, 0)
    assert 0 <= right < 10
    assert 0 <= bottom < 25

    tab.received = b""
    await tab.press("2")
    await shown(tab, "Connections")

    (console,) = served.consoles()
    assert "--read-only" in console.cmdline()
    await tab.press("q")
    await gone(console)
    assert await tab.evaluate("getComputedStyle(document.getElementById('ended')).display") == "grid"

    await tab.evaluate("document.querySelector('#ended a').click()")
    tab.received = b""
    await shown(tab, "[RO]")
    asked = {urlsplit(url).netloc for url in tab.requested}
    assert asked == {urlsplit(served.url).netloc}
    assert len(tab.requested) > 10
    assert tab.complaints == []

    token = served.address.partition("=")[2]
    history = await tab.ask("Page.getNavigationHistory")
    assert token not in json.dumps(history)
    assert not any("#" in entry["url"] for entry in history["entries"])
    assert await tab.evaluate("document.cookie") == ""

    (console,) = served.consoles()
    code, said = await served.end(signal.SIGINT)
    assert code == 0
    assert token not in said
    await gone(console)


async def test_a_page_loaded_anew_takes_the_console_over(
    command: Callable[..., Awaitable[Command]], tab: Tab
) -> None:
    served = await command()
    await tab.open(served.address)
    await shown(tab, "[RO]")
    (former,) = served.consoles()
    tab.received = b""
    await tab.ask("Page.reload")
    await gone(former)
    await tab.until(lambda: len(served.consoles()) == 1)
    await shown(tab, "[RO]")


async def test_another_server_of_this_machine_gets_the_cookie_and_no_console(
    site: Running, tab: Tab, tmp_path: Path
) -> None:
    heard: list[str] = []

    async def hear(request: web.Request) -> web.Response:
        heard.append(request.headers.get("Cookie", ""))
        leading = f"<script>onclick = () => {{ location = '{site.url}/' }}</script>"
        return web.Response(text=f"<title>other</title>{leading}", content_type="text/html")

    application = web.Application()
    application.router.add_get("/", hear)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    other = web.TCPSite(runner, "127.0.0.1", 0)
    await other.start()
    try:
        await tab.open(f"{site.url}/?token={site.admission.token}")
        await shown(tab, "pid ")
        stored = await tab.evaluate("Object.values(localStorage).concat(Object.values(sessionStorage))")
        port = runner.addresses[0][1]
        await tab.open(f"http://127.0.0.1:{port}/")
        await tab.until(lambda: bool(heard))
        cookie = heard[0]
        assert cookie.startswith("keydeck_")
        assert len(stored) == 1
        assert stored[0] not in cookie
        async with aiohttp.ClientSession(headers={"Cookie": cookie}) as thief:
            async with thief.get(site.url) as answer:
                page = await answer.text()
            assert stored[0] not in page
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await page_socket(thief, site.url, "guess")
        # Its page can lead the operator nowhere that a console would start, and end the one that runs.
        there = "document.title === 'other' && document.readyState === 'complete'"
        async with asyncio.timeout(10):
            while not await tab.evaluate(there):
                await asyncio.sleep(0.05)
        await tab.evaluate("document.documentElement.click()")
        async with asyncio.timeout(10):
            while "Another page led here" not in str(await tab.evaluate("document.body.innerText")):
                await asyncio.sleep(0.05)
        tab.received = b""
        await tab.evaluate("document.querySelector('a').click()")
        await shown(tab, "pid ")
    finally:
        await runner.cleanup()


async def test_another_browser_is_refused_in_words(site: Running, tab: Tab) -> None:
    await site.enter()
    await tab.open(f"{site.url}/?token={site.admission.token}")
    async with asyncio.timeout(10):
        while "start it again" not in str(await tab.evaluate("document.body.innerText")):
            await asyncio.sleep(0.05)


async def test_the_page_opens_no_window_even_for_text_that_looks_like_a_link(site: Running, tab: Tab) -> None:
    await tab.open(f"{site.url}/?token={site.admission.token}")
    await shown(tab, "pid ")
    for argument in ("", "'https://elsewhere.example/download/'", "'javascript:document.title=1'"):
        assert await tab.evaluate(f"window.open({argument}) === null")
    targets = await tab.ask("Target.getTargets")
    assert len([t for t in targets["targetInfos"] if t["type"] == "page"]) == 1


async def test_scripts_in_the_page_can_ask_no_other_server(serving: Serving, site: Running, tab: Tab) -> None:
    other = await serving()
    await tab.open(f"{site.url}/?token={site.admission.token}")
    await shown(tab, "pid ")
    for url, asked in ((site.url, "answered"), (other.url, "refused")):
        script = f"fetch('{url}/', {{mode: 'no-cors'}}).then(() => 'answered', () => 'refused')"
        assert await tab.evaluate(script) == asked
    assert "Content Security Policy" in str(tab.complaints)


async def test_what_the_console_delivers_is_downloaded_without_leaving_the_page(
    site: Running, tab: Tab, tmp_path: Path
) -> None:
    await tab.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "downloads"))
    await tab.open(f"{site.url}/?token={site.admission.token}")
    await shown(tab, "pid ")
    await tab.ask("Input.insertText", text="deliver")
    async with asyncio.timeout(10):
        while not (files := list((tmp_path / "downloads").glob("*.csv"))):
            await asyncio.sleep(0.05)
    assert files[0].read_bytes() == b"<b>content</b>"
    assert await tab.evaluate("location.pathname") == "/"
