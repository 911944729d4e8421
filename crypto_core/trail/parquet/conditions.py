"""What a filter means in a copy in Parquet: the same as in memory, as SQL of DuckDB.

A column has far fewer texts than events: they are looked at one by one, as `passes` does, and those that are
meant are looked for in the column. Every text is a bound value. What only the store knows is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crypto_core.errors import InvalidFilterError
from crypto_core.lists.filter_language import HOURS, WEEKDAYS, Alternative, Clause, Term
from crypto_core.trail.columns import FLAGS, HOUR, moment, seconds
from crypto_core.trail.event import UNDATED
from crypto_core.trail.event_fields import EVENT_FIELDS, FREE
from crypto_core.trail.query import Aliases
from crypto_core.trail.store.conditions import named_keys

_TIME = "make_timestamp(epoch * 1000000)"
_CYCLES = {
    "hour": (HOURS, f"extract('hour' FROM {_TIME})"),
    "weekday": (WEEKDAYS, f"extract('isodow' FROM {_TIME}) - 1"),
}
_DATED = seconds(UNDATED) + HOUR
_NAMED_BY_ALIAS = "key"
_OTHERWISE = ("key", "material")
"""Columns whose texts are asked for in ways that do not stand in them, or hold several values."""


@dataclass(slots=True)
class CopyConditions:
    """Makes conditions of one question; `bound` are the values that stand in them as $name.

    `texts` gives the texts of a column: all, or at least those that have one of some parts in them.
    """

    texts: Callable[[str, Sequence[str]], Sequence[str]]
    aliases: Aliases
    bound: dict[str, Any] = field(default_factory=dict)

    def every(self, clauses: Iterable[Clause]) -> str:
        """Return the condition that all clauses hold. Raises InvalidFilterError for what can't be asked."""
        return " AND ".join(["true", *map(self._clause, clauses)])

    def _clause(self, one: Clause) -> str:
        if isinstance(one, Term):
            found = self._term(one)
        else:
            found = " OR ".join(f"({self.every(branch)})" for branch in one.branches)
        return f"NOT ({found})" if one.negated else f"({found})"

    def _term(self, one: Term) -> str:
        name = one.field or ""
        if name in FLAGS:
            return f"marks & {int(FLAGS[name])} <> 0"
        if name == "time":
            return _any(self._within(value) for value in one.alternatives)
        if name in _CYCLES:
            names, column = _CYCLES[name]
            wanted = [n for n, called in enumerate(names) if any(a.matches(called) for a in one.alternatives)]
            return f"epoch >= {_DATED} AND {column} IN (SELECT unnest({self._bind(wanted)}::BIGINT[]))"
        if name in EVENT_FIELDS:
            known = named_keys(one.alternatives, self.aliases) if name == _NAMED_BY_ALIAS else {}
            return self._among(name, one.alternatives, known)
        if name == "id":
            return _any(self._has_id(value) for value in one.alternatives)
        if not name:
            places = (self._among(column, one.alternatives, {}, anywhere=True) for column in FREE)
            return _any((*places, *(self._has_id(value) for value in one.alternatives)))
        raise InvalidFilterError(
            f"Filter, character {one.position + 1}: A copy in Parquet can't be asked for {name}.",
            position=one.position,
            remedy="Ask the store itself, without --engine.",
        )

    def _among(
        self,
        column: str,
        values: Sequence[Alternative],
        aliases: Mapping[str, Sequence[str]],
        *,
        anywhere: bool = False,
    ) -> str:
        """The condition that a column has one of the texts that values mean."""
        spellings = EVENT_FIELDS[column].spellings

        def meant(text: str) -> bool:
            ways = spellings(text, aliases)
            return any(value.matches(way, anywhere=anywhere) for way in ways for value in values)

        if any(value.is_anything for value in values):
            return f"\"{column}\" <> ''"
        parts = [] if column in _OTHERWISE else [_telling(value) for value in values]
        wanted = [t for t in self.texts(column, parts if all(parts) else ()) if t and meant(t)]
        return f'"{column}" IN (SELECT unnest({self._bind(wanted)}::VARCHAR[]))' if wanted else "false"

    def _has_id(self, value: Alternative) -> str:
        """Ids are looked up, never searched: there are as many as events."""
        if value.is_anything:
            return "true"
        if not value.is_text or len(value.parts) != 1:
            return "false"
        return f"event_id IN ({self._bind(value.text)}, {self._bind(value.text.lower())})"

    def _within(self, value: Alternative) -> str:
        return " AND ".join(["true", *self._ends(value)])

    def _ends(self, value: Alternative) -> Iterator[str]:
        """The whole seconds of a range in time, and the days, by which whole files are left out."""
        if isinstance(value.at_least, datetime):
            exact = seconds(value.at_least)
            first = exact if value.at_least == moment(exact) and value.include_least else exact + 1
            yield f"epoch >= {first}"
            yield f"day >= {self._bind(_day(value.at_least))}"
        if isinstance(value.at_most, datetime):
            exact = seconds(value.at_most)
            last = exact - 1 if value.at_most == moment(exact) and not value.include_most else exact
            yield f"epoch <= {last}"
            yield f"day <= {self._bind(_day(value.at_most))}"

    def _bind(self, value: Any) -> str:
        name = f"v{len(self.bound)}"
        self.bound[name] = value
        return f"${name}"


def _telling(value: Alternative) -> str:
    """A part that every text has in it which a value means, in small letters; "" where there is none."""
    part = max(value.parts, key=len) if value.is_text else ""
    return part.lower() if part.isascii() else ""


def _day(at: datetime) -> str:
    return f"{moment(seconds(at)):%Y-%m-%d}".rjust(10, "0")


def _any(conditions: Iterable[str]) -> str:
    return " OR ".join(["false", *(f"({condition})" for condition in conditions)])
