"""A pooler before PostgreSQL: start-up options are dropped, and no transaction finds what another left.

Between two transactions everything that a session can hold is discarded, as if each had been given another
session: settings, session locks, temporary tables, prepared statements, LISTEN.
PostgreSQL documentation, section 54.7, "Message Formats".
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from sqlalchemy import make_url

_PROTOCOL_3 = 3 << 16
_QUERY, _READY, _OUTSIDE = b"Q", b"Z", b"I"
_DISCARD = b"DISCARD ALL\x00"


class Pooler:
    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.dropped: list[bytes] = []
        """The start-up options that clients sent."""
        self.queries = 0
        """How many statements, or texts of several, clients sent."""
        self._open: list[socket.socket] = []
        Thread(target=self._accept, daemon=True).start()

    def url(self, url: str) -> str:
        return make_url(url).set(host="127.0.0.1", port=self.port).render_as_string(hide_password=False)

    def close(self) -> None:
        for one in (self._listener, *self._open):
            # Whoever waits for a socket isn't woken by its closing alone.
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                self._open += [client, server]
                Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError, EOFError), client, server:
            self._start(client, server)
            while True:
                kind, body = _message(client)
                self.queries += kind == _QUERY
                _send(server, kind, body)
                if kind == _QUERY and self._answer(client, server):
                    _send(server, _QUERY, _DISCARD)
                    self._answer(None, server)

    def _start(self, client: socket.socket, server: socket.socket) -> None:
        length, code = struct.unpack("!ii", _exactly(client, 8))
        body = _exactly(client, length - 8)
        if code != _PROTOCOL_3:  # a request to cancel
            server.sendall(struct.pack("!ii", length, code) + body)
            raise EOFError
        words = body.rstrip(b"\x00").split(b"\x00")
        parameters = dict(zip(words[::2], words[1::2], strict=True))
        self.dropped += filter(None, [parameters.pop(b"options", None)])
        body = b"".join(name + b"\x00" + value + b"\x00" for name, value in parameters.items()) + b"\x00"
        server.sendall(struct.pack("!ii", len(body) + 8, code) + body)
        ready = False
        while not ready:
            kind, body = _message(server)
            _send(client, kind, body)
            ready = kind == _READY
            if kind == b"R" and struct.unpack("!i", body[:4])[0] in (3, 5, 10, 11):
                _send(server, *_message(client))

    def _answer(self, client: socket.socket | None, server: socket.socket) -> bool:
        """Pass on what the server answers; returns whether it is outside a transaction then."""
        while True:
            kind, body = _message(server)
            if client is not None:
                _send(client, kind, body)
            if kind == _READY:
                return body == _OUTSIDE


def _exactly(source: socket.socket, length: int) -> bytes:
    got = b""
    while len(got) < length:
        part = source.recv(length - len(got))
        if not part:
            raise EOFError
        got += part
    return got


def _message(source: socket.socket) -> tuple[bytes, bytes]:
    kind = _exactly(source, 1)
    (length,) = struct.unpack("!i", _exactly(source, 4))
    return kind, _exactly(source, length - 4)


def _send(to: socket.socket, kind: bytes, body: bytes) -> None:
    to.sendall(kind + struct.pack("!i", len(body) + 4) + body)


@contextmanager
def pooler(url: str) -> Iterator[Pooler]:
    made = Pooler(make_url(url).port or 5432)
    try:
        yield made
    finally:
        made.close()
