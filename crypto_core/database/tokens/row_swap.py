"""The statements of a compare-and-swap in the platform's rows: lock, exchange, compare."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.expression import TableClause

from crypto_core.database.connection.lock_holders import LOCK_NOT_AVAILABLE
from crypto_core.database.connection.transactions import ON_OWN_PATH
from crypto_core.database.dialect import place_oid
from crypto_core.database.qualified_sql import text
from crypto_core.database.tokens import expressions as sql
from crypto_core.database.tokens.attached_code import write_obstacles
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.database.tokens.token_source import whole_bytes, whole_value
from crypto_core.values import errors
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted

_IMPATIENT = text(
    "SELECT txid_current(), CASE WHEN current_setting('lock_timeout') = '0' "
    "OR CAST(current_setting('lock_timeout') AS interval) > interval '150ms' "
    "THEN set_config('lock_timeout', '150ms', true) END"
)
"""Others that wait for rows locked here must not wait for another lock besides."""
_HAS_XMIN = text(
    "SELECT relkind IN ('r', 'p') FROM pg_class "  # noqa: S608  # nothing in it is foreign
    f"WHERE oid = {place_oid('CAST(:schema AS text)', 'CAST(:table AS text)')}"
)


def begin_swap(connection: sa.Connection) -> int:
    """Have the transaction wait for no lock for long. Returns its number."""
    return int(connection.execute(_IMPATIENT).scalar_one())


def lock_rows(
    connection: sa.Connection, table: TokenTable, ids: Collection[str], *, wait: bool
) -> frozenset[str]:
    """Lock rows that no other transaction holds, and wait for none: others wait for those that are locked.

    Returns the ids of those that are locked now. Raises DatabaseTimeoutError, with `wait`, if one is held.
    """
    ordered = sorted(ids)
    locked = frozenset(connection.scalars(_locking(table), sql.later_ids(table, ordered)))
    missing = [row_id for row_id in ordered if row_id not in locked] if wait else []
    if not missing:
        return locked
    source = sql.table_of(table)
    there = sa.select(sql.id_text(table, source)).where(sql.id_in(table, source, missing))
    if (held := connection.scalar(there.limit(1))) is not None:
        raise errors.DatabaseTimeoutError(
            f"The database took too long: another transaction holds row {clean(held, 200)} of {table.name}.",
            sqlstate=LOCK_NOT_AVAILABLE,
        )
    return locked


def exchange_values(
    connection: sa.Connection, table: TokenTable, column: str, new_values: Mapping[str, tuple[bytes, str]]
) -> dict[str, str]:
    """One UPDATE … FROM unnest(…) WHERE id = … AND digest of the column = … ; returns those that matched.

    `new_values` are the digest of what is there and what takes its place, by row id.
    """
    if not new_values:
        return {}
    befores, afters = zip(*new_values.values(), strict=True)
    given = sql.later_rows("new", {"id": new_values, "digest": befores, "value": afters})
    found = connection.scalars(_exchanging(table, column), given | sql.later_ids(table, list(new_values)))
    return {str(row_id): new_values[str(row_id)][1] for row_id in found}


def whole_values(
    connection: sa.Connection, table: TokenTable, column: str, ids: Collection[str]
) -> Iterator[tuple[str, bytes]]:
    """Give the whole value of each of some rows, by id."""
    source = _written_column(table, column)
    read = sa.select(sql.id_text(table, source), whole_bytes(table, column, source.c[column]))
    for row_id, content in connection.execute(read.where(sql.id_in(table, source, sorted(ids)))):
        yield row_id, bytes(content or b"")


def differing_rows(
    connection: sa.Connection, table: TokenTable, column: str, values: Mapping[str, bytes | str]
) -> list[str]:
    """Return the ids of rows that do not hold these values: of a text column given by digest, else whole."""
    if not values:
        return []
    given = sql.later_rows("new", {"id": values, "value": values.values()})
    held = connection.scalars(_comparing(table, column), given | sql.later_ids(table, list(values)))
    return sorted(set(values) - set(held))


def rows_written_in(
    connection: sa.Connection, table: TokenTable, transaction: int, ids: Sequence[str]
) -> Sequence[str]:
    """Return those of some rows that this transaction wrote last."""
    source = sql.table_of(table)
    if not ids or not _has_system_columns(connection, table):
        return ()
    number = sa.cast(sa.cast(sa.literal_column("xmin"), sa.Text), sa.BigInteger)
    own = (sql.id_in(table, source, ids), number == transaction % 2**32)
    return connection.scalars(sa.select(sql.id_text(table, source)).where(*own)).all()


def partitions_of(connection: sa.Connection, table: TokenTable, ids: Collection[str]) -> Mapping[str, str]:
    """Return the partition of each row, by its oid, or the table's own; nothing for a view."""
    if not _has_system_columns(connection, table):
        return {}
    source = sql.table_of(table)
    oid = sa.cast(sa.literal_column("tableoid"), sa.Text)
    read = sa.select(sql.id_text(table, source), oid).where(sql.id_in(table, source, sorted(ids)))
    return dict(map(tuple, connection.execute(read)))


def _has_system_columns(connection: sa.Connection, table: TokenTable) -> bool:
    return bool(connection.scalar(_HAS_XMIN, {"schema": table.place, "table": table.relation}))


def changed_by_database(
    connection: sa.Connection, table: TokenTable, column: str, row_ids: Sequence[str]
) -> errors.ChangedByDatabaseError:
    obstacles = write_obstacles(connection, table, column)
    causes = "; ".join(obstacles) or "a type, a rule or a trigger of the database"
    named = f"{table.name}.{column}:{clean(row_ids[0], 200)}"
    more = f" and {counted(len(row_ids) - 1, 'more row')}" if row_ids[1:] else ""
    return errors.ChangedByDatabaseError(
        f"{named}{more}: the database stored another value than it was given ({causes}). "
        "Nothing was written.",
        remedy="Let the database store envelopes as they are; disable what changes them, then try again.",
    )


def _made_once(make: Callable[..., sa.Select[Any]]) -> Callable[..., sa.Select[Any]]:
    """Keep the statements of tables that `make` makes: to make one takes as long as to execute it."""
    statements: dict[object, sa.Select[Any]] = {}

    def made(table: TokenTable, *columns: str) -> sa.Select[Any]:
        # What the database says of a table makes another statement, too, and tables are equal without it.
        case = (table, table.types, table.required, table.tests_json, *columns)
        if (statement := statements.get(case)) is None:
            statement = statements[case] = make(table, *columns)
        return statement

    return made


@_made_once
def _locking(table: TokenTable) -> sa.Select[Any]:
    source = sql.table_of(table)
    rows = sa.select(sql.id_text(table, source)).where(sql.id_in_later(table, source))
    ordered = rows.order_by(*(source.c[name] for name in table.id_columns))
    return ordered.with_for_update(key_share=True, skip_locked=True)


@_made_once
def _exchanging(table: TokenTable, column: str) -> sa.Select[Any]:
    new = sql.unnested_later("new", {"id": sa.Text, "digest": sa.LargeBinary, "value": sa.Text})
    source = _written_column(table, column)
    value = new.c.value if table.is_text(column) else whole_value(table, column, new.c.value)
    update = sa.update(source).values({column: value})
    held = _is_held(table, column, source, new.c.id, new.c.digest)
    written = update.where(*held).returning(new.c.id).cte("written")
    return sa.select(written.c.id).where(text(ON_OWN_PATH))


@_made_once
def _comparing(table: TokenTable, column: str) -> sa.Select[Any]:
    by_digest = table.is_text(column)
    new = sql.unnested_later("new", {"id": sa.Text, "value": sa.LargeBinary if by_digest else sa.Text})
    value = new.c.value
    digest = value if by_digest else _stored_digest(table, column, whole_value(table, column, value))
    held = _is_held(table, column, _written_column(table, column), new.c.id, digest)
    return sa.select(new.c.id).where(*held)


def _is_held(table: TokenTable, column: str, source: TableClause, row_id: Any, digest: Any) -> list[Any]:
    """The conditions for a row, among those given later, whose value has the digest."""
    same_row = (sql.id_in_later(table, source), sql.id_text(table, source) == row_id)
    return [*same_row, _stored_digest(table, column, source.c[column]) == digest]


def _written_column(table: TokenTable, column: str) -> TableClause:
    return sql.columns_of(table, [*table.id_columns, column])


def _stored_digest(table: TokenTable, column: str, stored: Any) -> Any:
    """Where a whole value is no text, or has several tokens, its SHA-256."""
    if table.is_text(column):
        return sql.digest_of(sql.text_of(table, column, stored))
    return sa.func.sha256(whole_bytes(table, column, stored))
