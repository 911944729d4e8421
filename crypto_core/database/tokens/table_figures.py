"""What PostgreSQL tells of the tables with tokens: size, room for updates, indexes, and upkeep during writes.

Every role may read it; pg_stats tells of columns that the role may read. Partitions count to their table.
PostgreSQL documentation, "Heap-Only Tuples (HOT)": an UPDATE writes to no index only where no index has the
column and the row's page has room.

PostgreSQL documentation, section 24.1.6, "The Autovacuum Daemon", and section 19.10. Each new envelope leaves
a dead row version. Vacuuming costs points: 20 for each page changed and 2 for each read; after so many
(autovacuum_vacuum_cost_limit) a worker sleeps (autovacuum_vacuum_cost_delay).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import ARRAY

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import place_oid
from crypto_core.database.qualified_sql import text
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.placed_tables import found_on_path
from crypto_core.database.tokens.tables import TokenColumn, TokenTable

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


@dataclass(frozen=True, slots=True)
class TableFigures:
    """One table. `rows` is PostgreSQL's own estimate, None where it has never been analysed.

    `token_indexes` are those that have one of the columns: then each update writes to all indexes.
    `envelope_bytes` are stored bytes of a value on average, by column, as far as pg_stats tells.
    `vacuum_at` is the number of dead rows at which autovacuum comes, None where it doesn't.
    """

    name: str
    rows: float | None
    heap_bytes: int
    indexes: int
    token_indexes: int
    fillfactor: int
    vacuum_at: float | None
    envelope_bytes: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class DatabaseFigures:
    """The tables with a job's tokens, and what the server tells of itself.

    `backup_bytes` are those of a replaced envelope with its indexes; None while there are too few to tell.
    """

    tables: tuple[TableFigures, ...] = ()
    backup_bytes: float | None = None
    writes_page_images: bool = True
    is_aurora: bool = False


def read_figures(catalogue: LiveCatalogue, columns: Iterable[TokenColumn]) -> DatabaseFigures:
    by_table: dict[str, list[str]] = {}
    for column in columns:
        by_table.setdefault(column.table, []).append(column.column)
    known = catalogue()
    with connected(catalogue.engine) as connection:
        is_aurora = bool(connection.scalar(_IS_AURORA))
        writes_page_images = connection.scalar(_PAGE_IMAGES) != "off" and not is_aurora
        tables = tuple(_table(connection, known.table(name), by_table[name]) for name in sorted(by_table))
        rows, size = connection.execute(_BACKUPS).one()
    return DatabaseFigures(
        tables, size / rows if rows and rows >= _ENOUGH else None, writes_page_images, is_aurora
    )


def _table(connection: Connection, table: TokenTable, columns: list[str]) -> TableFigures:
    place = {"schema": table.place, "table": table.relation}
    found = connection.execute(_READ_TABLE, {**place, "columns": columns})
    rows, heap, indexes, token_indexes, options, widths = found.one()
    own = dict(option.split("=", 1) for option in options or ())
    known = None if rows is None or rows < 0 else float(rows)
    after = [part.after for part in vacuuming(connection, (table,))]
    comes = known is not None and after and None not in after
    return TableFigures(
        table.name,
        known,
        int(heap or 0),
        int(indexes),
        int(token_indexes),
        int(own.get("fillfactor", 100)),
        float(sum(filter(None, after))) if comes else None,
        {column: float(width) for column, width in (widths or {}).items()},
    )


_ENOUGH = 1_000

_PAGE_IMAGES = text("SELECT current_setting('full_page_writes')")
_IS_AURORA = text("SELECT EXISTS (SELECT FROM pg_proc WHERE proname = 'aurora_version')")
_BACKUPS = text(
    f"""
    SELECT max(c.reltuples), max(pg_total_relation_size(c.oid)) FROM pg_class c
    WHERE c.oid = {place_oid("'keydeck'", "'envelope_backup'")}
    """  # noqa: S608  # nothing in it is foreign
)
_READ_TABLE = text(
    f"""
    WITH place AS (SELECT {place_oid("CAST(:schema AS text)", "CAST(:table AS text)")} AS oid), parts AS (
        SELECT c.* FROM pg_class c, place WHERE (c.oid = place.oid OR c.oid IN (
            SELECT relid FROM pg_partition_tree(place.oid))) AND c.relkind <> 'p'), columns AS (
        SELECT a.attrelid, a.attnum, a.attname FROM pg_attribute a JOIN parts p ON p.oid = a.attrelid
        WHERE a.attname = ANY (:columns)), kept AS (
        SELECT i.* FROM pg_index i JOIN parts p ON p.oid = i.indrelid)
    SELECT CASE WHEN bool_and(p.reltuples >= 0) THEN sum(p.reltuples) END,
           sum(coalesce(pg_relation_size(p.oid), 0)),
           (SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM kept GROUP BY indrelid) AS each),
           (SELECT count(DISTINCT k.indexrelid) FROM kept k JOIN columns c ON c.attrelid = k.indrelid
            WHERE c.attnum = ANY (CAST(k.indkey AS int2[])) OR EXISTS (
                SELECT FROM pg_depend d WHERE d.objid = k.indexrelid AND d.refobjid = k.indrelid
                       AND d.refobjsubid = c.attnum)),
           (SELECT reloptions FROM parts ORDER BY reltuples DESC LIMIT 1),
           (SELECT jsonb_object_agg(attname, width) FROM (
                SELECT s.attname, max(s.avg_width) AS width
                FROM pg_stats s JOIN pg_namespace n ON n.nspname = s.schemaname
                     JOIN parts q ON q.relnamespace = n.oid AND q.relname = s.tablename
                WHERE s.attname = ANY (:columns) AND s.null_frac < 1 GROUP BY 1) AS told)
    FROM parts p
    """  # noqa: S608  # nothing in it is foreign
).bindparams(bindparam("columns", type_=ARRAY(SqlText)))
