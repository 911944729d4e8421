"""What a sweep has found: the places with tokens that no inventory knows, and what could not be looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from crypto_core.values import json_records
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord

NAME_LIMIT = 300


@dataclass(frozen=True, slots=True)
class FoundColumn(JsonRecord):
    """A column in which values look like tokens. Names are as the database has them: clean them to show them.

    `kinds` counts the sampled values that hold a token of a kind, by `patterns.PATTERNS`; `begins` those that
    are one rather than hold some, `documents` those that are JSON objects. `rows` is how many were looked at.
    """

    name: str
    type: str
    kinds: Mapping[str, int]
    begins: int
    documents: int
    rows: int

    @property
    def words(self) -> str:
        """Such as "40 v1, 2 github in 100 rows"."""
        told = ", ".join(f"{number:,} {kind}" for kind, number in self.kinds.items()) or "tokens"
        return f"{told} in {counted(self.rows, 'row')}"


@dataclass(frozen=True, slots=True)
class FoundTable(JsonRecord):
    """A table with such columns. `visible` is True where its name alone means it, without its schema.

    `id_column` is one whose value names one row, or else those of the primary key; None where there is none.
    `beside` are the readable columns that hold no token.
    """

    schema: str
    name: str
    kind: str
    visible: bool
    id_column: str | tuple[str, ...] | None
    id_kind: Literal["text", "integer"]
    beside: tuple[str, ...]
    columns: tuple[FoundColumn, ...]

    @property
    def place(self) -> CleanText:
        return clean(self.name if self.visible else f"{self.schema}.{self.name}", NAME_LIMIT)

    def place_of(self, column: FoundColumn) -> CleanText:
        return clean(f"{self.place}.{column.name}", NAME_LIMIT)


@dataclass(frozen=True, slots=True)
class Sweep(JsonRecord):
    """One look through the database, by one role, at one moment.

    `full` says that every row was looked at, else samples. `found` are the places that no inventory knew,
    `unseen` says, one sentence each, what could not be looked at; `notes` is information that hides nothing.
    `shape` tells whether tables or columns have changed since, `declared` which columns the inventories knew.
    """

    taken_at: datetime
    role: str
    full: bool
    seconds: float
    tables: int
    columns: int
    shape: str
    declared: frozenset[str]
    found: tuple[FoundTable, ...] = ()
    unseen: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    """All tables of `unseen`, which names the first ones. Cleaned text."""

    json_shape = json_records.shape("...", seconds=lambda sweep: round(sweep.seconds, 3))

    def without(self, declared: frozenset[str]) -> Sweep:
        """Without columns that are declared by now; see `declared_name`."""
        kept = []
        for table in self.found:
            columns = tuple(
                c for c in table.columns if declared_name(table.schema, table.name, c.name) not in declared
            )
            if columns:
                kept.append(replace(table, columns=columns))
        return replace(self, found=tuple(kept))

    def places(self) -> Iterator[tuple[FoundTable, FoundColumn]]:
        for table in self.found:
            for column in table.columns:
                yield table, column

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a count of the declared columns isn't complete, one sentence each. Cleaned text."""
        undeclared = (
            f"{t.place_of(c)} holds tokens and is in no inventory ({c.words}). See: keydeck discover."
            for t, c in self.places()
        )
        return tuple(clean(reason, 1_000) for reason in (*undeclared, *self.unseen))


def declared_name(schema: str, table: str, column: str) -> str:
    """A column's whole name, which no other column shares, whatever dots and quotes are in it."""
    return json.dumps([schema, table, column])


def declared_table(name: str) -> tuple[str, str]:
    schema, table, _ = json.loads(name)
    return schema, table
