"""Ends a statement under way, and never a later one.

PostgreSQL cancels whatever a session is doing when the request arrives, so a late one would hit the next user
of a pooled connection. A thread makes the requests and is waited for before the connection is let go: when
libpq's PQcancel returns the server has signalled the session, and an idle session ignores the signal. A
request between two statements is ignored as well, so it is repeated.
https://www.postgresql.org/docs/current/libpq-cancel.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread

import psycopg2
from sqlalchemy import Connection

from crypto_core.cancellation import Cancellation

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
