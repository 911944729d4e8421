"""Over HTTP: /metrics for Prometheus, /health while the process lives, /ready while all goes well."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6, socket
from threading import BoundedSemaphore, Thread
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from console.server_addresses import bracketed, hosts_of
from console.service.watch_metrics import WatchMetrics
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError

_SECONDS = 5.0
"""How long a client may take for its request."""
_AT_ONCE = 16
_ELSEWHERE = b"This server is not known by that name. Allow it with: keydeck watch --name NAME[:PORT]\n"


class _Server(ThreadingHTTPServer):
    """Answers so many clients at once; further ones are hung up on."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = AF_INET6 if ":" in address[0] else AF_INET
        self._free = BoundedSemaphore(_AT_ONCE)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that hangs up is no trouble."""


@contextmanager
def serving(
    host: str, port: int, registry: CollectorRegistry, metrics: WatchMetrics, names: Sequence[str] = ()
) -> Iterator[str]:
    """Answer on an address while the block runs; give its URL. Raises SettingsError where that can't be.

    Requests must name a loopback host, the address at which they came in, or one of `names`.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = _SECONDS
        server_version, sys_version = "keydeck", ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            target, reached = self.requestline.split(" ")[1], self.connection.getsockname()[0]
            if not where.admit(self.headers.get_all("Host", []), target, reached):
                self._answer(421, "text/plain; charset=utf-8", _ELSEWHERE)
            elif path == "/metrics":
                encode, kind = choose_encoder(self.headers.get("Accept") or "")
                self._answer(200, kind, encode(registry))
            elif path in ("/health", "/ready"):
                well = path == "/health" or metrics.ready
                self._answer(200 if well else 503, "application/json", json.dumps(metrics.health()).encode())
            else:
                self._answer(404, "text/plain; charset=utf-8", b"/metrics, /health, /ready\n")

        def _answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing: who asks for metrics does so every few seconds."""

    try:
        server = _Server((host, port), Handler)
    except (OSError, OverflowError) as error:
        why = clean(getattr(error, "strerror", None) or error, 200)
        raise SettingsError(
            f"Cannot listen on {clean(host, 100)} port {port}: {why}.",
            remedy="Choose another address: --host, --port.",
        ) from error
    with server:
        where = hosts_of(host, server.server_address[1], names)
        Thread(target=server.serve_forever, args=(0.1,), name="keydeck-http", daemon=True).start()
        yield f"http://{bracketed(host)}:{where.port}"
        server.shutdown()
