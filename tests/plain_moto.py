"""A moto server without anything of ours before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

from moto.server import ThreadedMotoServer


@contextmanager
def plain_moto() -> Iterator[str]:
    """Run one; gives its URL. What other servers of this process have made is gone: moto keeps it for all."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        with urlopen(Request(f"{url}/moto-api/reset", method="POST")) as answer:
            answer.read()
        yield url
    finally:
        server.stop()
