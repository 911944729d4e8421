"""Transactions that hold locks of tables, prepared ones too: how to end them or wait for them.

pg_locks shows every role all locks; without pg_read_all_stats only process and role of other roles' sessions.
PostgreSQL documentation, "pg_locks" and "pg_prepared_xacts".

Nobody else sees what a transaction wrote until it ends. Whoever writes to a table holds a lock of it until
then, a prepared one too. So once the holders of one moment are gone, whatever was written by then is
committed or undone. PostgreSQL documentation, "Explicit Locking".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, TextClause

from crypto_core.database.connection.engine import connected
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import OWN_TABLES, SCHEMA
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import cleans
from crypto_core.values.counts import counted
from crypto_core.values.errors import DatabaseError

LOCK_NOT_AVAILABLE = "55P03"
NAMED = 10


@dataclass(frozen=True, slots=True)
@cleans(gid=300, role=100, application=100, state=60, held=600)
class LockHolder:
    """A transaction, the longest open first. `held` are its tables, or the modes in which it holds one.

    A prepared one has a `gid` and no process; `seconds` is its age, None where hidden.
    """

    transaction: str
    pid: int | None
    gid: str
    role: str
    application: str
    state: str
    held: str
    seconds: int | None

    @property
    def words(self) -> str:
        age = (
            f"open for {self.seconds:,} s"
            if self.seconds is not None
            else "its age is not shown to this role"
        )
        of_role = f"of role {self.role}" if self.role else "of a role that is not shown"
        about = "; ".join(filter(None, (self.application, self.state, age, self.held)))
        if self.pid is None:
            end = f"COMMIT PREPARED or ROLLBACK PREPARED '{self.gid.replace(chr(39), chr(39) * 2)}'"
            return f"prepared transaction {self.gid or self.transaction} {of_role} ({about}): {end}"
        end = f"SELECT pg_terminate_backend({self.pid})"
        return f"process {self.pid} {of_role} ({about}): let it finish, or {end}"


def named(holders: Iterable[LockHolder]) -> str:
    """Return the holders in words, at most NAMED of them."""
    words = [holder.words for holder in holders]
    more = f" and {len(words) - NAMED:,} more" if len(words) > NAMED else ""
    return f"{'; '.join(words[:NAMED])}{more}"


def holders_query(held: str, condition: str) -> TextClause:
    """Return the query for `found_holders`; `held` and `condition` are SQL about l, c and n."""
    return text(
        f"""
        WITH held AS (
            SELECT l.virtualtransaction AS transaction, l.pid, string_agg(DISTINCT {held}, ', ') AS held
            FROM pg_locks l
            LEFT JOIN pg_class c ON c.oid = l.relation LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE l.locktype = 'relation' AND l.granted AND ({condition})
                  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND l.pid IS DISTINCT FROM pg_backend_pid()
            GROUP BY l.virtualtransaction, l.pid
        )
        SELECT h.transaction, h.pid, coalesce(p.gid, '') AS gid,
               coalesce(CAST(a.usename AS text), CAST(p.owner AS text), '') AS role,
               coalesce(a.application_name, '') AS application, coalesce(a.state, '') AS state, h.held,
               CAST(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)) AS bigint)
                   AS seconds
        FROM held h
        LEFT JOIN pg_stat_activity a ON a.pid = h.pid
        LEFT JOIN pg_prepared_xacts p
            ON h.pid IS NULL AND EXISTS (SELECT FROM pg_locks x WHERE x.virtualtransaction = h.transaction
                                         AND x.pid IS NULL AND x.transactionid = p.transaction)
        ORDER BY seconds DESC NULLS LAST, h.transaction
        """  # noqa: S608  # nothing in it is foreign
    )


def found_holders(connection: Connection, query: TextClause, **given: Any) -> dict[str, LockHolder]:
    """Return the holders by transaction and process. Raises DatabaseError."""
    holders = (LockHolder(*row) for row in connection.execute(query, given))
    return {f"{holder.transaction} {holder.pid}": holder for holder in holders}


_OF_TABLE = holders_query("l.mode", "l.relation = to_regclass(:place) AND (:mode = '' OR l.mode = :mode)")


def holding(engine: Engine, place: str, mode: str = "") -> dict[str, LockHolder]:
    """Return the transactions that hold a table, in a mode of pg_locks or in any. Raises DatabaseError."""
    with connected(engine) as connection:
        return found_holders(connection, _OF_TABLE, place=place, mode=mode)


def lock_holders(engine: Engine, place: str, mode: str = "") -> str:
    """Return who holds a table, as a sentence; `mode` as for `holding`. Raises nothing."""
    try:
        found = holding(engine, place, mode)
    except DatabaseError as error:
        return f"Who holds it could not be asked: {error.message}"
    return f"Held by {named(found.values())}." if found else "By now nobody holds it."


WAIT_SECONDS = 5.0
POLL_SECONDS = 0.1
_IS_STANDBY = (
    "This server is a standby: which transactions are open on the primary is not known. Needed: the "
    "primary's address in DATABASE_URL."
)
_NEEDED = "Needed: GRANT SELECT ON pg_catalog.pg_locks, pg_catalog.pg_prepared_xacts TO the role"


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


def _sentence(writers: list[LockHolder]) -> str:
    return (
        f"{counted(len(writers), 'open transaction')} may have written tokens that nobody else sees yet: "
        f"{named(writers)}. Then try again."
    )


def _writers(engine: Engine, cancelled: Event | None) -> dict[str, LockHolder]:
    with connected(engine, cancelled=cancelled) as connection:
        return found_holders(connection, _WRITERS, own_schema=SCHEMA, own_tables=OWN_TABLES)


_STANDBY = text("SELECT pg_is_in_recovery()")

_WRITERS = holders_query(
    "coalesce(n.nspname || '.' || c.relname, 'a new table')",
    """l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
       AND (l.relation >= 16384 OR l.relation = CAST('pg_largeobject' AS regclass))
       AND (c.oid IS NULL OR c.oid < 16384
            OR (c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname !~ '^pg_'
                AND NOT (n.nspname = :own_schema AND c.relname = ANY (:own_tables))))""",
)
