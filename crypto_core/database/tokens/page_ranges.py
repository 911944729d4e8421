"""Large tables cut into ranges of pages, which together have every row once, whoever writes meanwhile.

A row's version stands at one place, its ctid; a snapshot sees one version of a row, and every place is in one
range. So the ranges are exact whatever the sizes say that they are cut by: these only make them alike. The
tables are locked against being rewritten, as any query of them locks them, and PostgreSQL 14 or newer reads a
range without the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.base import PGDialect

from crypto_core.database.dialect import place_oid
from crypto_core.database.qualified_sql import text
from crypto_core.database.tokens.tables import TokenTable, placed_names

PAGES = 8_192
"""The fewest pages of a range: 64 MB."""
MOST_PAGES = 65_536
"""The role's statements may have little time."""
RANGES = 48
"""Of all tables together, unless ranges would be too large."""
ANSWERS = 200_000
"""Answers of KMS beyond which a range is read faster than they are looked up."""

_quoted = PGDialect().identifier_preparer.quote  # type: ignore[no-untyped-call]
_BEYOND = 2**32 - 2
"""More pages than a table can have: rows added meanwhile are in the last range."""


@dataclass(frozen=True, slots=True)
class PageRange:
    """Pages from `first` to before `end`; `pages` estimates how many."""

    first: int
    end: int
    pages: int

    @property
    def parameters(self) -> dict[str, str]:
        """Of a statement of `rows_between`."""
        return {"first_row": f"({self.first},0)", "end_row": f"({self.end},0)"}


@dataclass(frozen=True, slots=True)
class TableSizes:
    """How large tables are, by name. `pages` are those of all, `rows` what PostgreSQL estimates for all.

    `largest` are the pages of the largest file of those that can be read in ranges.
    """

    pages: dict[str, int]
    largest: dict[str, int]
    rows: int

    def is_large(self, name: str) -> bool:
        return self.pages.get(name, 0) >= 2 * PAGES

    def ranges(self, name: str) -> list[PageRange]:
        """None for a table that is read as a whole."""
        largest = self.largest.get(name, 0)
        step = min(max(PAGES, sum(self.largest.values()) // RANGES), MOST_PAGES)
        starts = range(0, largest, step) if self.is_large(name) else range(0)
        share = -(-self.pages[name] // len(starts)) if starts else 0
        return [PageRange(at, at + step if at + step < largest else _BEYOND, share) for at in starts]


def read_sizes(connection: Connection, tables: Iterable[TokenTable]) -> TableSizes:
    rows = connection.execute(_SIZES, placed_names(tables)).all()
    few_answers = all(row.answers < ANSWERS for row in rows)
    return TableSizes(
        {row.name: int(row.pages) for row in rows},
        {row.name: int(row.largest) for row in rows if row.in_ranges and few_answers},
        sum(int(row.estimate) for row in rows),
    )


def hold_layout(connection: Connection, tables: Sequence[TokenTable]) -> None:
    """Lock the tables against being rewritten until the transaction's end."""
    if tables:
        places = (".".join(_quoted(p) for p in (t.place, t.relation) if p is not None) for t in tables)
        connection.execute(text(f"LOCK TABLE {', '.join(places)} IN ACCESS SHARE MODE"))


def rows_between(rows: Any) -> Any:
    """The rows of one range, with its `parameters`."""
    return select(*rows.c).where(_BETWEEN).subquery()


_BETWEEN = text("ctid >= CAST(:first_row AS tid) AND ctid < CAST(:end_row AS tid)")

_SIZES = text(
    f"""
    WITH RECURSIVE placed AS (
        SELECT asked.name, {place_oid("asked.schema_name", "asked.table_name")} AS oid
        FROM unnest(:names, :schemas, :tables) AS asked(name, schema_name, table_name)
    ), parts AS (
        SELECT name, oid AS root, oid FROM placed
        UNION ALL
        SELECT p.name, p.root, i.inhrelid FROM parts p JOIN pg_inherits i ON i.inhparent = p.oid
    ), files AS (
        SELECT p.name, p.root, c.reltuples,
               CASE WHEN c.relkind IN ('r', 'm') THEN coalesce(pg_relation_size(c.oid), 0) ELSE 0 END
                   / current_setting('block_size')::bigint AS pages
        FROM parts p JOIN pg_class c ON c.oid = p.oid
    )
    SELECT f.name, sum(f.pages) AS pages, max(f.pages) AS largest, sum(greatest(f.reltuples, 0)) AS estimate,
           bool_and(root.relkind IN ('r', 'p') AND NOT row_security_active(f.root)
                    AND has_table_privilege(f.root, 'SELECT')
                    AND current_setting('server_version_num')::int >= 140000) AS in_ranges,
           (SELECT greatest(max(reltuples), 0) FROM pg_class
            WHERE oid = CASE WHEN to_regnamespace('keydeck') IS NULL THEN NULL
                             WHEN has_schema_privilege(to_regnamespace('keydeck'), 'USAGE')
                             THEN to_regclass('keydeck.key_answer') END) AS answers
    FROM files f JOIN pg_class root ON root.oid = f.root
    GROUP BY f.name
    """  # noqa: S608  # nothing in it is foreign
).bindparams(*(bindparam(name, type_=ARRAY(SqlText)) for name in ("names", "schemas", "tables")))
