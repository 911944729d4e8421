"""What a view's columns are in the one table that it shows, as far as it decides which of them name one row.

Each row of a view that PostgreSQL can update by itself is one row of its table (CREATE VIEW, "Updatable
Views"), so a column that shows a unique one of the table is unique in the view. Which one it shows stands in
the view's rule alone; where that can't be read, the view has no such column.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from crypto_core.database.dialect import place_oid
from crypto_core.database.qualified_sql import text
from crypto_core.database.tokens.tables import TokenTable


def view_columns(connection: Connection, tables: Iterable[TokenTable]) -> dict[str, dict[str, Any]]:
    """Return of those tables that are views of one table, by name, whether a column is never NULL, and its
    unique keys, by the view's names. A key with None in it has columns that the view doesn't show.
    """
    every = list(tables)
    asked = {
        "names": [table.name for table in every],
        "schemas": [table.place for table in every],
        "tables": [table.relation for table in every],
    }
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(_SHOWN, asked):
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
