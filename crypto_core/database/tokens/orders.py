"""What the inventory can be sorted by, in SQL and as it is compared here.

A value is the same here and there: a number, or a text that compares by code points (COLLATE "C"). Then comes
the column, then the id in its own type and collation, so that the primary key's index serves.

Indexes that make lists by date and by organisation as fast as those by state are offered, never needed and
never made by Keydeck: the tables are the platform's. Each is of exactly what is sorted by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, cast, false, func, literal, literal_column, or_, true
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql.base import PGDialect

from crypto_core.database.tokens.inventory_expressions import ColumnPlace, has_format
from crypto_core.database.tokens.key_expressions import KeyView
from crypto_core.database.tokens.tables import TokenTable
from crypto_core.envelope import Format
from crypto_core.findings.finding import FORMAT_SEVERITY, Severity
from crypto_core.lists.coverage import Evidence

Value = str | int


class SortKey(StrEnum):
    """Ties are broken by column and id, so equal rows never jump."""

    STATE = "state"
    REFERENCE = "reference"
    ORGANISATION = "org"
    PROVIDER = "provider"
    FORMAT = "format"
    KEY = "key"
    EVIDENCE = "evidence"
    CREATED = "created"
    CHARACTERS = "characters"


@dataclass(frozen=True, slots=True)
class ColumnOrder:
    """One order. `value` gives what a token is sorted by, as SQL.

    An order by `formats` or by `choices` needs none: its values are known beforehand. `choices` gives them
    for a column; `chosen` is the condition for a token to have one or another of them. Every token has one;
    it's `otherwise`, which is dear to ask for, if it's no other.
    `few` says whether there are likely to be few values, so that it pays to find them out.
    """

    value: Callable[[ColumnPlace], Any] = lambda _: literal_column("0")
    formats: Mapping[Value, frozenset[Format]] | None = None
    choices: Callable[[ColumnPlace, KeyView], Sequence[Value]] | None = None
    chosen: Callable[[ColumnPlace, KeyView, Sequence[Any]], Any] = lambda *_: true()
    otherwise: Value | None = None
    few: bool = True
    compared: Callable[[Any], Any] = lambda value: value
    """As it is compared here; a cursor keeps what is `kept`, which `read` gives back to SQL."""
    kept: Callable[[Any], Any] = lambda value: value
    read: Callable[[Any], Any] = literal

    def known(self, place: ColumnPlace, keys: KeyView, formats: frozenset[Format]) -> Sequence[Value] | None:
        """The possible values of tokens of these formats; None if not known."""
        if self.choices is not None:
            return self.choices(place, keys)
        if self.formats is None:
            return None
        return [value for value, some in self.formats.items() if some & formats]

    def has(self, values: Sequence[Value], place: ColumnPlace, keys: KeyView) -> Any:
        if self.choices is not None:
            return self.chosen(place, keys, values)
        if self.formats is not None:
            return has_format(place.stored, frozenset[Format]().union(*(self.formats[v] for v in values)))
        return self.value(place).in_(values)


_STATES: Mapping[Value, frozenset[Format]] = {
    severity.rank: frozenset(f for f, s in FORMAT_SEVERITY.items() if s is severity) for severity in Severity
}
_FORMATS: Mapping[Value, frozenset[Format]] = {f.value: frozenset({f}) for f in Format}


_EARLIEST: Any = literal_column("'-infinity'::timestamptz")


def _created(place: ColumnPlace) -> Any:
    name = place.table.created
    if name is not None and name in place.table.required:
        return place.created
    return func.coalesce(place.created, _EARLIEST)


_EVIDENCES = tuple(Evidence)


def _shows(place: ColumnPlace, keys: KeyView, ranks: Sequence[int]) -> Any:
    return or_(false(), *(keys.has_evidence(place.stored, _EVIDENCES[rank]) for rank in ranks))


ORDERS: Mapping[SortKey, ColumnOrder] = {
    SortKey.STATE: ColumnOrder(formats=_STATES),
    SortKey.FORMAT: ColumnOrder(formats=_FORMATS),
    SortKey.PROVIDER: ColumnOrder(choices=lambda place, _: (place.table.provider,)),
    SortKey.REFERENCE: ColumnOrder(choices=lambda *_: (0,)),
    SortKey.ORGANISATION: ColumnOrder(lambda place: place.organisation.collate("C")),
    SortKey.KEY: ColumnOrder(
        choices=lambda _, keys: (*keys.named(), ""),
        chosen=lambda place, keys, names: keys.is_named(place.stored, names),
        otherwise="",
    ),
    SortKey.EVIDENCE: ColumnOrder(
        choices=lambda *_: range(len(_EVIDENCES)), chosen=_shows, otherwise=_EVIDENCES.index(Evidence.UNKNOWN)
    ),
    SortKey.CHARACTERS: ColumnOrder(lambda place: place.characters),
    SortKey.CREATED: ColumnOrder(
        _created,
        few=False,
        compared=lambda value: func.extract("epoch", value),
        kept=lambda value: cast(value, SqlText),
        read=lambda text: cast(literal(text), DateTime(timezone=True)),
    ),
}


def needs_keys(sort: SortKey) -> bool:
    return sort in (SortKey.KEY, SortKey.EVIDENCE)


_quoted = PGDialect().identifier_preparer.quote  # type: ignore[no-untyped-call]


def offered(tables: Iterable[TokenTable]) -> Iterator[str]:
    """Give a CREATE INDEX CONCURRENTLY statement for each index; run it outside a transaction."""
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
