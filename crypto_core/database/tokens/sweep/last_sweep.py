"""The last sweep of a database, kept in Keydeck's schema where that may be written, else in memory.

It holds names and counts alone. A sweep by another role is good for this one if nothing was hidden from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
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
from crypto_core.errors import DatabaseError
from crypto_core.text.json_records import JsonRecordError, record_of


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
