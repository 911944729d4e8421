"""What every request passes: Host and Origin are ours, then the cookie, or the token in exchange for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.resources import files
from string import Template

from aiohttp import web

from console.web.addresses import Addresses
from console.web.admission import Admission, AdmissionRefusal
from console.web.headers import security_headers
from console.web.reports import report

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NO_COOKIE = "This browser has no access. Open the address that keydeck serve printed."
_ELSEWHERE = "This server is not known by that address. Open the one that keydeck serve printed."


class RequestGate:
    """Turns requests away. `locked` is called when so many wrong tokens came that none is taken any more."""

    def __init__(self, addresses: Addresses, admission: Admission, locked: Callable[[], None]) -> None:
        self._addresses = addresses
        self._admission = admission
        self._locked = locked
        self._headers = security_headers(addresses)
        self._page = Template((files("console.web") / "page" / "refused.html").read_text("utf-8"))
        # Browsers tell cookies apart by host, not by port.
        self.cookie = f"keydeck_{addresses.port}"

    async def add_headers(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Put the security headers on an answer, whichever it is."""
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

    def _turned_away(self, request: web.Request) -> web.StreamResponse | None:
        if request.headers.get("Host", "").lower() not in self._addresses.hosts:
            return self._refused(_ELSEWHERE)
        if "Origin" in request.headers and not self.is_from_here(request):
            return self._refused(_ELSEWHERE)
        if self._admission.admits(request.cookies.get(self.cookie)):
            return _to_index() if request.path == "/" and request.query_string else None
        token = request.query.get("token")
        # A picture or a script in a foreign page neither uses the token up nor counts as a wrong one.
        opened = request.headers.get("Sec-Fetch-Dest", "document") == "document"
        if token is None or not opened or (request.method, request.path) != ("GET", "/"):
            return self._refused(_NO_COOKIE)
        return self._exchanged(token)

    def _exchanged(self, token: str) -> web.StreamResponse:
        session = self._admission.exchange(token)
        if isinstance(session, AdmissionRefusal):
            if session is AdmissionRefusal.LOCKED:
                self._locked()
            return self._refused(session.value)
        response = _to_index()
        response.set_cookie(
            self.cookie, session, path="/", httponly=True, samesite="Strict", secure=self._addresses.secure
        )
        return response

    def _refused(self, reason: str) -> web.Response:
        return web.Response(status=403, text=self._page.substitute(reason=reason), content_type="text/html")


def _to_index() -> web.Response:
    """Send the browser to the address without the token, so that no history keeps it."""
    return web.Response(status=303, headers={"Location": "/"})
