"""A wire to PostgreSQL that loses answers: a transaction is committed, and whoever asked never hears."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Thread

COMMIT = b"COMMIT\x00"
READY = b"Z\x00\x00\x00\x05I"
"""How the server says that it waits for the next statement, outside a transaction."""


class LossyWire:
    """Passes everything on; of so many commits' answers one is lost, and the connection with it."""

    def __init__(self, port: int, dice: random.Random, share: float) -> None:
        self._to = port
        self._dice = dice
        self._share = share
        self._lock = Lock()
        self.lost = 0
        self.loses = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                self._open += [client, server]
                losing: list[bool] = []
                Thread(target=self._ask, args=(client, server, losing), daemon=True).start()
                Thread(target=self._answer, args=(client, server, losing), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, losing: list[bool]) -> None:
        with suppress(OSError):
            while asked := client.recv(65_536):
                with self._lock:
                    if self.loses and asked.endswith(COMMIT) and self._dice.random() < self._share:
                        losing.append(True)
                server.sendall(asked)
        _end(server)

    def _answer(self, client: socket.socket, server: socket.socket, losing: list[bool]) -> None:
        with suppress(OSError):
            while answered := server.recv(65_536):
                if losing:
                    if READY in answered:
                        with self._lock:
                            self.lost += 1
                        break
                    continue
                client.sendall(answered)
        _end(client)
        _end(server)


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@contextmanager
def lossy_wire(port: int, dice: random.Random, share: float) -> Iterator[LossyWire]:
    """Give a wire to the server on a port, which loses that share of its commits' answers."""
    wire = LossyWire(port, dice, share)
    try:
        yield wire
    finally:
        wire.close()
