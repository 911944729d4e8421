"""Where declared tables are, and where rows of theirs can be that a count doesn't see.

A table is one with a schema, or a pattern of schemas, once in each that matches. Each row of a view that
PostgreSQL can update by itself is one row of its table (CREATE VIEW, "Updatable Views"), so a column that
shows a unique one of the table is unique in the view. Which one it shows stands in the view's rule alone;
where that can't be read, the view has no such column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, bindparam
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import ARRAY

from crypto_core.database.connection.engine import schemas_on_own_path
from crypto_core.database.dialect import place_oid
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import SCHEMA
from crypto_core.database.tokens.tables import TokenTable, placed_names
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.counts import listed
from crypto_core.values.references import table_name

NAMED = 10


@dataclass(frozen=True, slots=True)
class PlacedTables:
    """None twice. `gaps` are sentences about declared tables that aren't there."""

    tables: tuple[TokenTable, ...]
    gaps: tuple[CleanText, ...] = ()


def placed_tables(connection: Connection, declared: Iterable[TokenTable]) -> PlacedTables:
    """Return the tables that are meant by what is declared, as this role sees the catalogue now.

    Of two that are declared by one name the later counts; and so it does of one in a schema that two patterns
    match. What is found by the search path and is declared with its schema too has its schema in its name.
    Raises DatabaseError.
    """
    distinct = tuple({(table.schema, table.name): table for table in declared}.values())
    if all(table.schema is None for table in distinct):
        return PlacedTables(found_on_path(connection, distinct))
    names = sorted({table.name for table in distinct})
    schemas: dict[str, set[str]] = {}
    for row in connection.execute(_SCHEMAS, {"names": names, "own": SCHEMA}):
        schemas[row.schema] = set(row.there)
    placed: dict[str, TokenTable] = {}
    gaps: list[str] = []
    for table in distinct:
        matching = [name for name in schemas if _matches(name, table.schema)]
        there = [name for name in matching if table.name in schemas[name]]
        for schema in there:
            name = table_name(schema, table.name)
            placed[name] = replace(table, name=name, schema=schema)
        gaps += _gaps(table, matching, [name for name in matching if name not in there])
    by_path = found_on_path(connection, (table for table in distinct if table.schema is None))
    alone = (t for t in by_path if t.found_in is None or table_name(t.found_in, t.name) not in placed)
    return PlacedTables((*alone, *placed.values()), tuple(clean(gap, 1_000) for gap in gaps))


def found_on_path(connection: Connection, tables: Iterable[TokenTable]) -> tuple[TokenTable, ...]:
    """Return tables with the schema in which the search path finds them."""
    every = tuple(tables)
    names = [table.name for table in every if table.place is None]
    if not names:
        return every
    asked = {"names": names, "schemas": schemas_on_own_path(connection)}
    found: dict[str, str] = dict(connection.execute(_BY_PATH, asked).all())
    return tuple(t if t.place else replace(t, found_in=found.get(t.name)) for t in every)


def _matches(schema: str, pattern: str | None) -> bool:
    if pattern is None:
        return False
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), schema, re.DOTALL) is not None


def _gaps(table: TokenTable, matching: list[str], without: list[str]) -> list[str]:
    if table.schema is None:
        return []
    if not matching:
        is_pattern = "*" in table.schema
        none = "No schema matches" if is_pattern else "There is no schema"
        return [f"{none} {table.schema}: no table {table.name} is counted there."]
    if not without:
        return []
    named = listed(without, NAMED)
    return [f"There is no table {table.name} in {named}, where schema = {table.schema} describes one."]


_SYSTEM = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND n.nspname <> :own"

_SCHEMAS = text(
    f"""
    SELECT n.nspname AS schema,
           ARRAY(SELECT c.relname::text FROM pg_class c
                 WHERE c.relnamespace = n.oid AND c.relname = ANY (:names)
                       AND c.relkind IN ('r', 'p', 'v', 'm', 'f')) AS there
    FROM pg_namespace n WHERE {_SYSTEM} ORDER BY n.nspname
    """  # noqa: S608  # nothing in it is foreign
)

_BY_PATH = text(
    """
    SELECT DISTINCT ON (c.relname) c.relname, n.nspname
    FROM unnest(CAST(:schemas AS text[])) WITH ORDINALITY AS path(schema_name, number)
    JOIN pg_namespace n ON n.nspname = path.schema_name AND n.nspname !~ '^pg_temp'
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = ANY (CAST(:names AS text[]))
    ORDER BY c.relname, path.number
    """
)
"""The first of some schemas in which there are some tables. What another client of a pooler left behind in
its session's own is none."""


def view_columns(connection: Connection, tables: Iterable[TokenTable]) -> dict[str, dict[str, Any]]:
    """Return of those tables that are views of one table, by name, whether a column is never NULL, and its
    unique keys, by the view's names. A key with None in it has columns that the view doesn't show.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(_SHOWN, placed_names(tables)):
        found.setdefault(row.name, {})[row.attname] = row
    return found


# A name in a rule has its spaces escaped, so nothing in it reads as a field. The number of matches tells
# whether a query within the view's query has columns of its own.
_SHOWN = text(
    rf"""
    WITH shown AS (
        SELECT asked.name, a.attname, CAST(m.part[2] AS oid) AS origin, CAST(m.part[3] AS int) AS number
        FROM unnest(CAST(:names AS text[]), CAST(:schemas AS text[]), CAST(:tables AS text[]))
             AS asked(name, schema_name, table_name)
        JOIN pg_class c ON c.oid = {place_oid("asked.schema_name", "asked.table_name")}
             AND c.relkind = 'v' AND pg_relation_is_updatable(c.oid, false) & 4 = 4
        JOIN pg_rewrite r ON r.ev_class = c.oid AND r.rulename = '_RETURN'
        CROSS JOIN LATERAL (SELECT CAST(r.ev_action AS text) AS said) AS rule
        CROSS JOIN LATERAL regexp_matches(
            rule.said,
            '\:resno (\d+) \:resname (?\:\\.|[^\s\\])+ \:ressortgroupref \d+ \:resorigtbl (\d+) \:resorigcol (\d+)',
            'g') AS m(part)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = CAST(m.part[1] AS int)
        WHERE c.relnatts = (SELECT count(*) FROM regexp_matches(rule.said, '\:resno ', 'g'))
    )
    SELECT s.name, s.attname, b.attnotnull AS required,
           (SELECT coalesce(json_agg((
                SELECT json_agg(o.attname) FROM unnest(i.indkey[0\:i.indnkeyatts - 1]) AS part(number)
                LEFT JOIN shown o ON o.name = s.name AND o.origin = s.origin AND o.number = part.number)), '[]')
            FROM pg_index i
            WHERE i.indrelid = s.origin AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                  AND s.number = ANY (i.indkey)) AS unique_keys
    FROM shown s JOIN pg_attribute b ON b.attrelid = s.origin AND b.attnum = s.number
    JOIN pg_class t ON t.oid = s.origin
         AND (t.relkind = 'p' OR t.relkind = 'r' AND NOT t.relhassubclass)
    """  # noqa: S608, E501  # nothing in it is foreign
)


def hidden_rows(connection: Connection, tables: Iterable[TokenTable]) -> tuple[str, ...]:
    """Return, one sentence each, why rows of these tables may be missing in a count. Raises DatabaseError.

    Row-level security, tables of the same name in other schemas, partitions beside a token table, foreign
    tables. It is one query, of the catalogue alone. Names are as the database has them.
    """
    columns = [(table, column) for table in tables for column in table.token_columns]
    asked = {
        "names": [table.name for table, _ in columns],
        "schemas": [table.place for table, _ in columns],
        "by_path": [table.schema is None for table, _ in columns],
        "tables": [table.relation for table, _ in columns],
        "columns": [column for _, column in columns],
    }
    rows = connection.execute(_HIDDEN, asked).all()
    return tuple(
        _SENTENCES[kind].format(subject=subject, places=listed([row.place for row in group], NAMED))
        for (kind, subject), group in groupby(rows, key=lambda row: (row.kind, row.subject))
    )


_FILTERED = (
    "Row-level security on {subject} hides rows from role {places}. Needed: a role with BYPASSRLS, or the "
    "owner of the table without FORCE ROW LEVEL SECURITY"
)
_SENTENCES = {
    "filtered": _FILTERED,
    "refused": f"{_FILTERED}; with row_security = off, as in this session, PostgreSQL refuses it.",
    "same name": "Tables by the name of {subject} elsewhere have tokens, and are not counted: {places}.",
    "shadowed": "{subject} is taken from the schema that is named like the role, before the others: {places} "
    "is not counted. Needed: another search_path, or no such table",
    "partition": "{subject} is a partition; those beside it can't be read, and are not counted: {places}.",
    "foreign": "Rows of foreign tables are elsewhere, so whether tokens are there is not known: {places}.",
}

_HIDDEN = text(
    f"""
    WITH RECURSIVE declared AS MATERIALIZED (
        SELECT one.name, one.relation, one.schema_name, one.by_path, array_agg(one.column_name) AS columns,
               {place_oid("one.schema_name", "one.relation")} AS oid
        FROM unnest(:names, :schemas, CAST(:by_path AS boolean[]), :tables, :columns)
             AS one(name, schema_name, by_path, relation, column_name)
        GROUP BY one.name, one.schema_name, one.by_path, one.relation
    ), present AS MATERIALIZED (
        SELECT d.*, c.relispartition, c.relnamespace,
               d.by_path AND n.nspname = current_user AS is_own
        FROM declared d JOIN pg_class c ON c.oid = d.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    ), beside AS (
        -- Not pg_partition_tree, which waits for whoever has a partition locked.
        SELECT p.name, p.oid AS declared, root.oid AS root, root.oid
        FROM present p JOIN pg_class root ON root.oid = pg_partition_root(p.oid) WHERE p.relispartition
        UNION ALL
        SELECT b.name, b.declared, b.root, i.inhrelid FROM beside b JOIN pg_inherits i ON i.inhparent = b.oid
    ), others AS (
        SELECT d.relation, bool_or(coalesce(p.is_own, false)) AS shadowed, n.nspname, c.relname
        FROM declared d LEFT JOIN present p ON p.name = d.name
        JOIN pg_class c ON c.relname = d.relation
             AND NOT EXISTS (SELECT FROM declared WHERE declared.oid = c.oid)
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence <> 't'
              AND n.nspname NOT IN ('pg_catalog', 'information_schema')
              AND EXISTS (SELECT FROM pg_attribute a
                          WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attname = ANY (d.columns))
              AND NOT EXISTS (SELECT FROM pg_partition_ancestors(c.oid) above
                              JOIN declared ON declared.oid = above.relid)
        GROUP BY d.relation, n.nspname, c.relname
    )
    SELECT CASE WHEN current_setting('row_security') = 'on' THEN 'filtered' ELSE 'refused' END AS kind,
           name AS subject, current_user::text AS place
    FROM present WHERE row_security_active(oid)
    UNION ALL
    SELECT CASE WHEN shadowed THEN 'shadowed' ELSE 'same name' END, relation,
           format('%s.%s', nspname, relname)
    FROM others
    UNION ALL
    SELECT 'partition', b.name, format('%s.%s', n.nspname, c.relname)
    FROM beside b JOIN pg_class c ON c.oid = b.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind <> 'p' AND c.oid <> ALL (SELECT present.oid FROM present)
          AND NOT EXISTS (SELECT FROM pg_partition_ancestors(c.oid) above WHERE above.relid = b.declared)
          AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
          AND NOT has_table_privilege(b.root, 'SELECT')
    UNION ALL
    SELECT 'foreign', '', format('%s.%s', n.nspname, c.relname)
    FROM pg_foreign_table f JOIN pg_class c ON c.oid = f.ftrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                        AND t.typcategory NOT IN ('B', 'D', 'E', 'G', 'I', 'N', 'T', 'V')
                        AND t.oid <> 'uuid'::regtype)
    ORDER BY 1, 2, 3
    """  # noqa: S608  # nothing in it is foreign
).bindparams(*(bindparam(name, type_=ARRAY(SqlText)) for name in ("names", "schemas", "tables", "columns")))
