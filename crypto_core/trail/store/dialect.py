"""SQLite, the engine of the event store's file: all that another one would have otherwise.

SQLite documentation, "Write-Ahead Logging": readers never wait for a writer, and on a disk that can't be
written a file opens as immutable alone, without what its log still holds. A query that nobody waits for any
more ends by the progress handler. Other statements are SQLAlchemy's, or SQL of the store's own modules.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any

from sqlalchemy import Connection, Engine, QueuePool, Select, Table, create_engine, event, text
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import DBAPIError

__all__ = ["upsert"]

BEGIN = "BEGIN IMMEDIATE"
"""Begins to write, and waits until nobody else does."""
PARAMETERS = 9_000
"""Of one statement: 32,766 are allowed (SQLITE_MAX_VARIABLE_NUMBER)."""
TOGETHER = 100
"""So many conditions stand next to each other: each is nested in the one before, up to 1,000 deep."""
LARGEST = 2**63 - 1
BY_KEY: Mapping[str, Any] = {"sqlite_with_rowid": False}
"""Of a table whose rows lie in the order of its key."""
ERRORS = (DBAPIError, sqlite3.Error)
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
NOT_PERMITTED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY)
"""Codes of errors."""
LACKING = "no such "
"""Begins the error of a statement about a table or column that is not there."""
SHRINKING = ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA optimize")
"""What gives the room of forgotten rows back."""

_STEPS = 20_000
"""Virtual machine instructions between two looks at whether the operator still waits: about 1 ms."""
_WAIT_SECONDS = 10.0


def where(condition: str) -> Mapping[str, Any]:
    """Return the argument of a partial index, which has only the rows that meet a condition."""
    return {"sqlite_where": text(condition)}


def read_by(index: str, chosen: Select[Any], table: Table) -> Select[Any]:
    """Return a query that reads a table by an index, "" for row by row, whatever the engine would choose."""
    return chosen.with_hint(table, f"INDEXED BY {index}" if index else "NOT INDEXED", "sqlite")


class _Hinted(SQLiteCompiler):
    """Writes the hints of `read_by`: by itself, SQLAlchemy drops them."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        return text


def open_file(
    path: Path, functions: Mapping[str, Callable[..., bool]], *, read_only: bool, fixed: bool
) -> Engine:
    """Return an engine for a file that is there, `fixed` where nobody can write it.

    `functions` are ours, of three arguments.
    """
    # Mode rw makes no file.
    address = f"{path.absolute().as_uri()}?{'immutable=1' if fixed else 'mode=rw'}"
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=lambda: sqlite3.connect(
            address, uri=True, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
        ),
        poolclass=QueuePool,
        # One is kept, with what it has read: each keeps up to 16 MB.
        pool_size=1,
        max_overflow=11,
    )

    engine.dialect.statement_compiler = _Hinted

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute("PRAGMA trusted_schema = OFF")
        for name, function in functions.items():
            connection.create_function(name, 3, function, deterministic=True)
        if read_only:
            connection.execute("PRAGMA query_only = ON")
            return
        _write_ahead(connection)
        # A lost last second can be fetched again; the file itself stays whole.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -16000")
        # 32 MiB: an import writes the same pages again and again, and each time waits for the disk.
        connection.execute("PRAGMA wal_autocheckpoint = 8000")

    return engine


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn the write-ahead log on; SQLite itself does not wait while another process writes a new file."""
    until = monotonic() + _WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > until:
                raise
            sleep(0.01)


def layout(connection: Connection, noted: int | None = None) -> int:
    """Return the version of the file's tables, 0 for a file without any; `noted` is written down before."""
    if noted is not None:
        connection.exec_driver_sql(f"PRAGMA user_version = {noted}")
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


@contextmanager
def ending(connection: Connection, cancelled: Event | None) -> Iterator[None]:
    """Have queries end once `cancelled` is set."""
    if cancelled is None:
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(cancelled.is_set, _STEPS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)


def cause_of(error: Exception) -> tuple[int, BaseException | None]:
    """Return the code of one of ERRORS, 0 for none, and the engine's own error."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF, cause
