"""Whether a pooler is between, and whether it allows transactions.

PgBouncer in statement pooling answers BEGIN with an error and closes the connection; libpq then tells of the
closing alone. So a connection that was closed at its beginning is tried again with one statement, and with
one transaction.
"""

from __future__ import annotations

from contextlib import closing, suppress
from typing import Any

import psycopg2
from sqlalchemy import Connection, Engine

from crypto_core.database.qualified_sql import text
from crypto_core.errors import KeydeckError

_OWN_PROCESS = text("SELECT pg_backend_pid()")


def refuses_transactions(engine: Engine) -> bool:
    """Return True where a statement of its own is answered and a transaction is not. Raises nothing."""
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
    """Return True where another process answers than the one that let us in: a pooler is between."""
    driver: Any = connection.connection.driver_connection
    return bool(connection.scalar(_OWN_PROCESS) != driver.info.backend_pid)
