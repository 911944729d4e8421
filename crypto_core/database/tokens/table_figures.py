"""What PostgreSQL's catalogue and statistics tell of the tables with tokens: size, room for updates, indexes.

Every role may read it; pg_stats tells of columns that the role may read. Partitions count to their table.
PostgreSQL documentation, "Heap-Only Tuples (HOT)": an UPDATE writes to no index only where no index has the
column and the row's page has room.
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
from crypto_core.database.tokens.tables import TokenColumn, TokenTable
from crypto_core.database.tokens.upkeep import vacuuming


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
