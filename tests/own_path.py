"""What tests write by hand in a database's transactions of their own means what it would in psql.

The product's transactions are begun by `connected`, and pinned as ever; see `pinned` for one that is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from crypto_core.database.connection import engine
from crypto_core.database.connection.transactions import OWN_PATH, PIN, LimitedConnection


def keep() -> None:
    """Leave the search path as it is in transactions that tests begin by hand."""
    begin = engine._beginning
    start = LimitedConnection.start

    @contextmanager
    def beginning(connection: Connection, **how: Any) -> Iterator[None]:
        driver: Any = connection.connection.driver_connection
        driver.pin = PIN
        try:
            with begin(connection, **how):
                yield
        finally:
            del driver.pin

    def started(connection: LimitedConnection) -> str:
        begun: str = start.fget(connection)  # type: ignore[attr-defined]
        asked = not connection.pin and f"'{OWN_PATH}', E'', " not in begun
        return begun.replace(f"'{OWN_PATH}'", "'search_path'") if asked else begun

    engine._beginning = beginning
    LimitedConnection.start = property(started)  # type: ignore[assignment, method-assign]
    LimitedConnection.pin = ""


@contextmanager
def pinned() -> Iterator[None]:
    LimitedConnection.pin = PIN
    try:
        yield
    finally:
        LimitedConnection.pin = ""
