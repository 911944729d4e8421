"""Keydeck's own pool, and whether a pooler is between and allows transactions.

The pool makes do with as many connections as the server lets the role have, be it one. A connection limit
shows only when the next connection is refused; whoever wanted it then waits for one of this pool's own.
PostgreSQL documentation, CREATE ROLE, "CONNECTION LIMIT"; PgBouncer, "max_client_conn".

PgBouncer in statement pooling answers BEGIN with an error and closes the connection; libpq reports only the
closing. So a connection closed at its beginning is tried again with one statement, and one transaction.
"""

from __future__ import annotations

import re
from contextlib import closing, suppress
from time import monotonic, sleep
from typing import Any

import psycopg2
from sqlalchemy import Connection, Engine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.util import queue

from crypto_core.database.qualified_sql import text
from crypto_core.values.errors import KeydeckError

WAIT_SECONDS = 30.0
"""How long one of our own connections is waited for: longer than most statements take."""
LEAVING_SECONDS = 2.0
"""How long a session that has just ended may still count against the limit."""
REMEMBERED_SECONDS = 30.0
"""How long the server isn't asked for more than it gave."""

_NO_MORE = re.compile(
    "too many connections|too many clients|remaining connection slots|no more connections allowed", re.ASCII
)


class SharedPool(QueuePool):
    """A QueuePool that waits where the server refuses one more connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._most = 0
        """How many were in use at the last refusal."""
        self._known_until = 0.0

    def _do_get(self) -> ConnectionPoolEntry:
        if self.checkedout() >= self._most and monotonic() < self._known_until:
            try:
                return self._pool.get(True, WAIT_SECONDS)
            except queue.Empty:
                self._known_until = 0.0
        try:
            return self._made()
        except psycopg2.OperationalError as error:
            in_use = self.checkedout()
            if not in_use or not _NO_MORE.search(str(error)):
                raise
            self._most, self._known_until = in_use, monotonic() + REMEMBERED_SECONDS
            try:
                return self._pool.get(True, WAIT_SECONDS)
            except queue.Empty:
                raise error from None

    def _made(self) -> ConnectionPoolEntry:
        """One of the pool, or a new one; where this pool holds none, what has just ended is waited for."""
        until = monotonic() + LEAVING_SECONDS
        while True:
            try:
                return super()._do_get()
            except psycopg2.OperationalError as error:
                if self.checkedout() or not _NO_MORE.search(str(error)) or monotonic() > until:
                    raise
            sleep(0.05)


_OWN_PROCESS = text("SELECT pg_backend_pid()")


def refuses_transactions(engine: Engine) -> bool:
    """Return whether a single statement is answered and a transaction is not. Raises nothing."""
    with suppress(psycopg2.Error, KeydeckError), closing(_connect(engine)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        try:
            cursor.execute("BEGIN")
        except psycopg2.OperationalError:
            return bool(connection.closed)
    return False


def _connect(engine: Engine) -> Any:
    """A connection apart from the pool, which by itself begins no transaction."""
    connection: Any = engine.pool._invoke_creator(None)  # type: ignore[arg-type]  # noqa: SLF001
    connection.autocommit = True
    return connection


def is_pooled(connection: Connection) -> bool:
    """Return whether another process answers than the one that let us in."""
    driver: Any = connection.connection.driver_connection
    return bool(connection.scalar(_OWN_PROCESS) != driver.info.backend_pid)
