"""Where rows of token tables can be that a count doesn't see, as PostgreSQL's catalogue tells."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from sqlalchemy import Connection, bindparam
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import ARRAY

from crypto_core.database.dialect import place_oid
from crypto_core.database.qualified_sql import text
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.text.counts import listed

NAMED = 10
"""Names in one sentence."""


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
