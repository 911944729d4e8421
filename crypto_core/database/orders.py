"""What the inventory can be sorted by, in SQL and as it is compared here.

A value is the same here and there: a number, or a text that compares by code points (COLLATE "C"). Then comes
the column, then the id in its own type and collation, so that the primary key's index serves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, cast, func, literal, literal_column
from sqlalchemy import Text as SqlText

from crypto_core.coverage import Evidence
from crypto_core.database.inventory_expressions import Place, has_format
from crypto_core.database.key_expressions import KeyView
from crypto_core.envelope import Format
from crypto_core.severity import FORMAT_SEVERITY, Severity

Value = str | int


class SortKey(StrEnum):
    """What the inventory can be sorted by. Ties are broken by column and id, so equal rows never jump."""

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
class Order:
    """One order. `value` gives what a token is sorted by, as SQL.

    An order by `formats` or by `choices` needs none: its values are known beforehand. `choices` gives them
    for a column, with the condition that each sets; a token to which none applies has the value `otherwise`.
    `few` says whether there are likely to be few values, so that it pays to find them out.
    """

    value: Callable[[Place], Any] = lambda _: literal_column("0")
    formats: Mapping[Value, frozenset[Format]] | None = None
    choices: Callable[[Place, KeyView], Mapping[Value, Any]] | None = None
    otherwise: Value | None = None
    few: bool = True
    compared: Callable[[Any], Any] = lambda value: value
    """The value as it is compared here; a cursor has what is `kept` of it, which `read` gives back to SQL."""
    kept: Callable[[Any], Any] = lambda value: value
    read: Callable[[Any], Any] = literal

    def known(self, place: Place, keys: KeyView, formats: frozenset[Format]) -> Mapping[Value, Any] | None:
        """The values that tokens of these formats may have, each with its condition; None if not known."""
        if self.choices is not None:
            return self.choices(place, keys)
        if self.formats is None:
            return None
        return {v: has_format(place.stored, some) for v, some in self.formats.items() if some & formats}

    def has(self, value: Value, place: Place, keys: KeyView) -> Any:
        """The condition for a token of the column to have a value."""
        if self.choices is not None:
            return self.choices(place, keys)[value]
        if self.formats is not None:
            return has_format(place.stored, self.formats[value])
        return self.value(place) == value


_STATES: Mapping[Value, frozenset[Format]] = {
    severity.rank: frozenset(f for f, s in FORMAT_SEVERITY.items() if s is severity) for severity in Severity
}
_FORMATS: Mapping[Value, frozenset[Format]] = {f.value: frozenset({f}) for f in Format}


_EARLIEST: Any = literal_column("'-infinity'::timestamptz")


def _created(place: Place) -> Any:
    name = place.table.created
    if name is not None and name in place.table.required:
        return place.created
    return func.coalesce(place.created, _EARLIEST)


def _keys(place: Place, keys: KeyView) -> Mapping[Value, Any]:
    return {name: keys.is_named(place.stored, name) for name in (*keys.named(), "")}


def _evidence(place: Place, keys: KeyView) -> Mapping[Value, Any]:
    return {place_: keys.has_evidence(place.stored, e) for place_, e in enumerate(Evidence)}


ORDERS: Mapping[SortKey, Order] = {
    SortKey.STATE: Order(formats=_STATES),
    SortKey.FORMAT: Order(formats=_FORMATS),
    SortKey.PROVIDER: Order(choices=lambda place, _: {place.table.provider: literal(True)}),
    SortKey.REFERENCE: Order(choices=lambda _place, _keys: {0: literal(True)}),
    SortKey.ORGANISATION: Order(lambda place: place.organisation.collate("C")),
    SortKey.KEY: Order(choices=_keys, otherwise=""),
    SortKey.EVIDENCE: Order(choices=_evidence, otherwise=list(Evidence).index(Evidence.UNKNOWN)),
    SortKey.CHARACTERS: Order(lambda place: place.characters),
    SortKey.CREATED: Order(
        _created,
        few=False,
        compared=lambda value: func.extract("epoch", value),
        kept=lambda value: cast(value, SqlText),
        read=lambda text: cast(literal(text), DateTime(timezone=True)),
    ),
}


def needs_keys(sort: SortKey) -> bool:
    """True if the order needs to know which key sealed a token."""
    return sort in (SortKey.KEY, SortKey.EVIDENCE)
