"""How requests get to a provider: one at a time within its pace, tried again where that helps, bounded.

No redirect is followed: a token goes to the host it was meant for, or nowhere. No cookie is kept: what a site
set for one token would vouch for the next. What httpx raises ends here, since its errors hold the request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from threading import Event, Lock
from time import monotonic, sleep
from types import ModuleType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from crypto_core.aws.proxies import require_clear_proxies
from crypto_core.log.redaction import cap
from crypto_core.providers.endpoints import host_of, is_loopback
from crypto_core.providers.messages import NoAnswer, ProviderAnswer, Reply, Request
from crypto_core.values.cancellation import stop_if
from crypto_core.values.errors import ProviderError

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
WHOLE_SECONDS = 30.0
"""For a whole answer: one that trickles in is given up."""
MOST_BYTES = 256 * 1024
PAUSES = (0.5, 2.0)
"""Seconds before a request is sent again; so each is sent three times at most."""
LONGEST_PAUSE = 30.0
"""Seconds that a provider may ask to wait; one that asks for longer is not asked again."""
GIVEN_UP_AFTER = 3
"""Requests in a row that failed, after which a host is left alone: thousands of tokens may be waiting."""
SILENCE_SECONDS = 30.0
EVERY = 0.1
"""Seconds between requests to one host: far below what any provider allows for one token."""

_AGAIN = frozenset({429, 500, 502, 503, 504})
_LOGGERS = (
    "httpx",
    "httpcore",
    *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")),
)


def _wait(seconds: float, cancelled: Event | None) -> None:
    if cancelled is None:
        sleep(seconds)
    else:
        cancelled.wait(seconds)


@dataclass(frozen=True, slots=True)
class Clock:
    """The time, and how to let it pass, in seconds. Tests have one of their own."""

    monotonic: Callable[[], float] = monotonic
    wait: Callable[[float, Event | None], None] = _wait
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class Transport:
    """Sends requests. Thread-safe; use it as a context manager."""

    def __init__(
        self,
        clock: Clock,
        *,
        every: float = EVERY,
        read_seconds: float = READ_SECONDS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        self._every = every
        self._read_seconds = read_seconds
        self._lock = Lock()
        self._clients: dict[bool, httpx.Client] = {}
        self._next: dict[str, float] = {}
        self._failed: dict[str, tuple[int, float]] = {}

    def send(self, request: Request, cancelled: Event | None = None) -> Reply:
        """Return what came back, or why nothing did. Raises InterruptedRunError once `cancelled` is set.

        Raises ProviderError if the environment's proxy or certificates can't be used, and SettingsError for a
        proxy whose URL is ambiguous.
        """
        host = host_of(request.url)
        if self._is_silent(host):
            stop_if(cancelled)
            return NoAnswer("not asked: its host has not answered before")
        for pause in (*PAUSES, None):
            self._keep_pace(host, cancelled)
            reply, again = self._once(request)
            asked = self._asked_to_wait(reply)
            if pause is None or not again or asked > LONGEST_PAUSE:
                self._note(host, failed=again and not _throttled(reply))
                return reply
            self._clock.wait(max(pause, asked), cancelled)
            stop_if(cancelled)
        raise AssertionError("the last try returns")

    def close(self) -> None:
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_silent(self, host: str) -> bool:
        with self._lock:
            failed, until = self._failed.get(host, (0, 0.0))
            return failed >= GIVEN_UP_AFTER and self._clock.monotonic() < until

    def _note(self, host: str, *, failed: bool) -> None:
        with self._lock:
            before, _ = self._failed.get(host, (0, 0.0))
            self._failed[host] = (before + 1 if failed else 0, self._clock.monotonic() + SILENCE_SECONDS)

    def _keep_pace(self, host: str, cancelled: Event | None) -> None:
        stop_if(cancelled)
        with self._lock:
            now = self._clock.monotonic()
            turn = max(now, self._next.get(host, now))
            self._next[host] = turn + self._every
        if turn > now:
            self._clock.wait(turn - now, cancelled)
            stop_if(cancelled)

    def _asked_to_wait(self, reply: Reply) -> float:
        """The seconds of a Retry-After header (RFC 9110, section 10.2.3)."""
        told = reply.headers.get("retry-after", "") if isinstance(reply, ProviderAnswer) else ""
        if told.isascii() and told.isdigit():
            return float(told[:9])
        try:
            at = parsedate_to_datetime(told)
        except (ValueError, IndexError, TypeError):
            return 0.0
        aware = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        return max(0.0, (aware - self._clock.now()).total_seconds())

    def _once(self, request: Request) -> tuple[Reply, bool]:
        """What came back of one try, and whether another one may fare better."""
        import httpx

        client = self._client(is_loopback(urlsplit(request.url).hostname))
        try:
            with client.stream(
                request.method, request.url, headers=dict(request.headers), content=request.content or None
            ) as response:
                reply = self._read(response)
        except httpx.HTTPError as error:
            # Its text may hold a header, and its request holds the token.
            return _failure(error, httpx)
        except (httpx.InvalidURL, httpx.StreamError, UnicodeError):
            return NoAnswer("the request could not be made"), False
        return reply, isinstance(reply, ProviderAnswer) and (
            reply.status in _AGAIN or (reply.status == 403 and "retry-after" in reply.headers)
        )

    def _read(self, response: httpx.Response) -> Reply:
        if response.headers.get("content-encoding", "identity") != "identity":
            return NoAnswer("an answer in an encoding that was not asked for")
        body, ends = bytearray(), self._clock.monotonic() + WHOLE_SECONDS
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > self._most_bytes:
                return NoAnswer(f"an answer of more than {self._most_bytes:,} bytes")
            if self._clock.monotonic() > ends:
                return NoAnswer(f"no whole answer within {WHOLE_SECONDS:g} s")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return ProviderAnswer(response.status_code, headers, bytes(body))

    def _client(self, here: bool) -> httpx.Client:
        """The client; for this machine one that no proxy of the environment's stands before."""
        import httpx

        with self._lock:
            if here not in self._clients:
                cap(_LOGGERS, logging.WARNING)
                if not here:
                    require_clear_proxies()
                try:
                    self._clients[here] = httpx.Client(
                        timeout=httpx.Timeout(self._read_seconds, connect=CONNECT_SECONDS),
                        follow_redirects=False,
                        trust_env=not here,
                        headers={"User-Agent": "keydeck", "Accept-Encoding": "identity"},
                        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                    )
                except (ValueError, OSError, httpx.InvalidURL):
                    raise ProviderError(
                        "The environment's proxy or certificates can't be used.",
                        remedy="Check HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.",
                    ) from None  # the cause may name the proxy's password
            return self._clients[here]


def _throttled(reply: Reply) -> bool:
    """Whether a host refused for having been asked too often, which says that it is there."""
    return isinstance(reply, ProviderAnswer) and reply.status in (403, 429)


def _failure(error: Exception, httpx: ModuleType) -> tuple[NoAnswer, bool]:
    """What a failure means, and whether another try may fare better."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return NoAnswer("its TLS certificate can't be verified"), False
    if isinstance(error, httpx.ProxyError):
        return NoAnswer("the proxy refuses"), True
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return NoAnswer("no connection"), True
    if isinstance(error, httpx.TimeoutException):
        return NoAnswer("no answer in time"), True
    if isinstance(error, httpx.RemoteProtocolError | httpx.NetworkError):
        return NoAnswer("the connection broke"), True
    return NoAnswer("the request could not be sent"), False
