"""What every request must bring, and what every answer brings."""

from __future__ import annotations

import asyncio
import io
import logging
import re

import aiohttp
import pytest

from console.browser.admission import WRONG_TRIES
from console.browser.gate import security_headers
from console.browser.site import INDEX, page_files
from console.server_addresses import addresses
from tests.console.browser.conftest import Running, Serving, page_socket

ROUTES = ["/", "/files/textual.js", "/files/page.js", "/files/none", "/ws", "/download/key", "/elsewhere"]


async def status(site: Running, path: str, method: str = "GET", **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with site.client.request(method, site.url + path, headers=named, allow_redirects=False) as answer:
        assert b"Traceback" not in await answer.read()
        return answer.status


def test_pages_may_open_a_socket_to_the_proxys_name() -> None:
    headers = security_headers(addresses("127.0.0.1", 8000, "https://Keydeck.example/"))
    assert "wss://keydeck.example" in headers["Content-Security-Policy"]


async def test_the_token_is_exchanged_for_a_cookie_that_scripts_and_other_sites_can_not_use(
    site: Running,
) -> None:
    address = f"{site.url}/?token={site.admission.token}"
    async with site.client.get(address, allow_redirects=False) as answer:
        assert answer.status == 303
        place, _, page_key = answer.headers["Location"].partition("#")
        assert (place, len(page_key)) == ("/", 43)
        cookie = answer.headers["Set-Cookie"]
    assert page_key not in cookie
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert site.admission.token not in cookie
    assert not re.search("Max-Age|expires|Domain", cookie, re.IGNORECASE)
    assert await status(site, "/") == 200


async def test_the_token_lets_nobody_in_a_second_time(site: Running) -> None:
    await site.enter()
    async with (
        aiohttp.ClientSession() as stranger,
        stranger.get(f"{site.url}/?token={site.admission.token}") as answer,
    ):
        assert answer.status == 403
        assert "start it again" in await answer.text()
        assert "Set-Cookie" not in answer.headers
    assert await status(site, "/") == 200


async def test_two_who_show_the_token_at_once_do_not_both_get_in(site: Running) -> None:
    address = f"{site.url}/?token={site.admission.token}"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:

        async def show() -> int:
            async with client.get(address, allow_redirects=False) as answer:
                return answer.status

        assert sorted(await asyncio.gather(*(show() for _ in range(8)))) == [303] + [403] * 7


async def test_whoever_is_in_is_sent_to_the_address_without_the_token(site: Running) -> None:
    await site.enter()
    assert await status(site, f"/?token={site.admission.token}") == 303
    assert await status(site, "/?ping=https://elsewhere.example") == 303


@pytest.mark.parametrize("path", ROUTES)
async def test_every_route_needs_the_cookie(site: Running, path: str) -> None:
    assert await status(site, path) == 403
    assert await status(site, path, Cookie="keydeck=x; session=None") == 403
    if path != "/":
        assert await status(site, f"{path}?token={site.admission.token}") == 403


async def test_only_opening_the_address_uses_it_up_or_counts(site: Running) -> None:
    address = f"/?token={site.admission.token}"
    for method in ("HEAD", "POST", "OPTIONS"):
        assert await status(site, address, method) == 403
    for _ in range(2 * WRONG_TRIES):
        assert await status(site, "/?token=guess", Sec_Fetch_Dest="image") == 403
    assert await status(site, address, Sec_Fetch_Dest="image") == 403
    assert await status(site, address, Sec_Fetch_Dest="document") == 303


@pytest.mark.parametrize("site_of", ["cross-site", "same-site"])
async def test_other_pages_lead_nowhere_use_nothing_up_and_do_not_end_the_server(
    site: Running, site_of: str
) -> None:
    address = f"/?token={site.admission.token}"
    elsewhere = {"Sec_Fetch_Dest": "document", "Sec_Fetch_Site": site_of}
    for _ in range(2 * WRONG_TRIES):
        assert await status(site, "/?token=guess", **elsewhere) == 403
    assert site.locked == []
    assert await status(site, address, **elsewhere) == 403
    assert await status(site, address, Sec_Fetch_Dest="document", Sec_Fetch_Site="none") == 303
    # Another server of this machine is the same site: its pages come with the cookie.
    for path in ROUTES:
        assert await status(site, path, **elsewhere) == 403
    assert await status(site, "/", Sec_Fetch_Site="same-origin") == 200


async def test_the_cookie_alone_opens_no_console(site: Running) -> None:
    await site.enter()
    for protocols in ((), ("keydeck",), ("keydeck", "guess"), ("keydeck", "x" * 43), (site.page_key,)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await site.client.ws_connect(f"{site.url}/ws", origin=site.url, protocols=protocols)
        assert refused.value.status == 403
    async with site.socket() as socket:
        assert socket.protocol == "keydeck"


async def test_who_uses_it_is_who_the_proxy_says(
    serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    site = await serving(public_url="https://keydeck.example", identity_header="X-Forwarded-Email")
    address = f"/?token={site.admission.token}"
    assert await status(site, address) == 403
    assert await status(site, address, X_Forwarded_Email="") == 403
    hostile = "ana\x85[/red]@example.org"
    async with site.client.get(
        site.url + address, headers={"X-Forwarded-Email": hostile}, allow_redirects=False
    ) as answer:
        assert answer.status == 303
        (morsel,) = answer.cookies.values()
    assert (morsel.key[:7], morsel["secure"]) == ("__Host-", True)
    said = capsys.readouterr().err
    assert "Opened by ana" in said
    assert "\x85" not in said
    cookie = f"{morsel.key}={morsel.value}"
    assert await status(site, "/", X_Forwarded_Email=hostile, Cookie=cookie) == 200
    for other in ({}, {"X_Forwarded_Email": "eve@example.org"}):
        assert await status(site, "/", Cookie=cookie, **other) == 403


async def test_too_many_wrong_tokens_are_said_and_end_the_server(site: Running) -> None:
    for _ in range(WRONG_TRIES - 1):
        assert await status(site, "/?token=guess") == 403
    assert site.locked == []
    async with site.client.get(f"{site.url}/?token=guess") as answer:
        assert "Too many wrong" in await answer.text()
    assert site.locked == [True]
    assert await status(site, f"/?token={site.admission.token}") == 403


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "127.0.0.1", "127.0.0.1:1", "", "localhost.example:80"]
)
async def test_a_host_that_is_not_ours_is_turned_away_even_with_the_cookie(site: Running, host: str) -> None:
    await site.enter()
    for path in ROUTES:
        assert await status(site, path, Host=host) == 403


async def test_a_host_that_is_not_ours_can_not_use_up_the_token(site: Running) -> None:
    assert await status(site, f"/?token={site.admission.token}", Host="elsewhere.example") == 403
    await site.enter()


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://127.0.0.1:1", ""])
async def test_an_origin_that_is_not_ours_is_turned_away_even_with_the_cookie(
    site: Running, origin: str
) -> None:
    await site.enter()
    assert await status(site, "/", Origin=origin) == 403
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await site.client.ws_connect(f"{site.url}/ws", origin=origin, protocols=("keydeck", site.page_key))


async def test_a_websocket_without_origin_is_turned_away(site: Running) -> None:
    await site.enter()
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await site.client.ws_connect(f"{site.url}/ws", protocols=("keydeck", site.page_key))


async def test_a_websocket_without_cookie_is_turned_away(site: Running) -> None:
    await site.enter()
    async with aiohttp.ClientSession() as stranger:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await page_socket(stranger, site.url, site.page_key)


async def test_behind_tls_the_cookie_is_for_tls_alone(serving: Serving) -> None:
    site = await serving(public_url="https://keydeck.example")
    async with site.client.get(
        f"{site.url}/?token={site.admission.token}",
        headers={"Host": "keydeck.example"},
        allow_redirects=False,
    ) as answer:
        assert "Secure" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("path", ROUTES)
async def test_every_answer_carries_the_security_headers(site: Running, path: str) -> None:
    async def check(expected: set[int]) -> None:
        async with site.client.get(site.url + path) as answer:
            assert answer.status in expected
            policy = answer.headers["Content-Security-Policy"].split("; ")
            assert "default-src 'none'" in policy
            assert "script-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Server"] == "keydeck"

    await check({403})
    await site.enter()
    await check({200, 403, 404, 400})


def test_no_file_of_the_page_asks_another_host() -> None:
    for name, file in page_files().items():
        if not file.charset:
            continue
        text = re.sub(r"/\*.*?\*/", "", file.body.decode(), flags=re.DOTALL)
        assert not re.search(r"""(src|href|url|import)\s*[=(:]?\s*["'(]*\s*(https?:)?//\w""", text), name
        assert re.findall(r"https?://[\w.-]+\w", text) == [], name


async def test_the_page_names_no_file_that_is_not_served(site: Running) -> None:
    await site.enter()
    sources = "".join(f.body.decode() for n, f in page_files().items() if n in (INDEX, "page.css", "page.js"))
    named = set(re.findall(r'"(/files/[^"]+)"', sources))
    assert len(named) == 6
    for path in named:
        assert await status(site, path) == 200


@pytest.mark.parametrize(
    "path",
    [
        "/files/../gate.py",
        "/files/..%2fgate.py",
        "/files/%2e%2e/gate.py",
        "/files/..%5c..%5cgate.py",
        "/files//etc/passwd",
        "/files/page.js%00.css",
        "/files/index.html/",
        "/download/..%2f..%2fetc%2fpasswd",
        "/download/%00",
        "/download/" + "A" * 5000,
        "/static/js/textual.js",
        "//etc/passwd",
        "/%ff%fe",
    ],
)
async def test_no_path_leads_to_the_file_system(site: Running, path: str) -> None:
    await site.enter()
    answer = await raw(site, f"GET {path} HTTP/1.1\r\nHost: {site.url[7:]}\r\n{cookie(site)}\r\n")
    assert re.match(rb"HTTP/1.1 40[034] ", answer)
    assert b"root:" not in answer
    assert b"import" not in answer


@pytest.mark.parametrize(
    "request_",
    [
        "GET / HTTP/1.1\r\nHost: {host}\r\nX: " + "a" * 100_000 + "\r\n\r\n",
        "GET /" + "a" * 100_000 + " HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\n" + "X: y\r\n" * 5_000 + "\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\nHost: elsewhere.example\r\n\r\n",
        "GET http://elsewhere.example/ HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\nCookie: \xff=\xfe; keydeck=\x00\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        "GET /?token=%ff%00%ed%a0%80&token=2 HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00",
        "nonsense\r\n\r\n",
    ],
)
async def test_a_hostile_request_gets_a_refusal_without_a_stack_and_harms_nothing(
    site: Running, request_: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        answer = await raw(site, request_.replace("{host}", site.url[7:]))
    assert answer == b"" or re.match(rb"HTTP/1.[01] (40[0-9]|431) ", answer)
    assert b"Traceback" not in answer
    assert b"elsewhere" not in answer
    await site.enter()


async def test_a_large_body_is_not_taken_in(site: Running) -> None:
    await site.enter()
    async with site.client.post(f"{site.url}/", data=io.BytesIO(b"x" * 20_000_000)) as answer:
        assert answer.status == 405


def cookie(site: Running) -> str:
    pairs = "; ".join(f"{c.key}={c.value}" for c in site.client.cookie_jar)
    return f"Cookie: {pairs}\r\n"


async def raw(site: Running, request: str) -> bytes:
    """Send bytes as they are; return the answer's first part, nothing if there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))
    try:
        writer.write(request.encode("latin-1"))
        async with asyncio.timeout(2):
            return await reader.read(65536)
    except (ConnectionError, TimeoutError):
        return b""
    finally:
        writer.close()
