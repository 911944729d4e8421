"""What every request passes: Host and Origin are ours, then the cookie, or the token in exchange for it.

A browser sends its cookies to every port of a host, so another server of this machine can see ours, and its
pages count as the same site. So what such pages ask for is turned away, and a websocket needs the page key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from importlib.resources import files
from string import Template

from aiohttp import web

from console.browser.admission import Admission, AdmissionRefusal
from console.printed.output import say
from console.server_addresses import Addresses
from crypto_core.log.tracebacks import crash_lines
from crypto_core.values.clean_text import clean


def report(error: Exception) -> None:
    """Say where something failed, without values."""
    for line in crash_lines(error):
        say(line)


_USER = 100
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NO_COOKIE = "This browser has no access. Open the address that keydeck serve printed."
_FROM_A_PAGE = "Another page led here. Copy the address that keydeck serve printed into the address bar."
_NO_USER = (
    "The proxy in front of keydeck serve doesn't say who you are. It must, in one header, for every request."
)
_ELSEWHERE = "This server is not known by that address. Open the one that keydeck serve printed."

SUBPROTOCOL = "keydeck"
"""What the page names as its websocket's protocol, with the page key behind it (RFC 6455, section 1.9)."""


class RequestGate:
    """Turns requests away. `locked` is called when so many wrong tokens came that none is taken any more.

    With an `identity_header`, who uses the console is what that header says: the proxy in front must set it,
    and drop what clients send under its name.
    """

    def __init__(
        self,
        addresses: Addresses,
        admission: Admission,
        locked: Callable[[], None],
        *,
        identity_header: str = "",
    ) -> None:
        self._addresses = addresses
        self._admission = admission
        self._locked = locked
        self._identity_header = identity_header
        self._headers = security_headers(addresses)
        self._page = Template((files("console.browser") / "page" / "refused.html").read_text("utf-8"))
        # Browsers tell cookies apart by host, not by port. The prefix keeps other hosts from setting it.
        self.cookie = f"{'__Host-' if addresses.secure else ''}keydeck_{addresses.port}"

    async def add_headers(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(self._headers)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let through what belongs to the session; a failure inside tells the browser nothing."""
        try:
            refusal = self._turned_away(request)
            return await handler(request) if refusal is None else refusal
        except web.HTTPException as answer:
            return web.Response(status=answer.status, text=HTTPStatus(answer.status).phrase)
        except (ConnectionError, TimeoutError):
            raise  # the browser went away
        except Exception as error:  # noqa: BLE001  # whatever it is, the browser gets no stack
            report(error)
            return web.Response(
                status=500, text="This failed. The terminal that runs keydeck serve says where."
            )

    def is_from_here(self, request: web.Request) -> bool:
        """Whether a page of ours sent it: what a websocket needs, which no same-origin policy guards."""
        return request.headers.get("Origin") in self._addresses.origins

    def is_from_the_page(self, request: web.Request) -> bool:
        """Whether a websocket comes from the page that was let in: it has the page key, too."""
        offered = [part.strip() for part in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        return self.is_from_here(request) and any(map(self._admission.is_page, offered[1:]))

    @property
    def user(self) -> str:
        """Who uses the console, as the proxy says; "" without one."""
        return self._admission.session.user if self._admission.session else ""

    def _turned_away(self, request: web.Request) -> web.StreamResponse | None:
        if not self._addresses.admit(request.headers.getall("Host", []), request.raw_path):
            return self._refused(_ELSEWHERE)
        if "Origin" in request.headers and not self.is_from_here(request):
            return self._refused(_ELSEWHERE)
        if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
            # Nothing that another page leads to is served, uses the token up, or counts as a wrong one.
            return self._refused(_FROM_A_PAGE)
        user = self._user(request)
        if user is None:
            return self._refused(_NO_USER)
        if self._admission.admits(request.cookies.get(self.cookie), user):
            return _to_index() if request.path == "/" and request.query_string else None
        token = request.query.get("token")
        opened = request.headers.get("Sec-Fetch-Dest", "document") == "document"
        if token is None or not opened or (request.method, request.path) != ("GET", "/"):
            return self._refused(_NO_COOKIE)
        return self._exchanged(token, user, request.remote or "")

    def _user(self, request: web.Request) -> str | None:
        """Who sent it, as the proxy says; None if it should say so, and does not."""
        if not self._identity_header:
            return ""
        said = request.headers.getall(self._identity_header, [])
        return clean(said[0], _USER) or None if len(said) == 1 else None

    def _exchanged(self, token: str, user: str, remote: str) -> web.StreamResponse:
        session = self._admission.exchange(token, user)
        if isinstance(session, AdmissionRefusal):
            if session is AdmissionRefusal.LOCKED:
                self._locked()
            return self._refused(session.value)
        say(f"Opened by {user or 'a browser'} at {remote or 'an unknown address'}.")
        # The browser keeps what is behind the # to itself; the page takes it out of the address.
        response = _to_index(f"#{session.page_key}")
        response.set_cookie(
            self.cookie,
            session.cookie,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self._addresses.secure,
        )
        return response

    def _refused(self, reason: str) -> web.Response:
        return web.Response(status=403, text=self._page.substitute(reason=reason), content_type="text/html")


def _to_index(fragment: str = "") -> web.Response:
    return web.Response(status=303, headers={"Location": f"/{fragment}"})


def security_headers(addresses: Addresses) -> Mapping[str, str]:
    """Return every answer's headers: load nothing from elsewhere, keep nothing, show it in no frame."""
    # Not every browser lets 'self' stand for the websocket of the same origin; no policy can name IPv6.
    names = sorted(origin for origin in addresses.origins if "[" not in origin)
    sockets = " ".join(name.replace("http", "ws", 1) for name in names)
    policy = (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # xterm.js makes its style sheets in the page
        "img-src 'self'",
        "font-src 'self'",
        f"connect-src 'self' {sockets}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "clipboard-read=(), camera=(), microphone=(), geolocation=()",
        "Server": "keydeck",
    }
