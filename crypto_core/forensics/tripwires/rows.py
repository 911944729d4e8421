"""A table as the database describes it; decoys into it, and out of it again.

Each row is compared with what was planned before it counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, TextClause, select

from crypto_core.database.connection.engine import finish_with_next
from crypto_core.database.connection.transactions import ON_OWN_PATH
from crypto_core.database.dialect import place_oid
from crypto_core.database.qualified_sql import text
from crypto_core.database.tokens.decoys import Decoy
from crypto_core.database.tokens.expressions import id_in, id_text, table_of
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.database.tokens.token_source import is_decoy
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import ChangedByDatabaseError, RefusedError


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


_WRITTEN_ALIKE = (
    text("SET LOCAL TimeZone = 'UTC'"),
    text("SET LOCAL DateStyle = 'ISO, MDY'"),
    text("SET LOCAL IntervalStyle = 'postgres'"),
    text("SET LOCAL extra_float_digits = 1"),
    text("SET LOCAL bytea_output = 'hex'"),
)
"""So that a row reads the same whoever reads it."""


def written_alike(connection: Connection) -> None:
    """Have values written in one way until the transaction's end."""
    for statement in _WRITTEN_ALIKE:
        connection.execute(statement)


def row_digest(
    connection: Connection, columns: Sequence[ColumnShape], values: Mapping[str, str | None]
) -> bytes:
    """Return SHA-256 of a row as it will read once it is written. Raises DatabaseError."""
    given = [_text(c, f"CAST(:v{n} AS {_escaped(c.type)})") for n, c in enumerate(columns)]
    read = text(f"SELECT {_hashed(given)}")
    return bytes(connection.scalar(read, _numbered(columns, values)) or b"")


def insert_decoy(
    connection: Connection, shape: TableShape, decoy: Decoy, values: Mapping[str, str | None]
) -> None:
    """Insert one. Raises ChangedByDatabaseError if the database stores something else, DatabaseError."""
    columns = [shape.column(name) for name in decoy.columns]
    names = ", ".join(_escaped(c.quoted) for c in columns)
    given = ", ".join(f"CAST(:v{n} AS {_escaped(c.type)})" for n, c in enumerate(columns))
    statement = _writing(
        f"INSERT INTO {_escaped(shape.place)} ({names}) OVERRIDING SYSTEM VALUE "  # noqa: S608  # quoted names
        f"VALUES ({given}) RETURNING {_hashed(_texts(columns))}"
    )
    found = connection.execute(statement, _numbered(columns, values)).scalars().all()
    if [bytes(digest) for digest in found] != [decoy.row]:
        raise _changed(decoy)


def require_stored(connection: Connection, table: TokenTable, decoys: Sequence[Decoy]) -> None:
    """Pass if all stand as they are listed, once whatever waits for the end has run."""
    finish_with_next(connection)
    missing = set(decoys) - set(standing(connection, table, decoys))
    if missing:
        raise _changed(min(missing, key=lambda decoy: decoy.row_id))


def standing(connection: Connection, table: TokenTable, decoys: Sequence[Decoy]) -> tuple[Decoy, ...]:
    rows = table_of(table)
    found = set(connection.scalars(select(id_text(table, rows)).where(is_decoy(table, rows, decoys))))
    return tuple(decoy for decoy in decoys if decoy.row_id in found)


def there(connection: Connection, table: TokenTable, decoys: Sequence[Decoy]) -> frozenset[str]:
    rows = table_of(table)
    of_ids = id_in(table, rows, [decoy.row_id for decoy in decoys])
    return frozenset(connection.scalars(select(id_text(table, rows)).where(of_ids)))


def unchanged(
    connection: Connection, table: TokenTable, shape: TableShape, decoys: Sequence[Decoy]
) -> tuple[Decoy, ...]:
    same = []
    for decoy in decoys:
        read = text(f"SELECT {_hashed(_texts(_columns(shape, decoy)))} = :row {_at(table, shape)}")
        if connection.scalar(read, {"row": decoy.row, "id": decoy.row_id}):
            same.append(decoy)
    return tuple(same)


def delete_decoy(connection: Connection, table: TokenTable, shape: TableShape, decoy: Decoy) -> None:
    """Delete one, if it is whole as it was written. Raises RefusedError for any other, DatabaseError."""
    hashed = _hashed(_texts(_columns(shape, decoy)))
    statement = _writing(f"DELETE {_at(table, shape)} AND {hashed} = :row RETURNING 1")
    gone = connection.execute(statement, {"row": decoy.row, "id": decoy.row_id}).all()
    if len(gone) != 1:
        raise RefusedError(
            f"{decoy.refs[0]} is not as it was made: somebody has changed it since.",
            remedy="Nothing was removed. See what is in the row, and remove it by hand if nobody needs it.",
        )


def _writing(statement: str) -> TextClause:
    """A statement that writes, whose triggers run on their own search path."""
    return text(f"WITH written (given) AS ({statement}) SELECT given FROM written WHERE {ON_OWN_PATH}")  # noqa: S608


def _at(table: TokenTable, shape: TableShape) -> str:
    """The rest of a statement about one row, by the primary key's index."""
    column = shape.column(table.id_columns[0])
    place, name, type_ = map(_escaped, (shape.place, column.quoted, column.type))
    return f"FROM {place} WHERE {name} = CAST(:id AS {type_})"


def _columns(shape: TableShape, decoy: Decoy) -> list[ColumnShape]:
    return [shape.column(name) for name in decoy.columns]


def _texts(columns: Sequence[ColumnShape]) -> list[str]:
    return [_text(c, _escaped(c.quoted)) for c in columns]


def _text(column: ColumnShape, value: str) -> str:
    """A value as text; if its type isn't PostgreSQL's own, without a cast that its owner may have made."""
    return f"nullif(concat({value}), '')" if column.is_foreign else f"CAST({value} AS text)"


def _hashed(texts: Sequence[str]) -> str:
    return f"sha256(convert_to(CAST(json_build_array({', '.join(texts)}) AS text), 'UTF8'))"


def _numbered(columns: Sequence[ColumnShape], values: Mapping[str, str | None]) -> dict[str, Any]:
    return {f"v{n}": values.get(c.name) for n, c in enumerate(columns)}


def _escaped(name: str) -> str:
    """A quoted name within a statement of SQLAlchemy's, where a colon begins a parameter."""
    return name.replace("\\", "\\\\").replace(":", "\\:")


def _changed(decoy: Decoy) -> ChangedByDatabaseError:
    return ChangedByDatabaseError(
        f"The database stored another row than it was given for a decoy of {decoy.table}.",
        remedy="Nothing was kept. See which trigger or rule changes new rows there.",
    )
