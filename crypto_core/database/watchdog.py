"""A time limit for waits that the server can't end: it is frozen, or its answers get lost.

statement_timeout is kept by the server, keepalives are answered by the kernel of a machine whose PostgreSQL
hangs, and libpq itself waits for ever. So past a limit of our own the connection's socket is shut down, and
the wait ends as with any lost connection.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812

LIMIT_SECONDS = 75.0
"""More than statement_timeout, so that a server that still answers has the first word."""


class WatchedConnection(Connection):
    """Waits at most LIMIT_SECONDS for the end of a transaction."""

    def commit(self) -> None:
        """Commit. Raises OperationalError if the server does not answer in time."""
        with _limited(self):
            super().commit()

    def rollback(self) -> None:
        """Roll back. Raises OperationalError if the server does not answer in time."""
        with _limited(self):
            super().rollback()


class WatchedCursor(Cursor):
    """Waits at most LIMIT_SECONDS for the answer to a statement, or for a page of a server-side cursor."""

    def execute(self, *arguments: Any) -> None:
        """Execute. Raises OperationalError if the server does not answer in time."""
        with _limited(self.connection):
            super().execute(*arguments)

    def executemany(self, *arguments: Any) -> None:
        """Execute for many parameters; the limit is one for all of them."""
        with _limited(self.connection):
            super().executemany(*arguments)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """Fetch rows; those of a server-side cursor come from the server."""
        with _limited(self.connection):
            return super().fetchmany(*([] if size is None else [size]))


@contextmanager
def _limited(connection: Connection) -> Iterator[None]:
    timer = Timer(LIMIT_SECONDS, _cut, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(connection: Connection) -> None:
    # Gone already: then there is nothing left to wait for.
    with suppress(OSError, psycopg2.InterfaceError), socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)
