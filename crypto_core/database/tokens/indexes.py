"""Indexes on the platform's tables that make lists by date and by organisation as fast as those by state.

They are offered, never needed and never made by Keydeck: the tables are the platform's. Each is used as the
statements of walking.py are written, so an index is of exactly what is sorted by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy.dialects.postgresql.base import PGDialect

from crypto_core.database.tokens.tables import TokenTable

_quoted = PGDialect().identifier_preparer.quote  # type: ignore[no-untyped-call]


def offered(tables: Iterable[TokenTable]) -> Iterator[str]:
    """Give one CREATE INDEX CONCURRENTLY statement an index; run each outside a transaction."""
    for table in tables:
        row_id = ", ".join(map(_quoted, table.id_columns))
        if table.created is not None and table.type_of(table.created) == "timestamptz":
            created = _quoted(table.created)
            sorted_by = created if table.created in table.required else f"coalesce({created}, '-infinity')"
            yield _statement(table, "created", f"({sorted_by})", row_id)
        if table.organisation is not None and table.type_of(table.organisation) in ("text", "varchar"):
            organisation = _quoted(table.organisation)
            known = table.organisation in table.required
            text = organisation if known else f"coalesce({organisation}, '')"
            yield _statement(table, "org", f'(({text}) COLLATE "C")', row_id)


def _statement(table: TokenTable, name: str, sorted_by: str, row_id: str) -> str:
    index = _quoted(f"keydeck_{table.relation}_{name}")
    columns = f"{sorted_by}, {row_id}"
    place = ".".join(_quoted(part) for part in (table.schema, table.relation) if part is not None)
    return f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {index} ON {place} ({columns});"
