"""What is kept of sweeps: the last one of a database, and how far tables have been read in full.

The last sweep is kept in Keydeck's schema where that may be written, else in memory. It holds names and
counts alone. A sweep by another role is good for this one if nothing was hidden from it.

How far tables have been read is kept in a file of this machine's user, so that a reading goes on. It is not
kept in the database: whoever can write there could say that a table was read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, insert, or_, select

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import privilege_on
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import sweep as swept
from crypto_core.database.state.installation import is_newer
from crypto_core.database.tokens.sweep.candidates import declared_names
from crypto_core.database.tokens.sweep.results import Sweep
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.lists.new_files import ExportError, replace_file
from crypto_core.lists.own_file import is_own
from crypto_core.values.errors import DatabaseError
from crypto_core.values.json_records import JsonRecordError, record_of


@dataclass(frozen=True, slots=True)
class PresentDatabase:
    """What a database is now, as far as it decides whether a sweep still holds.

    `shape` changes with the names of tables and columns and the types of columns. `known` are the names of
    columns that are declared, `shown` of those that are known to hold no token; see
    `candidates.declared_names`.
    """

    role: str
    shape: str
    known: frozenset[str]
    shown: frozenset[str]

    @classmethod
    def of(cls, connection: Connection, tables: Sequence[TokenTable]) -> PresentDatabase:
        role, shape = connection.execute(_PRESENT).one()
        return cls(str(role), str(shape), *declared_names(connection, tables))


class RememberedSweeps:
    def __init__(self, engine: Engine, *, read_only: bool = False) -> None:
        self._engine = engine
        self._read_only = read_only
        self._lock = Lock()
        self._memory: Sweep | None = None

    def remember(self, sweep: Sweep) -> None:
        with self._lock:
            self._memory = sweep
        if self._read_only:
            return
        try:
            with connected(self._engine, write=True) as connection:
                if not connection.scalar(_MAY, {"privilege": "INSERT"}) or is_newer(connection):
                    return
                connection.execute(
                    insert(swept).values(
                        taken_at=sweep.taken_at,
                        taken_by=sweep.role,
                        shape=sweep.shape,
                        complete=not sweep.unseen,
                        report=sweep.as_json(),
                    )
                )
        except DatabaseError:
            # A standby, or a grant taken away: it is still good for this run.
            self._read_only = True

    def last(
        self, connection: Connection, present: PresentDatabase, since: datetime, until: datetime
    ) -> Sweep | None:
        """Return the last sweep between two moments that holds for the database as it is; None without one.

        One that can't be read, or is said to be from the future, is none.
        """
        found = [self._memory] if self._memory is not None else []
        if connection.scalar(_MAY, {"privilege": "SELECT"}):
            c = swept.c
            statement = select(c.report).where(
                c.taken_at.between(since, until),
                c.shape == present.shape,
                or_(c.taken_by == present.role, c.complete),
            )
            rows = connection.scalars(statement.order_by(c.taken_at.desc()).limit(1))
            found += [sweep for report in rows if (sweep := _read(report)) is not None]
        good = (
            sweep
            for sweep in found
            if since <= sweep.taken_at <= until
            and sweep.shape == present.shape
            and (sweep.role == present.role or not sweep.unseen)
            # What is no longer declared was not looked at.
            and sweep.declared <= present.known
        )
        return max(good, key=lambda sweep: sweep.taken_at, default=None)


def _read(report: Any) -> Sweep | None:
    """None for a report of another form or version."""
    try:
        sweep = record_of(Sweep, report)
    except JsonRecordError:
        return None
    return sweep if sweep.as_json() == report else None


_PRESENT = text(
    """
    SELECT current_user,
           concat_ws('/', count(*), sum(hashtextextended(
               concat_ws('.', c.relnamespace, c.relname, a.attname),
               (a.attrelid::bigint << 32) + a.atttypid::bigint)))
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence <> 't' AND c.oid >= 16384
          AND a.attnum > 0 AND NOT a.attisdropped
    """
)
"""The names of all users' tables and columns, and the columns' types, in one number."""

_MAY = privilege_on("sweep")


@dataclass(slots=True)
class TableReading:
    """How far one table was read, by pages: `page` is the next one, `end` where it ended when this began, and
    `rows` are those read.

    Every version of a row that is at a page before `page`, by a transaction older than `since`, was read. The
    pages of `holding` held what looks like a token; they are read again each time. `shape` changes with the
    table's columns, `file` whenever its rows are put elsewhere.
    """

    file: int
    shape: str
    columns: list[str]
    since: int
    end: int
    page: int = 0
    rows: int = 0
    holding: list[tuple[int, int]] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return self.page >= self.end


@dataclass(eq=False)
class ReadingBook:
    """The readings of one database, by the tables' oids. Without a `folder` they are known to this run alone.

    They hold for one start of the server: after a fail-over, a restore or a restart, ids of transactions may
    mean others. `rules` is what values are looked at by: whoever looks otherwise reads anew.
    """

    rules: str
    folder: Path | None = None
    tables: dict[int, TableReading] = field(default_factory=dict)
    _server: str = ""

    def open(self, connection: Connection) -> None:
        """Look up this role's reading since the server's start. Raises DatabaseError."""
        server = f"{connection.scalar(_SERVER)} {hashlib.sha256(self.rules.encode()).hexdigest()[:16]}"
        if server == self._server:
            return
        self._server, self.tables = server, {}
        file = self._file
        try:
            kept = json.loads(file.read_text(encoding="utf-8")) if file and is_own(file) else {}
            if kept.get("server") == server:
                self.tables = {int(oid): _reading(told) for oid, told in kept["tables"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self.tables = {}

    def keep(self) -> None:
        """Where that can't be written, the next run begins anew."""
        file = self._file
        if file is None:
            return
        told = {"server": self._server, "tables": {oid: asdict(one) for oid, one in self.tables.items()}}
        with suppress(OSError, ExportError):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(file, json.dumps(told))

    @property
    def _file(self) -> Path | None:
        name = "".join(c if c.isalnum() else "-" for c in self._server)
        return self.folder / f"reading-{name}.json" if self.folder else None


def _reading(told: dict[str, Any]) -> TableReading:
    return TableReading(**told | {"holding": [(int(a), int(b)) for a, b in told["holding"]]})


_SERVER = text(
    """
    SELECT concat_ws(' ', CAST(extract(epoch FROM pg_postmaster_start_time()) AS text), d.oid, u.oid)
    FROM pg_database d, pg_roles u WHERE d.datname = current_database() AND u.rolname = current_user
    """
)
