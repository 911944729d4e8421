"""Ends a statement under way, never a later one, and limits waits that the server can't end.

PostgreSQL cancels whatever a session is doing when the request arrives, so a late one would hit the next user
of a pooled connection. A thread makes the requests and is waited for before the connection is let go: when
libpq's PQcancel returns the server has signalled the session, and an idle session ignores the signal. A
request between two statements is ignored as well, so it is repeated.
https://www.postgresql.org/docs/current/libpq-cancel.html

A server may be frozen, or its answers get lost. The server keeps statement_timeout, the kernel answers
keepalives even if PostgreSQL hangs, and libpq waits for ever. So past a limit of our own the connection's
socket is shut down.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Condition, Event, Lock, Thread
from time import monotonic
from typing import Any

import psycopg2
from psycopg2 import extensions
from sqlalchemy import Connection

from crypto_core.values.cancellation import Cancellation

REPEAT_SECONDS = (0.05, 1.0)
"""The first and the longest pause between requests: some poolers pass none on."""
PATIENCE_SECONDS = 5.0
"""How long a request may take before the connection is given up instead of given back."""


@contextmanager
def cancelling(connection: Connection, cancelled: Cancellation) -> Iterator[None]:
    """End the statements of the block once `cancelled` is set; they raise QueryCanceled (57014)."""
    canceller = _Canceller(connection)
    try:
        with cancelled.ending(canceller.begin):
            yield
    finally:
        if not canceller.stop():
            connection.invalidate()


class _Canceller:
    def __init__(self, connection: Connection) -> None:
        self._driver = connection.connection.driver_connection
        self._over = Event()
        self._lock = Lock()
        self._thread: Thread | None = None

    def begin(self) -> None:
        """From a thread: whoever cancels must not wait for the network."""
        with self._lock:
            if not self._over.is_set() and self._thread is None:
                self._thread = Thread(target=self._ask, name="keydeck-cancel", daemon=True)
                self._thread.start()

    def stop(self) -> bool:
        """Returns False if a request is still under way."""
        with self._lock:
            self._over.set()
        if self._thread is not None:
            self._thread.join(PATIENCE_SECONDS)
            return not self._thread.is_alive()
        return True

    def _ask(self) -> None:
        pause, longest = REPEAT_SECONDS
        while not self._over.is_set():
            # A server that can't be asked ends the statement by its own time limit.
            with suppress(psycopg2.Error):
                self._driver.cancel()  # type: ignore[union-attr]
            self._over.wait(pause)
            pause = min(2 * pause, longest)


LIMIT_SECONDS = 75.0
"""More than statement_timeout: a server that still answers comes first."""


class WatchedConnection(extensions.connection):
    """Waits at most LIMIT_SECONDS for the end of a transaction, unless it was given a limit of its own."""

    limit_seconds: float | None = None

    def commit(self) -> None:
        with _watch.over(self):
            super().commit()

    def rollback(self) -> None:
        with _watch.over(self):
            super().rollback()


class WatchedCursor(extensions.cursor):
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
        self._waits: dict[object, tuple[float, extensions.connection]] = {}
        self._thread: Thread | None = None
        self._wakes = 0.0

    @contextmanager
    def over(self, connection: extensions.connection) -> Iterator[None]:
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


def _cut(connection: extensions.connection) -> None:
    # Gone already: then there is nothing left to wait for.
    with suppress(OSError, psycopg2.InterfaceError), socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)
