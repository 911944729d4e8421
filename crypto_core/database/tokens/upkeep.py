"""PostgreSQL's upkeep while many tokens are written: autovacuum, and logical slots.

PostgreSQL documentation, section 24.1.6, "The Autovacuum Daemon", and section 19.10. Each new envelope leaves
a dead row version. Vacuuming costs points: 20 for each page changed and 2 for each read; after so many
(autovacuum_vacuum_cost_limit) a worker sleeps (autovacuum_vacuum_cost_delay).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from crypto_core.database.dialect import place_oid
from crypto_core.database.qualified_sql import text
from crypto_core.database.tokens.placed_tables import found_on_path
from crypto_core.database.tokens.tables import TokenTable

MOST_DEAD = 2_000_000
"""Dead rows at which a table should be vacuumed: removing more at once takes long."""


@dataclass(frozen=True, slots=True)
class Vacuuming:
    """A table's or a partition's vacuuming: by itself `after` so many dead rows, None for never."""

    table: str
    rows: int
    after: int | None
    oldest_seconds: float
    """Age of the oldest transaction that keeps dead rows from being removed."""

    @property
    def remedy(self) -> str:
        """The statement that has it vacuumed in time, "" where it is."""
        if self.after is None:
            return f"ALTER TABLE {self.table} SET (autovacuum_enabled = on);"
        if self.after > MOST_DEAD:
            scale = max(round(MOST_DEAD / 2 / max(self.rows, MOST_DEAD), 4), 0.0001)
            settings = f"autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = {scale:g}"
            return f"ALTER TABLE {self.table} SET ({settings});"
        return ""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Bytes of WAL that a logical slot's subscriber has still to take."""

    name: str
    bytes: int


def vacuuming(connection: Connection, tables: Iterable[TokenTable]) -> list[Vacuuming]:
    found = []
    for table in found_on_path(connection, tables):
        names = {"schema": table.place, "table": table.relation}
        rows = connection.execute(_VACUUMING, names)
        found += [Vacuuming(partition or table.name, *row) for partition, *row in rows]
    return found


def backlogs(connection: Connection) -> list[Backlog]:
    """Return the WAL that logical slots have still to take, the largest first. Raises DatabaseError."""
    return [Backlog(*row) for row in connection.execute(_SLOTS)]


_OPTIONS = "(SELECT option_value FROM pg_options_to_table(c.reloptions) WHERE option_name = '{name}')"


def _setting(name: str) -> str:
    return f"CAST(coalesce({_OPTIONS.format(name=name)}, current_setting('{name}', true)) AS float8)"


_ENABLED = _OPTIONS.format(name="autovacuum_enabled")
_OF_TABLE = place_oid("CAST(:schema AS text)", "CAST(:table AS text)")
_VACUUMING = text(
    f"""
    WITH place AS (SELECT {_OF_TABLE} AS oid)
    SELECT CASE WHEN c.oid <> place.oid THEN format('%I.%I', n.nspname, c.relname) END,
           greatest(CAST(c.reltuples AS bigint), 0),
           CASE WHEN current_setting('autovacuum') = 'off' OR CAST({_ENABLED} AS boolean) IS FALSE
                THEN NULL
                ELSE CAST(least({_setting("autovacuum_vacuum_threshold")}
                     + {_setting("autovacuum_vacuum_scale_factor")} * greatest(c.reltuples, 0),
                     nullif(greatest({_setting("autovacuum_vacuum_max_threshold")}, -1), -1)) AS bigint) END,
           coalesce((SELECT max(extract(epoch FROM clock_timestamp() - a.xact_start)) FROM pg_stat_activity a
                     WHERE a.backend_xmin IS NOT NULL AND a.pid <> pg_backend_pid()
                           AND a.datname = current_database()), 0)
    FROM place
         JOIN pg_class c ON c.oid = place.oid OR c.oid IN (SELECT relid FROM pg_partition_tree(place.oid))
         JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' ORDER BY c.oid
    """  # noqa: S608  # names of our own
)
_SLOTS = text(
    """
    SELECT CAST(slot_name AS text), CAST(pg_current_wal_lsn() - confirmed_flush_lsn AS bigint)
    FROM pg_replication_slots WHERE slot_type = 'logical' AND confirmed_flush_lsn IS NOT NULL
          AND NOT pg_is_in_recovery() AND database = current_database()
    ORDER BY 2 DESC
    """
)
