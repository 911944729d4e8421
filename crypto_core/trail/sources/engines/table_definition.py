"""What Athena says of a table: its columns, down to the fields within them, and how it is partitioned.

Athena User Guide, "Set up partition projection" and "Create a table for CloudTrail logs"; API reference,
GetTableMetadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, String, and_, literal_column

from crypto_core.lists.filter_language import Clause, Term
from crypto_core.trail.sources.engine_rows import DOCUMENTED, DOCUMENTS
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError

_DAY_FORMATS = {"yyyy/MM/dd": "%Y/%m/%d", "yyyy-MM-dd": "%Y-%m-%d", "yyyyMMdd": "%Y%m%d"}
_YEAR_MONTH_DAY = (
    "concat(CAST(year AS VARCHAR), lpad(CAST(month AS VARCHAR), 2, '0'), lpad(CAST(day AS VARCHAR), 2, '0'))"
)
_DAY_KEYS = ("timestamp", "date", "day", "dt", "event_date", "datehour")
_PLACES = {
    **dict.fromkeys(("region", "awsregion", "aws_region"), "region"),
    **dict.fromkeys(("account", "accountid", "account_id"), "account"),
}
"""Partition keys that tell a place, by the field of the filter that names it."""
_NAMED = {"region": re.compile(r"[a-z0-9-]{1,40}"), "account": re.compile(r"[0-9]{12}")}
_REMEDIES = {"region": "--region NAME", "account": "--filter account:NUMBER"}
_DOCUMENTED = frozenset({*map(str.lower, DOCUMENTED), *DOCUMENTS.values(), "useridentity", "resources"})
_LONGEST_TYPE = 100_000


@dataclass(frozen=True)
class TableDefinition:
    """One table's definition; nothing is known of one that could not be read."""

    metadata: Mapping[str, Any]

    @property
    def known(self) -> bool:
        return bool(self.metadata)

    @property
    def location(self) -> str:
        """Where the table's files lie, "" where that isn't told."""
        return str(self._parameters.get("location") or "")

    @cached_property
    def columns(self) -> frozenset[str]:
        return frozenset(path for path in self._paths if "." not in path)

    def has(self, path: str) -> bool:
        """True for a column that is there, or a field within one, such as useridentity.arn."""
        if not self.columns:
            return path.partition(".")[0] in _DOCUMENTED
        return path in self._paths

    def partitioned_by(self, key: str) -> bool:
        return key in self._keys

    def by_day(self, first: date | None, last: date | None) -> ColumnElement[bool] | None:
        """Return the condition on partitions by day; None where there is none that is known, or no end."""
        if first is None and last is None:
            return None
        for key in self._keys:
            written = _DAY_FORMATS.get(str(self._parameters.get(f"projection.{key}.format") or ""))
            if key in _DAY_KEYS and written:
                return _between(f'"{key}"', first, last, written)
        if {"year", "month", "day"} <= set(self._keys):
            return _between(_YEAR_MONTH_DAY, first, last, "%Y%m%d")
        return None

    def by_place(self, clauses: Sequence[Clause], regions: Sequence[str]) -> Iterator[ColumnElement[bool]]:
        """Yield the conditions on partitions by Region and by account.

        Of a key that is injected, queries must name values: raises SettingsError where none are asked for. An
        account is named in no other case: a record without one has its caller's.
        """
        for key in self._keys:
            injected = str(self._parameters.get(f"projection.{key}.type") or "").lower() == "injected"
            place = _PLACES.get(key)
            values: Sequence[str] = ()
            if place == "region":
                values = regions or demanded(clauses, place)
            elif place is not None and injected:
                values = demanded(clauses, place)
            if values:
                yield literal_column(f'"{key}"', String).in_(values)
            elif injected:
                wanted = f"Name them: {_REMEDIES[place]}." if place else ""
                raise SettingsError(
                    f"The table's partition key {clean(key, 100)} is injected: a query must name its values.",
                    remedy=wanted or "Name another table: KEYDECK_ATHENA_TABLE.",
                )

    @property
    def _parameters(self) -> Mapping[str, Any]:
        return self.metadata.get("Parameters") or {}

    @property
    def _keys(self) -> list[str]:
        return [name for name, _ in _named_types(self.metadata.get("PartitionKeys"))]

    @cached_property
    def _paths(self) -> frozenset[str]:
        columns = _named_types(self.metadata.get("Columns"))
        return frozenset(path for name, kind in columns for path in _paths_of(name, kind))


def _between(written: str, first: date | None, last: date | None, form: str) -> ColumnElement[bool]:
    column = literal_column(written, String)
    ends = [column >= first.strftime(form)] if first else []
    return and_(*ends, *([column <= last.strftime(form)] if last else []))


def demanded(clauses: Sequence[Clause], field: str) -> tuple[str, ...]:
    """Return the Regions, or accounts, one of which a filter demands, in so many words."""
    for term in clauses:
        if isinstance(term, Term) and term.field == field and not term.negated:
            texts = tuple(value.text.lower() for value in term.alternatives if value.is_text)
            if len(texts) == len(term.alternatives) and all(map(_NAMED[field].fullmatch, texts)):
                return texts
    return ()


def _named_types(listed: Any) -> Iterator[tuple[str, str]]:
    for one in listed or ():
        if isinstance(one, Mapping):
            yield str(one.get("Name")).lower(), str(one.get("Type") or "").lower()


def _paths_of(column: str, kind: str) -> Iterator[str]:
    """A column and the fields within it, by Hive's type such as struct<a:string,b:array<struct<c:int>>>."""
    yield column
    within, last, name = [column], "", ""
    for sign in re.findall("[<>:,]|[^<>:,]+", kind[:_LONGEST_TYPE]):
        match sign:
            case ":":
                name = last
                yield ".".join(filter(None, (*within, name)))
            case "<":
                within.append(name)
                name = ""
            case ">" if len(within) > 1:
                within.pop()
            case ",":
                name = ""
            case _:
                pass
        last = sign.strip()
