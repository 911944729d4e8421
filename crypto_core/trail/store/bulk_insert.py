"""Rows into the store's tables, many to a statement.

sqlite3 gives the interpreter's lock away for every step of a statement. A statement a row would wait for it
as often, while another thread reads the next file or paints a screen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import TypeVar

from sqlalchemy import Connection

PARAMETERS = 9_000
"""Of one statement: SQLite allows 32,766 (SQLITE_MAX_VARIABLE_NUMBER)."""
_T = TypeVar("_T")


def chunks(values: Sequence[_T], size: int = PARAMETERS) -> Iterator[Sequence[_T]]:
    """Yield values so many at a time, by default as many as a statement takes."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def insert(
    connection: Connection,
    table: str,
    columns: tuple[str, ...],
    rows: Sequence[Sequence[object]],
    end: str = "",
) -> None:
    """Insert rows of one of the store's own tables. `end` is what the statement ends with."""
    for some in chunks(rows, PARAMETERS // len(columns)):
        connection.exec_driver_sql(
            _statement(table, columns, len(some), end), tuple(chain.from_iterable(some))
        )


@lru_cache(maxsize=64)
def _statement(table: str, columns: tuple[str, ...], rows: int, end: str) -> str:
    row = f"({', '.join('?' * len(columns))})"
    # Names are the schema's own; every value is a parameter.
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)} {end}"  # noqa: S608
