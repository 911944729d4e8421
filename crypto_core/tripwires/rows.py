"""Decoys into their table, and out of it again: each is compared with what was planned before it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, TextClause, select

from crypto_core.database.connection.engine import finish_with_next
from crypto_core.database.connection.transaction_start import ON_OWN_PATH
from crypto_core.database.qualified_sql import text
from crypto_core.database.tokens.decoys import Decoy
from crypto_core.database.tokens.expressions import id_in, id_text, table_of
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.database.tokens.token_source import is_decoy
from crypto_core.errors import ChangedByDatabaseError, RefusedError
from crypto_core.tripwires.table_shape import ColumnShape, TableShape

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
