"""Transactions that may have written tokens and have not ended: nobody else sees what they wrote.

Whoever writes to a table holds a lock of it until the end of the transaction, a prepared one too, and
pg_locks shows every role all locks. So once the holders of one moment are gone, whatever was written by then
is committed or undone. PostgreSQL documentation, "Explicit Locking".
"""

from __future__ import annotations

from threading import Event
from time import monotonic

from sqlalchemy import Engine

from crypto_core.cancellation import stop_if
from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.lock_holders import LockHolder, found_holders, holders_query, named
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import OWN_TABLES, SCHEMA
from crypto_core.errors import DatabaseError
from crypto_core.text.counts import counted

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
