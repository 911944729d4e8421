"""What the database itself may do to a token that is written: triggers, rules, generated columns, widths."""

from __future__ import annotations

from sqlalchemy import Connection, text

from crypto_core.database.dialect import place_oid
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.references import split_name
from crypto_core.text.cleaning import CleanText, clean

ENVELOPE_CHARACTERS = 400
"""No envelope is shorter: a data key that KMS wrapped has 152 bytes and more, and is in base64 twice."""

_OBSTACLES = text(
    f"""
    WITH stored AS (
        SELECT a.* FROM pg_attribute a
        WHERE a.attrelid = {place_oid("CAST(:schema AS text)", "CAST(:table AS text)")}
              AND a.attname = :column AND NOT a.attisdropped)
    SELECT 'trigger ' || quote_ident(t.tgname)
           || CASE WHEN t.tgtype & 64 <> 0 THEN ' runs instead of' WHEN t.tgtype & 2 <> 0 THEN ' runs before'
              ELSE ' runs after' END || ' each UPDATE'
    FROM stored s JOIN pg_trigger t ON t.tgrelid = s.attrelid
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 16 <> 0
          AND (cardinality(t.tgattr::int2[]) = 0 OR s.attnum = ANY (t.tgattr::int2[]))
    UNION ALL
    SELECT 'rule ' || quote_ident(r.rulename) || ' rewrites each UPDATE'
    FROM stored s JOIN pg_rewrite r ON r.ev_class = s.attrelid
    WHERE r.ev_type = '2' AND r.ev_enabled <> 'D'
    UNION ALL
    SELECT 'the column is generated, so that nothing can be written' FROM stored s WHERE s.attgenerated <> ''
    UNION ALL
    SELECT 'the column holds ' || s.atttypmod - 4 || ' characters at most, fewer than an envelope has'
    FROM stored s
    WHERE s.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND s.atttypmod BETWEEN 5 AND :width + 3
    """  # noqa: S608  # nothing in it is foreign
)


def write_obstacles(connection: Connection, column: TokenColumn) -> tuple[CleanText, ...]:
    """Return what may change or refuse a token that is written to a column, a clause each."""
    schema, table = split_name(column.table)
    names = {"schema": schema, "table": table, "column": column.column, "width": ENVELOPE_CHARACTERS}
    return tuple(clean(said, 200) for said in connection.scalars(_OBSTACLES, names))
