"""A table as the database describes it: what a row of it must have, and what happens when one is added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from crypto_core.database.dialect import place_oid
from crypto_core.database.qualified_sql import text
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.errors import RefusedError
from crypto_core.text.cleaning import clean


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """One column. `quoted` and `type` are as SQL writes them; `sequence` is where its numbers come from."""

    name: str
    quoted: str
    type: str
    required: bool
    is_time: bool
    is_document: bool
    unique: bool
    refers: bool
    sequence: str = ""
    is_foreign: bool = False
    """True where the type isn't PostgreSQL's own."""


@dataclass(frozen=True, slots=True)
class TableShape:
    """One table. `place` is its name as SQL writes it; `remarks` say what else happens to a new row."""

    place: str
    columns: tuple[ColumnShape, ...]
    remarks: tuple[str, ...] = ()

    def column(self, name: str) -> ColumnShape:
        for column in self.columns:
            if column.name == name:
                return column
        raise RefusedError(f"{self.place} has no column {clean(name, 100)!r} that can be written.")


_TABLE = text(
    f"""
    SELECT c.oid, c.relkind, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS place,
           quote_ident(current_user) AS role,
           has_table_privilege(c.oid, 'DELETE') AS may_delete,
           row_security_active(c.oid) AS row_security
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = {place_oid("CAST(:schema AS text)", "CAST(:table AS text)")}
    """  # noqa: S608  # nothing in it is foreign
)
_COLUMNS = text(
    """
    SELECT a.attname AS name, quote_ident(a.attname) AS quoted,
           format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required,
           t.typcategory AS category, t.typname, t.typname IN ('json', 'jsonb') AS is_document,
           t.typnamespace <> 'pg_catalog'::regnamespace AND t.typtype <> 'd' AS is_foreign,
           CAST(pg_get_serial_sequence(CAST(a.attrelid AS regclass)::text, a.attname) AS text) AS sequence,
           has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS may_read,
           has_column_privilege(a.attrelid, a.attnum, 'INSERT') AS may_insert,
           EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique
                   AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum) AS is_unique,
           EXISTS (SELECT FROM pg_constraint f WHERE f.conrelid = a.attrelid AND f.contype = 'f'
                   AND a.attnum = ANY (f.conkey)) AS refers
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = :oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    ORDER BY a.attnum
    """
)
_MAY_DRAW = text("SELECT has_sequence_privilege(CAST(:sequence AS text), 'USAGE')")
_REMARKS = text(
    """
    SELECT 'Trigger ' || quote_ident(tgname) || ' runs for a new or a removed row.'
    FROM pg_trigger WHERE tgrelid = :oid AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 12 <> 0
    UNION ALL
    SELECT 'Rule ' || quote_ident(rulename) || ' rewrites what is inserted or deleted.'
    FROM pg_rewrite WHERE ev_class = :oid AND ev_type IN ('3', '4') AND ev_enabled <> 'D'
    UNION ALL
    SELECT 'Constraint ' || quote_ident(conname) || ' of ' || CAST(CAST(conrelid AS regclass) AS text)
           || ' refers to this table' || CASE confdeltype WHEN 'c'
           THEN ': rows that refer to a decoy are deleted with it.' ELSE '.' END
    FROM pg_constraint WHERE confrelid = :oid AND contype = 'f'
    """
)


def read_shape(connection: Connection, table: TokenTable) -> TableShape:
    """Return what there is to know of a table. Raises RefusedError where no decoy can be put there."""
    if table.has_composite_id:
        raise RefusedError(
            f"A row of {table.name} is told by several columns: no decoy is made there.",
            remedy="Choose another table.",
        )
    other = [c for c in table.token_columns if not table.is_text(c)]
    if other:
        raise RefusedError(
            f"{table.name}.{other[0]} is no text column: no decoy is made there.",
            remedy="Choose a table whose tokens are in text columns.",
        )
    found = connection.execute(_TABLE, {"schema": table.place, "table": table.relation}).one_or_none()
    if found is None or found.relkind not in ("r", "p"):
        raise RefusedError(f"{table.name} is no table.", remedy="Choose a table.")
    rows = connection.execute(_COLUMNS, {"oid": found.oid}).all()
    _require_privileges(connection, found, rows)
    remarks = [clean(said, 300) for said in connection.scalars(_REMARKS, {"oid": found.oid})]
    if found.row_security:
        remarks.append(clean("Row-level security is in force: a policy may refuse the rows.", 300))
    return TableShape(found.place, tuple(map(_column, rows)), tuple(remarks))


def _require_privileges(connection: Connection, table: Any, columns: Any) -> None:
    lacking = [c.quoted for c in columns if not c.may_read]
    needed = [f"GRANT SELECT ({', '.join(lacking)}) ON {table.place} TO {table.role}"] if lacking else []
    if not table.may_delete or not all(c.may_insert for c in columns):
        needed.append(f"GRANT INSERT, DELETE ON {table.place} TO {table.role}")
    needed += [
        f"GRANT USAGE ON SEQUENCE {c.sequence} TO {table.role}"
        for c in columns
        if c.sequence and not connection.scalar(_MAY_DRAW, {"sequence": c.sequence})
    ]
    if needed:
        raise RefusedError(
            f"The role {table.role} can't add rows to {table.place}, or take them away again.",
            remedy="Use a role that may, or have it granted for this alone and revoked afterwards: "
            f"{clean('; '.join(needed), 1_000)}.",
        )


def _column(row: Any) -> ColumnShape:
    return ColumnShape(
        row.name,
        row.quoted,
        row.type,
        row.required,
        is_time=row.category == "D",
        is_document=row.is_document,
        unique=row.is_unique,
        refers=row.refers,
        sequence=row.sequence or "",
        is_foreign=row.is_foreign,
    )
