"""Reads samples in SQL: of many columns whether anything in them looks like a token, of few how much.

All sampled values of a column are looked at as one text: an expression costs more to begin than to go on
with. Tables are read many to a statement; where one fails, the others of its statement are read without it.
The statements are text, of names as PostgreSQL itself quotes them: to compile thousands of columns takes
longer than to read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Any

from sqlalchemy import Engine

from crypto_core.database.connection.engine import connected
from crypto_core.database.qualified_sql import run_as_it_is, text
from crypto_core.database.tokens.sweep.candidates import Candidate, Relation, Spelling
from crypto_core.database.tokens.token_patterns import (
    ANY_TOKEN,
    BEGINS_AS_TOKEN,
    LEAST_OF_A_TOKEN,
    PATTERNS,
    respelt_within,
)
from crypto_core.envelope import Format
from crypto_core.values.errors import DatabaseError, DatabaseTimeoutError, DatabaseUnreachableError

TOGETHER = 50
ROWS = 50
"""Rows of a table where there are many tables: the first ones, and as many at random."""
MOST_ROWS = 1_000
ROWS_OF_ALL = 50_000
"""Of all tables together: the fewer tables, the more of each."""
CHARACTERS = 20_000
"""Of one value in a sample."""
CHARACTERS_AT_ONCE = 64_000_000
UNKNOWN_PERCENT = 10.0
"""Of a table's pages where PostgreSQL has no estimate of its rows."""
LONG = 2_000
"""Bytes beyond which a value is looked at alone."""
STATEMENT_SECONDS = 5.0
LOCK_SECONDS = 0.5
_IS_THERE = text("SELECT EXISTS (SELECT FROM pg_class WHERE oid = :oid)")


@dataclass(frozen=True, slots=True)
class Extent:
    """How many rows are looked at.

    `seed` makes two samples of a table the same one. `until` is when nothing more is begun, of `monotonic`.
    """

    rows: int
    seed: int
    until: float

    @classmethod
    def of_samples(cls, tables: int, seed: int, until: float) -> Extent:
        """Return the extent of samples in a database with so many tables."""
        return cls(min(MOST_ROWS, max(ROWS, ROWS_OF_ALL // max(tables, 1))), seed, until)

    def characters(self, columns: int) -> int:
        return max(1_000, min(CHARACTERS, CHARACTERS_AT_ONCE // (self.rows * columns)))


@dataclass(frozen=True, slots=True)
class Read:
    """Of one table: the columns that hold what looks like a token, or why it wasn't read."""

    relation: Relation
    hits: tuple[Candidate, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    rows: int
    kinds: dict[str, int]
    begins: int
    documents: int

    @classmethod
    def of(cls, row: Sequence[int]) -> Counted:
        number, begins, documents, *kinds = row
        return cls(number, {k: n for k, n in zip(PATTERNS, kinds, strict=True) if n}, begins, documents)


class SampleReader:
    def __init__(self, engine: Engine, extent: Extent, cancelled: Event | None = None) -> None:
        self._engine = engine
        self._extent = extent
        self._cancelled = cancelled

    def look(self, relations: Sequence[Relation]) -> Iterator[Read]:
        """Say of each table which columns hold what looks like a token. Raises DatabaseUnreachableError."""
        near = [relation for relation in relations if not relation.foreign]
        # One at a time: another server may take its time, or not answer at all.
        far = [[relation] for relation in relations if relation.foreign]
        batches = (near[first : first + TOGETHER] for first in range(0, len(near), TOGETHER))
        for batch in (*batches, *far):
            yield from self._look(batch)

    def _look(self, batch: Sequence[Relation]) -> Iterator[Read]:
        left = self._extent.until - monotonic()
        if left <= 0:
            yield from (Read(relation, failure="the time was up before it was read") for relation in batch)
            return
        parts = (self._looked_at(number, relation) for number, relation in enumerate(batch))
        try:
            rows = self._run(" UNION ALL ".join(parts), min(left, STATEMENT_SECONDS))
        except DatabaseUnreachableError:
            raise
        except DatabaseError as error:
            if len(batch) == 1:
                yield Read(batch[0], failure="" if self._is_gone(batch[0]) else why_unread(error))
            else:
                half = len(batch) // 2
                for part in (batch[:half], batch[half:]):
                    yield from self._look(part)
            return
        for number, hits in rows:
            relation = batch[number]
            yield Read(relation, tuple(c for c, hit in zip(relation.columns, hits, strict=True) if hit))

    def _looked_at(self, number: int, relation: Relation) -> str:
        values = [f"value_{n}" for n in range(len(relation.columns))]
        hits = (f"coalesce(string_agg({value}, E'\\n') ~ {_ANY}, false)" for value in values)
        rows = self._rows(relation, relation.columns)
        return f"SELECT {number}, ARRAY[{', '.join(hits)}] FROM {rows}"  # noqa: S608  # names are quoted

    def count(self, relation: Relation, column: Candidate) -> Counted:
        """Count the kinds of one column's values. Raises DatabaseError."""
        rows = self._rows(relation, (column,), once=True)
        statement = f"SELECT count(*), {kind_counts(column)} FROM {rows}"  # noqa: S608  # names are quoted
        (row,) = self._run(statement, STATEMENT_SECONDS)
        return Counted.of(row)

    def _rows(self, relation: Relation, columns: Sequence[Candidate], *, once: bool = False) -> str:
        """The sampled rows as a subquery, whose columns value_0, value_1, … are text.

        The first ones may be among those at random; `once` takes such a row once.
        """
        extent = self._extent
        characters = extent.characters(len(columns))
        values = ", ".join(
            f"{text_of(column, characters)} AS value_{number}" for number, column in enumerate(columns)
        )
        row = "tableoid AS place, ctid AS line, " if once and not relation.foreign else ""
        read = f"SELECT {row}{values} FROM {relation.quoted}"  # noqa: S608  # names are quoted
        if relation.foreign or 0 < relation.rows <= extent.rows:
            return f"({read} LIMIT {extent.rows}) AS looked_at"
        sample = f"TABLESAMPLE SYSTEM ({_percent(relation, extent.rows):.6f}) REPEATABLE ({extent.seed})"
        both = f"({read} LIMIT {extent.rows}) UNION ALL ({read} {sample} LIMIT {4 * extent.rows})"
        if once:
            both = f"SELECT DISTINCT ON (place, line) * FROM ({both}) AS twice"  # noqa: S608
        return f"({both}) AS looked_at"

    def _is_gone(self, relation: Relation) -> bool:
        """Any other failure, whatever its code, leaves the table unread."""
        with connected(self._engine, cancelled=self._cancelled) as connection:
            return not connection.scalar(_IS_THERE, {"oid": relation.oid})

    def _run(self, statement: str, seconds: float) -> Sequence[Any]:
        limits = {"statement_timeout": seconds, "lock_timeout": LOCK_SECONDS}
        with connected(self._engine, cancelled=self._cancelled) as connection:
            for name, limit in limits.items():
                connection.exec_driver_sql(f"SET LOCAL {name} = {max(1, int(limit * 1_000))}")
            found: Sequence[Any] = run_as_it_is(connection, with_patterns(statement)).all()
            return found


def why_unread(error: DatabaseError) -> str:
    """PostgreSQL's own words may repeat a value."""
    if isinstance(error, DatabaseTimeoutError):
        return "it took too long to read or was locked"
    return f"PostgreSQL didn't read it (SQLSTATE {error.sqlstate})"


def _literal(pattern: str) -> str:
    return "'" + pattern.replace("'", "''") + "'"


_ANY, _RESPELT = "(SELECT any_token FROM patterns)", "(SELECT respelt FROM patterns)"
"""The longest patterns stand once in a statement: see `with_patterns`."""


def with_patterns(statement: str) -> str:
    any_token, respelt = map(_literal, (ANY_TOKEN, respelt_within()))
    return f"WITH patterns AS (SELECT {any_token} AS any_token, {respelt} AS respelt) {statement}"


def _has_token(value: str) -> str:
    """One expression of both would take longer than two."""
    return f"({value} ~ {_ANY} OR {value} ~ {_RESPELT})"


def _looks(value: str) -> str:
    """The shortest values are not looked at."""
    return f"(length({value}) > {LEAST_OF_A_TOKEN} AND {_has_token(value)})"


def looks_together(value: str) -> str:
    """Return whether any row's value holds what looks like a token: long ones alone, the others as one text.

    What parts them is in no token.
    """
    short = f"octet_length({value}) BETWEEN {LEAST_OF_A_TOKEN + 1} AND {LONG}"
    alone = f"coalesce(bool_or(octet_length({value}) > {LONG} AND {_has_token(value)}), false)"
    together = f"string_agg({value}, E'\\x01') FILTER (WHERE {short})"
    return f"({alone} OR coalesce({_has_token(together)}, false))"


def kind_counts(column: Candidate) -> str:
    """Return counts of the values in value_0 by kind: see `Counted.of`."""
    hit = _looks("value_0")
    value = "ltrim(value_0, ' \"')" if column.type in ("json", "jsonb") else "value_0"
    conditions = (
        f"{value} ~ {_literal(BEGINS_AS_TOKEN)}",
        "left(ltrim(value_0), 1) = '{'",
        *(
            f"(value_0 ~ {_literal(pattern)}{f' OR value_0 ~ {_RESPELT}' if kind == Format.V1.value else ''})"
            for kind, pattern in PATTERNS.items()
        ),
    )
    return ", ".join(f"count(*) FILTER (WHERE {hit} AND {condition})" for condition in conditions)


def text_of(column: Candidate, characters: int | None) -> str:
    """The first characters, or all."""
    match column.spelling:
        case Spelling.BYTES:
            value = column.quoted if characters is None else f"substr({column.quoted}, 1, {characters})"
            return f"encode({value}, 'escape')"
        case Spelling.LISTS_OF_BYTES:
            each = f"unnest({column.quoted}) AS one"
            value = f"(SELECT string_agg(encode(one, 'escape'), ' ') FROM {each})"  # noqa: S608
        case Spelling.TEXT:
            value = f"{column.quoted}::text"
        case Spelling.PRINTED:
            value = f"nullif(concat({column.quoted}), '')"
    value = f'{value} COLLATE pg_catalog."C"'
    return value if characters is None else f"left({value}, {characters})"


def _percent(relation: Relation, rows: int) -> float:
    """Per cent of a table's pages that hold about so many rows."""
    return min(100.0, 100.0 * rows / relation.rows) if relation.rows > 0 else UNKNOWN_PERCENT
