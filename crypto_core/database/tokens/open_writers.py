"""Transactions that may have written tokens and have not ended: nobody else sees what they wrote.

Whoever writes to a table holds a lock of it until the end of the transaction, a prepared one too, and
pg_locks shows every role all locks. So once the holders of one moment are gone, whatever was written by then
is committed or undone. PostgreSQL documentation, "Explicit Locking", "pg_locks" and "pg_prepared_xacts".
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from time import monotonic

from sqlalchemy import Engine

from crypto_core.cancelling import stop_if
from crypto_core.database.connection.engine import connected
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import OWN_TABLES, SCHEMA
from crypto_core.errors import DatabaseError
from crypto_core.text.cleaning import clean, cleans
from crypto_core.text.counting import counted

WAIT_SECONDS = 5.0
POLL_SECONDS = 0.1
_IS_STANDBY = (
    "This server is a standby: which transactions are open on the primary is not known. Needed: the "
    "primary's address in DATABASE_URL."
)
_NEEDED = "Needed: GRANT SELECT ON pg_catalog.pg_locks, pg_catalog.pg_prepared_xacts TO the role"
NAMED = 10


@dataclass(frozen=True, slots=True)
@cleans(role=100, gid=300, tables=600)
class OpenWriter:
    """Holds tables for writing.

    A prepared one has a `gid` and no process; `seconds` is its age, None where hidden.
    """

    transaction: str
    pid: int | None
    gid: str
    role: str
    tables: str
    seconds: int | None

    @property
    def words(self) -> str:
        age = (
            f"open for {self.seconds:,} s"
            if self.seconds is not None
            else "its age is not shown to this role"
        )
        of_role = f"of role {self.role}" if self.role else "of a role that is not shown"
        if self.pid is None:
            end = f"COMMIT PREPARED or ROLLBACK PREPARED '{self.gid.replace(chr(39), chr(39) * 2)}'"
            return (
                f"prepared transaction {self.gid or self.transaction} {of_role} ({age}; {self.tables}): {end}"
            )
        end = f"SELECT pg_terminate_backend({self.pid})"
        return f"process {self.pid} {of_role} ({age}; {self.tables}): let it finish, or {end}"


def wait_for_writers(
    engine: Engine, *, seconds: float = WAIT_SECONDS, cancelled: Event | None = None
) -> tuple[str, ...]:
    """Wait until every transaction has ended that may have written by now; return why that is not known.

    Nothing, where all have ended: what is committed by then is all that was written by now. Raises
    InterruptedRunError once `cancelled` is set.
    """
    try:
        with connected(engine, cancelled=cancelled) as connection:
            if connection.scalar(_STANDBY):
                return (_IS_STANDBY,)
        writers, until = _writers(engine, cancelled), monotonic() + seconds
        while writers and monotonic() < until:
            (cancelled or Event()).wait(POLL_SECONDS)
            stop_if(cancelled)
            now = _writers(engine, cancelled)
            writers = {key: now[key] for key in writers if key in now}
    except DatabaseError as error:
        return (f"Whether open transactions have written tokens is not known: {error.message} {_NEEDED}",)
    return (_sentence(list(writers.values())),) if writers else ()


def _sentence(writers: list[OpenWriter]) -> str:
    named = "; ".join(writer.words for writer in writers[:NAMED])
    more = f" and {len(writers) - NAMED:,} more" if len(writers) > NAMED else ""
    return (
        f"{counted(len(writers), 'open transaction')} may have written tokens that nobody else sees yet: "
        f"{named}{more}. Then try again."
    )


def _writers(engine: Engine, cancelled: Event | None) -> dict[str, OpenWriter]:
    with connected(engine, cancelled=cancelled) as connection:
        return {
            f"{row.transaction} {row.pid}": OpenWriter(
                row.transaction, row.pid, row.gid or "", row.role or "", clean(row.tables, 600), row.seconds
            )
            for row in connection.execute(_WRITERS, {"own_schema": SCHEMA, "own_tables": OWN_TABLES})
        }


_STANDBY = text("SELECT pg_is_in_recovery()")

_WRITERS = text(
    """
    WITH held AS (
        SELECT l.virtualtransaction AS transaction, l.pid,
               string_agg(DISTINCT coalesce(n.nspname || '.' || c.relname, 'a new table'), ', ') AS tables
        FROM pg_locks l
        LEFT JOIN pg_class c ON c.oid = l.relation LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE l.locktype = 'relation' AND l.granted
              AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                             'AccessExclusiveLock')
              AND (l.relation >= 16384 OR l.relation = CAST('pg_largeobject' AS regclass))
              AND (c.oid IS NULL OR c.oid < 16384
                   OR (c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname !~ '^pg_'
                       AND NOT (n.nspname = :own_schema AND c.relname = ANY (:own_tables))))
              AND l.pid IS DISTINCT FROM pg_backend_pid()
        GROUP BY l.virtualtransaction, l.pid
    )
    SELECT h.transaction, h.pid, h.tables, p.gid, coalesce(CAST(a.usename AS text), p.owner) AS role,
           CAST(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)) AS bigint)
               AS seconds
    FROM held h
    LEFT JOIN pg_stat_activity a ON a.pid = h.pid
    LEFT JOIN pg_prepared_xacts p
        ON h.pid IS NULL AND EXISTS (SELECT FROM pg_locks x WHERE x.virtualtransaction = h.transaction
                                     AND x.pid IS NULL AND x.transactionid = p.transaction)
    ORDER BY h.transaction
    """
)
