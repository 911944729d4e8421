"""A time limit for waits that the server can't end: it is frozen, or its answers get lost.

The server keeps statement_timeout, the kernel answers keepalives even if PostgreSQL hangs, and libpq waits
for ever. So past a limit of our own the connection's socket is shut down.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Condition, Thread
from time import monotonic
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812

LIMIT_SECONDS = 75.0
"""More than statement_timeout: a server that still answers comes first."""


class WatchedConnection(Connection):
    """Waits at most LIMIT_SECONDS for the end of a transaction, unless it was given a limit of its own."""

    limit_seconds: float | None = None

    def commit(self) -> None:
        with _watch.over(self):
            super().commit()

    def rollback(self) -> None:
        with _watch.over(self):
            super().rollback()


class WatchedCursor(Cursor):
    """Likewise for the answer to a statement, or a page of a server-side cursor."""

    def execute(self, *arguments: Any) -> None:
        with _watch.over(self.connection):
            super().execute(*arguments)

    def executemany(self, *arguments: Any) -> None:
        with _watch.over(self.connection):
            super().executemany(*arguments)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """Rows of a server-side cursor come from the server."""
        with _watch.over(self.connection):
            return super().fetchmany(*([] if size is None else [size]))


class _Watch:
    """Waits under way. One thread looks after all: one each would cost more than most waits."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._waits: dict[object, tuple[float, Connection]] = {}
        self._thread: Thread | None = None
        self._wakes = 0.0

    @contextmanager
    def over(self, connection: Connection) -> Iterator[None]:
        """Cut the connection if the block takes longer than its limit."""
        wait = object()
        with self._changed:
            end = monotonic() + (getattr(connection, "limit_seconds", None) or LIMIT_SECONDS)
            self._waits[wait] = (end, connection)
            if self._thread is None:
                self._wakes = end
                self._thread = Thread(target=self._look, name="keydeck-watchdog", daemon=True)
                self._thread.start()
            elif end < self._wakes:
                self._changed.notify()
        try:
            yield
        finally:
            # Once it isn't among the waits, the connection isn't cut any more: it may be another's by then.
            with self._changed:
                self._waits.pop(wait, None)

    def _look(self) -> None:
        with self._changed:
            while self._waits:
                now = monotonic()
                for wait, (end, connection) in list(self._waits.items()):
                    if end <= now:
                        _cut(connection)
                        del self._waits[wait]
                # Later waits end later, so the thread need not be woken for them.
                self._wakes = min((end for end, _ in self._waits.values()), default=now + LIMIT_SECONDS)
                self._changed.wait(self._wakes - now)
            self._thread = None


_watch = _Watch()
# A child process has none of its parent's threads, and maybe a lock that nobody will release.
os.register_at_fork(after_in_child=_watch.__init__)  # type: ignore[misc]


def _cut(connection: Connection) -> None:
    # Gone already: then there is nothing left to wait for.
    with suppress(OSError, psycopg2.InterfaceError), socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)
