"""The store's file: opened privately, written by one at a time, every failure an error of ours."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock
from time import monotonic

from sqlalchemy import Connection, Engine

from crypto_core.lists.own_file import is_own, make_own
from crypto_core.trail.store import dialect
from crypto_core.trail.store.event_places import HOLDS, holds
from crypto_core.trail.store.schema import VERSION
from crypto_core.trail.store.upgrade import upgrade
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import EventStoreError, InterruptedRunError

_UPGRADE_SECONDS = 3_600.0
"""How long a store that another process brings up to date is waited for."""

_log = logging.getLogger(__name__)


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
        self._seen: tuple[object, ...] = ()
        self._engine: Engine | None = None
        self._lock = Lock()
        self._writing = Lock()

    @contextmanager
    def reading(self, cancelled: Event | None = None) -> Iterator[Connection]:
        """Give a connection for queries. Raises EventStoreError, InterruptedRunError."""
        stop_if(cancelled)
        with (
            self._told(cancelled),
            self._opened(cancelled).connect() as connection,
            dialect.ending(connection, cancelled),
        ):
            yield connection
            if self._fixed and self._state() != self._seen:
                raise self._changing()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection that alone writes; all of it is kept at the end, or nothing. Raises as above."""
        with self._writing, self._told(None), self._opened().connect() as connection:
            self._begin(connection)
            yield connection
            connection.commit()

    def shrink(self) -> None:
        """Give the room of what was forgotten back. Raises EventStoreError."""
        for statement in dialect.SHRINKING:
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

    def _opened(self, cancelled: Event | None = None) -> Engine:
        with self._lock:
            if self._engine is not None and self._fixed and self._state() != self._seen:
                self._engine.dispose()
                self._engine = None
            if self._engine is None:
                self._seen = self._state()
                engine = self._create()
                try:
                    self._prepare(engine, cancelled)
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
        return dialect.open_file(self.path, {HOLDS: holds}, read_only=self._read_only, fixed=self._fixed)

    def _require_whole(self) -> None:
        """Raise EventStoreError where events may stand beside the file, in a log that can't be read there."""
        _must(self.path.is_file() and not self.path.is_symlink(), self.path)
        for log in map(Path, (f"{self.path}-wal", f"{self.path}-journal")):
            if log.exists() and log.stat().st_size:
                raise EventStoreError(
                    f"The event store {self.path} was copied while it was in use, or is written from "
                    f"elsewhere, and its disk is read-only: {log.name} belongs to it.",
                    remedy="Copy both files to a disk that can be written, and name the copy with "
                    "KEYDECK_EVENTS_FILE.",
                )

    def _state(self) -> tuple[object, ...]:
        """What differs once the file was written: SQLite locks nothing that it opens as immutable."""
        if not self._fixed:
            return ()
        found = self.path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _changing(self) -> EventStoreError:
        return EventStoreError(
            f"The event store {self.path} is being written from elsewhere, and its disk is read-only here.",
            remedy="Try again when that is done, or name a copy with KEYDECK_EVENTS_FILE.",
        )

    def _prepare(self, engine: Engine, cancelled: Event | None) -> None:
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
                if self._begin_upgrade(connection, cancelled) < VERSION:
                    upgrade(connection)
                connection.commit()

    def _begin_upgrade(self, connection: Connection, cancelled: Event | None) -> int:
        """Begin as `_begin`, however long another process takes to bring the store up to date."""
        until = monotonic() + _UPGRADE_SECONDS
        while True:
            stop_if(cancelled)
            try:
                return self._begin(connection)
            except dialect.ERRORS as error:
                if dialect.cause_of(error)[0] not in dialect.BUSY or monotonic() > until:
                    raise

    def _begin(self, connection: Connection) -> int:
        """Begin to write, and return the version then: another process may just have changed it."""
        connection.exec_driver_sql(dialect.BEGIN)
        return self._version(connection)

    def _version(self, connection: Connection) -> int:
        version = dialect.layout(connection)
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
        except dialect.ERRORS as error:
            if cancelled is not None and cancelled.is_set():
                raise InterruptedRunError("Cancelled.") from error
            code, cause = dialect.cause_of(error)
            if self._fixed and self._state() != self._seen:
                raise self._changing() from error
            if code in dialect.NOT_PERMITTED:
                raise _not_permitted(self.path) from error
            said, remedy = f": {clean(cause, 200)}.", ""
            if code in dialect.DAMAGED:
                said = " is damaged, or no event store."
                remedy = "Move it away, then import or pull the events again."
            elif code in dialect.BUSY:
                said, remedy = " is being written by another process.", "Try again when that is done."
            elif self._read_only and str(cause).startswith(dialect.LACKING):
                said = " was written by an older Keydeck, in another layout."
                remedy = "Open it once without --read-only."
                if self._fixed:
                    remedy = "Copy it to a disk that can be written, and open the copy once."
            raise EventStoreError(f"The event store {self.path}{said}", remedy=remedy) from error
        except PermissionError as error:
            raise _not_permitted(self.path) from error
        except OSError as error:
            raise EventStoreError(f"The event store {self.path}: {error.strerror}.") from error


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
