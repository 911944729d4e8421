"""How far replicas are behind the primary, by the primary: streaming ones, and Aurora's.

PostgreSQL documentation, section 27.2.4, "pg_stat_replication"; Amazon Aurora User Guide,
"aurora_replica_status". Without pg_read_all_stats a role sees that there is a replica, and not where it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from sqlalchemy import Engine

from crypto_core.database.connection.engine import connected
from crypto_core.database.qualified_sql import text
from crypto_core.values.clean_text import clean

READ_STATS = "pg_read_all_stats"
"""The role whose members see where replicas are."""
REMEMBERED = 4_000
"""Positions in the WAL that are kept, one a look."""


@dataclass(frozen=True, slots=True)
class ReplicaLag:
    """The replica furthest behind, by its cleaned name. `unseen` counts those that can't be seen."""

    name: str = ""
    seconds: float = 0.0
    unseen: int = 0


class ReplicaLags:
    """One query a look. For one thread; blocks on SQL and raises DatabaseError.

    PostgreSQL measures a replica's lag by its answers. A replica that no longer answers is measured by where
    the primary was at each look.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._is_aurora: bool | None = None
        self._written: deque[tuple[float, int]] = deque(maxlen=REMEMBERED)

    def look(self) -> ReplicaLag:
        with connected(self._engine) as connection:
            if self._is_aurora is None:
                self._is_aurora = bool(connection.scalar(_HAS_AURORA))
            if self._is_aurora:
                rows = [(name, float(seconds)) for name, seconds in connection.execute(_AURORA)]
                return _worst(rows, 0)
            found = connection.execute(_STREAMING).all()
        now, written = self._clock(), found[0].written
        if written is None:  # a standby: it has nothing to say of others
            return ReplicaLag()
        if not self._written or written > self._written[-1][1]:
            self._written.append((now, written))
        replicas = [row for row in found if row.name is not None]
        placed = [row for row in replicas if row.replayed is not None]
        rows = [
            (
                row.name,
                max(float(row.lag or 0), self._since(row.replayed, now)) if row.replayed < written else 0.0,
            )
            for row in placed
        ]
        self._forget(min((row.replayed for row in placed), default=written))
        return _worst(rows, sum(row.state is None for row in replicas))

    def _since(self, replayed: int, now: float) -> float:
        """For how long at the least the primary has been ahead of a position."""
        return max((now - at for at, written in self._written if written > replayed), default=0.0)

    def _forget(self, replayed: int) -> None:
        while len(self._written) > 1 and self._written[0][1] <= replayed:
            self._written.popleft()


def _worst(rows: list[tuple[str, float]], unseen: int) -> ReplicaLag:
    name, seconds = max(rows, key=lambda row: row[1], default=("", 0.0))
    return ReplicaLag(clean(name or "without a name", 100) if rows else "", seconds, unseen)


_HAS_AURORA = text("SELECT to_regproc('aurora_replica_status') IS NOT NULL")
_AURORA = text(
    "SELECT server_id, replica_lag_in_msec / 1000.0 FROM aurora_replica_status() "
    "WHERE session_id <> 'MASTER_SESSION_ID' AND replica_lag_in_msec IS NOT NULL"
)
# A subscriber of logical replication is no replica, nor is what takes a backup or keeps WAL. Where there is
# none of them, the first row alone is there, of the primary.
_STREAMING = text(
    """
    SELECT CAST(p.lsn - CAST('0/0' AS pg_lsn) AS bigint) AS written, r.name, r.state,
           CAST(r.replay_lsn - CAST('0/0' AS pg_lsn) AS bigint) AS replayed,
           extract(epoch FROM r.replay_lag) AS lag
    FROM (SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn() END AS lsn) p
    LEFT JOIN (
        SELECT coalesce(nullif(w.application_name, ''), 'process ' || w.pid) AS name,
               w.state, w.replay_lsn, w.replay_lag
        FROM pg_stat_replication w
        WHERE coalesce(w.state, '') <> 'backup' AND NOT EXISTS (
            SELECT FROM pg_replication_slots s WHERE s.active_pid = w.pid AND s.slot_type = 'logical')
    ) r ON true
    """
)
