"""The SQLite file: opened privately, written by one at a time, every failure an error of ours.

SQLite documentation, "Write-Ahead Logging": readers never wait for a writer, and on a disk that can't be
written a file opens as immutable alone, without what its log still holds. A query that nobody waits for any
more ends by the progress handler.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock
from time import monotonic, sleep
from typing import Any

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import DBAPIError

from crypto_core.lists.own_file import is_own, make_own
from crypto_core.trail.store.record_conditions import register
from crypto_core.trail.store.schema import VERSION
from crypto_core.trail.store.upgrade import upgrade
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import EventStoreError, InterruptedRunError

_STEPS = 20_000
"""Virtual machine instructions between two looks at whether the operator still waits: about 1 ms."""
_WAIT_SECONDS = 10.0
_UPGRADE_SECONDS = 3_600.0
"""How long a store that another process brings up to date is waited for."""

_log = logging.getLogger(__name__)


class _Hinted(SQLiteCompiler):
    """Writes the hints `INDEXED BY` and `NOT INDEXED`: by itself, SQLAlchemy drops those for SQLite."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        return text


class StoreFile:
    """Connections to one store, made or upgraded (after `told`) when first used, unless `read_only`.

    A store on a disk that is mounted read-only is read as it is, whoever owns it.
    """

    def __init__(
        self, path: Path, *, read_only: bool = False, told: Callable[[str], None] | None = None
    ) -> None:
        self.path = path
        self._fixed = _is_fixed(path)
        self._read_only = read_only or self._fixed
        self._tell = told or _log.warning
        self._engine: Engine | None = None
        self._lock = Lock()
        self._writing = Lock()

    @contextmanager
    def reading(self, cancelled: Event | None = None) -> Iterator[Connection]:
        """Give a connection for queries. Raises EventStoreError, InterruptedRunError."""
        stop_if(cancelled)
        with self._told(cancelled), self._opened().connect() as connection, _ending(connection, cancelled):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection that alone writes; all of it is kept at the end, or nothing. Raises as above."""
        with self._writing, self._told(None), self._opened().connect() as connection:
            self._begin(connection)
            yield connection
            connection.commit()

    def maintain(self, statement: str) -> None:
        """Run one of SQLite's statements outside a transaction, such as VACUUM. Raises EventStoreError."""
        with self._writing, self._told(None), self._opened().connect() as connection:
            connection.exec_driver_sql(statement)

    def close(self) -> None:
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    @property
    def bytes(self) -> int:
        sizes = 0
        for suffix in ("", "-wal"):
            try:
                sizes += Path(f"{self.path}{suffix}").stat().st_size
            except OSError:
                continue
        return sizes

    def _opened(self) -> Engine:
        with self._lock:
            if self._engine is None:
                engine = self._create()
                try:
                    self._prepare(engine)
                except BaseException:  # raised again: no connection is left behind, whatever stopped it
                    engine.dispose()
                    raise
                self._engine = engine
            return self._engine

    def _create(self) -> Engine:
        if self._fixed:
            self._require_whole()
        elif self._read_only:
            _must(is_own(self.path), self.path)
        else:
            _must(make_own(self.path), self.path)
        # Mode rw makes no file.
        address = f"{self.path.absolute().as_uri()}?{'immutable=1' if self._fixed else 'mode=rw'}"
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
            register(connection)
            if self._read_only:
                connection.execute("PRAGMA query_only = ON")
                return
            _write_ahead(connection)
            # A lost last second can be fetched again; the file itself stays whole.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA cache_size = -16000")
            # 32 MiB: an import writes the same pages again and again, and each time waits for the disk.
            connection.execute("PRAGMA wal_autocheckpoint = 8000")

        return engine

    def _require_whole(self) -> None:
        """Raise EventStoreError where events may stand beside the file, in a log that can't be read there."""
        _must(self.path.is_file() and not self.path.is_symlink(), self.path)
        log = Path(f"{self.path}-wal")
        if log.exists() and log.stat().st_size:
            raise EventStoreError(
                f"The event store {self.path} was copied while it was in use, and its disk is read-only: "
                f"{log.name} holds what is not in it yet.",
                remedy="Copy both files to a disk that can be written, and name the copy with "
                "KEYDECK_EVENTS_FILE.",
            )

    def _prepare(self, engine: Engine) -> None:
        with engine.connect() as connection:
            version = self._version(connection)
            if not version and self._read_only:
                raise EventStoreError(
                    f"The event store {self.path} was never filled.",
                    remedy="Fill it: keydeck events pull, or keydeck events import PATH.",
                )
            if version < VERSION and not self._read_only:
                if version:
                    self._tell(
                        f"The event store {self.path} is brought up to date, once, here or by another "
                        "process: a million events take about 20 seconds."
                    )
                if self._begin_upgrade(connection) < VERSION:
                    upgrade(connection)
                connection.commit()

    def _begin_upgrade(self, connection: Connection) -> int:
        """Begin as `_begin`, however long another process takes to bring the store up to date."""
        until = monotonic() + _UPGRADE_SECONDS
        while True:
            try:
                return self._begin(connection)
            except DBAPIError as error:
                code = getattr(error.orig, "sqlite_errorcode", 0)
                if code & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > until:
                    raise

    def _begin(self, connection: Connection) -> int:
        """Begin to write, and return the version then: another process may just have changed it."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return self._version(connection)

    def _version(self, connection: Connection) -> int:
        version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        if version > VERSION:
            raise EventStoreError(
                f"The event store {self.path} was written by a newer Keydeck.",
                remedy="Upgrade Keydeck, or name another file with KEYDECK_EVENTS_FILE.",
            )
        return version

    @contextmanager
    def _told(self, cancelled: Event | None) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            if cancelled is not None and cancelled.is_set():
                raise InterruptedRunError("Cancelled.") from error
            cause = error.orig if isinstance(error, DBAPIError) else error
            code = getattr(cause, "sqlite_errorcode", None) or 0
            if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise EventStoreError(
                    f"The event store {self.path} is damaged, or no event store.",
                    remedy="Move it away, then import or pull the events again.",
                ) from error
            if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise EventStoreError(
                    f"The event store {self.path} is being written by another process.",
                    remedy="Try again when that is done.",
                ) from error
            if code & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY):
                raise _not_permitted(self.path) from error
            if self._read_only and str(cause).startswith("no such "):
                raise EventStoreError(
                    f"The event store {self.path} was written by an older Keydeck, in another layout.",
                    remedy="Copy it to a disk that can be written, and open the copy once."
                    if self._fixed
                    else "Open it once without --read-only.",
                ) from error
            raise EventStoreError(f"The event store {self.path}: {clean(cause, 200)}.") from error
        except PermissionError as error:
            raise _not_permitted(self.path) from error
        except OSError as error:
            raise EventStoreError(f"The event store {self.path}: {error.strerror}.") from error


@contextmanager
def _ending(connection: Connection, cancelled: Event | None) -> Iterator[None]:
    if cancelled is None:
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(cancelled.is_set, _STEPS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)


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


def _is_fixed(path: Path) -> bool:
    """Whether a file is on a disk that is mounted read-only."""
    with suppress(OSError):
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    return False


def _must(own: bool, path: Path) -> None:
    if not own:
        raise EventStoreError(
            f"The event store {path} is not a plain file of yours.",
            remedy="Name another file with KEYDECK_EVENTS_FILE.",
        )


def _not_permitted(where: Path) -> EventStoreError:
    return EventStoreError(
        f"The event store {where} can't be opened: you may not read and write it, or its folder.",
        remedy=f"Allow it: chmod u+rw {where}, and u+rwx for its folder; or name another file with "
        "KEYDECK_EVENTS_FILE.",
    )
