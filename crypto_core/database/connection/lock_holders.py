"""The holders of a lock that a statement waited for in vain."""

from __future__ import annotations

from sqlalchemy import Engine

from crypto_core.database.connection.engine import connected
from crypto_core.database.qualified_sql import text
from crypto_core.errors import DatabaseError
from crypto_core.text.cleaning import clean

LOCK_NOT_AVAILABLE = "55P03"

_MOST = 5
_HELD = text(
    """
    SELECT l.pid, string_agg(DISTINCT l.mode, ', ') AS modes, max(a.usename::text) AS role,
           max(a.application_name) AS application, max(a.state) AS state,
           CAST(max(extract(epoch FROM clock_timestamp() - a.xact_start)) AS bigint) AS seconds
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.relation = to_regclass(:place) AND l.granted
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND l.pid <> pg_backend_pid() AND (:mode = '' OR l.mode = :mode)
    GROUP BY l.pid ORDER BY max(a.xact_start) NULLS LAST LIMIT :most
    """
)
"""Without pg_read_all_stats, only process and role of other roles' sessions are shown."""


_HOLDING = text(
    """
    SELECT l.pid, l.virtualtransaction FROM pg_locks l
    WHERE l.locktype = 'relation' AND l.relation = to_regclass(:place) AND l.granted AND l.mode = :mode
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND l.pid <> pg_backend_pid()
    """
)


def holding(engine: Engine, place: str, mode: str) -> frozenset[tuple[int, str]]:
    """Return the transactions that hold a table in a mode. Raises DatabaseError."""
    with connected(engine) as connection:
        rows = connection.execute(_HOLDING, {"place": place, "mode": mode})
        return frozenset((row.pid, row.virtualtransaction) for row in rows)


def lock_holders(engine: Engine, place: str, mode: str = "") -> str:
    """Return the sessions that hold a table, as a sentence. Raises nothing.

    `mode` is a lock mode's name in pg_locks; by default any counts.
    """
    try:
        with connected(engine) as connection:
            rows = connection.execute(_HELD, {"place": place, "mode": mode, "most": _MOST}).all()
    except DatabaseError as error:
        return f"Who holds it could not be asked: {error.message}"
    if not rows:
        return "By now nobody holds it."
    return f"Held by {'; '.join(map(_words, rows))}."


def _words(row: object) -> str:
    pid, modes, role, application, state, seconds = tuple(row)  # type: ignore[arg-type, var-annotated]
    parts = [f"process {pid}", f"of role {clean(role, 100)}" if role else "of a role that is not shown"]
    if application:
        parts.append(f"({clean(application, 100)})")
    if state:
        parts.append(clean(state, 60))
    if seconds is not None:
        parts.append(f"for {seconds:,} s")
    return f"{' '.join(parts)}: {clean(modes, 200)}"
