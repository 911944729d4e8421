"""What a filter means over the columns of events: the same as in memory, in SQL that engines read alike.

Every value is bound. How an engine looks for texts is its own: see `Among`. Numbers and flags are reckoned,
so that no engine's functions for time or bits are needed. What only the store knows is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from crypto_core.errors import InvalidFilterError
from crypto_core.lists.filter_language import HOURS, WEEKDAYS, Alternative, Clause, Term
from crypto_core.trail.columns import FLAGS, HOUR, OF_STORE, EventProperty, moment, seconds
from crypto_core.trail.event import UNDATED
from crypto_core.trail.event_fields import EVENT_FIELDS, FREE
from crypto_core.trail.query import Aliases
from crypto_core.trail.store.conditions import named_keys

DATED = seconds(UNDATED) + HOUR
DAY = 86_400
_SECOND_OF_DAY = f"((epoch % {DAY} + {DAY}) % {DAY})"
DAY_NUMBER = f"CAST((epoch - {_SECOND_OF_DAY}) / {DAY} AS BIGINT)"
"""Days since 1970, rounded down also before it."""
CLOCK = {
    "hour": f"CAST(({_SECOND_OF_DAY} - {_SECOND_OF_DAY} % {HOUR}) / {HOUR} AS BIGINT)",
    "weekday": f"(({DAY_NUMBER} + 3) % 7 + 7) % 7",  # 1970 began on a Thursday
    "day": DAY_NUMBER,
}
"""What events can be counted by besides their fields, as whole numbers; divided is only what has no rest."""
_CYCLES = {"hour": HOURS, "weekday": WEEKDAYS}
_NAMED_BY_ALIAS = "key"
_PLACE = re.compile(r"\$(v[0-9]+)")


@dataclass(frozen=True, slots=True)
class BoundValues:
    """The values that stand in a statement as $v0, $v1, …"""

    values: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: Any) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"${name}"

    def written(self, statement: str, write: Callable[[Any], str]) -> str:
        """Return a statement with what `write` makes of each value in its place, in order."""
        return _PLACE.sub(lambda found: write(self.values[found[1]]), statement)

    def placed(self, statement: str, write: Callable[[Any], str]) -> tuple[str, tuple[str, ...]]:
        """Return a statement with a ? for each value, and what `write` makes of the values, in order."""
        literals: list[str] = []

        def place(value: Any) -> str:
            literals.append(write(value))
            return "?"

        return self.written(statement, place), tuple(literals)


class Among(Protocol):
    """Says in SQL that a column has one of the texts that a term means. Raises InvalidFilterError."""

    def __call__(
        self,
        column: str,
        term: Term,
        aliases: Mapping[str, Sequence[str]],
        bound: BoundValues,
        *,
        anywhere: bool = False,
    ) -> str:
        """Return the condition; `anywhere` is for texts that need only be a part of the column's."""


def flag(one: EventProperty) -> str:
    """Return the condition that events have a property."""
    return f"marks % {2 * int(one)} >= {int(one)}"


@dataclass(frozen=True, slots=True)
class EventConditions:
    """Makes the conditions of one question to `engine`; `by_day`: its column `day` leaves out whole files."""

    engine: str
    among: Among
    aliases: Aliases
    bound: BoundValues = field(default_factory=BoundValues)
    by_day: bool = False

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
        if name in FLAGS and name not in OF_STORE:
            return flag(FLAGS[name])
        if name == "time":
            return any_of(" AND ".join(["true", *self._ends(value)]) for value in one.alternatives)
        if name in _CYCLES:
            called = enumerate(_CYCLES[name])
            wanted = [str(n) for n, text in called if any(a.matches(text) for a in one.alternatives)]
            within = f"{CLOCK[name]} IN ({', '.join(wanted)})" if wanted else "false"
            return f"epoch >= {DATED} AND {within}"
        if name in EVENT_FIELDS:
            known = named_keys(one.alternatives, self.aliases) if name == _NAMED_BY_ALIAS else {}
            return self.among(name, one, known, self.bound)
        if name == "id":
            return any_of(self._has_id(value) for value in one.alternatives)
        if not name:
            found = [self.among(column, one, {}, self.bound, anywhere=True) for column in FREE]
            return any_of((*found, *(self._has_id(value) for value in one.alternatives)))
        raise InvalidFilterError(
            f"Filter, character {one.position + 1}: {self.engine} can't be asked for {name}.",
            position=one.position,
            remedy="Ask the store itself, without --engine.",
        )

    def _has_id(self, value: Alternative) -> str:
        """Ids are looked up, never searched: there are as many as events."""
        if value.is_anything:
            return "true"
        if not value.is_text or len(value.parts) != 1:
            return "false"
        return f"event_id IN ({self.bound.bind(value.text)}, {self.bound.bind(value.text.lower())})"

    def _ends(self, value: Alternative) -> Iterator[str]:
        if isinstance(value.at_least, datetime):
            exact = seconds(value.at_least)
            first = exact if value.at_least == moment(exact) and value.include_least else exact + 1
            yield f"epoch >= {first}"
            if self.by_day:
                yield f"day >= {self.bound.bind(_day(value.at_least))}"
        if isinstance(value.at_most, datetime):
            exact = seconds(value.at_most)
            last = exact - 1 if value.at_most == moment(exact) and not value.include_most else exact
            yield f"epoch <= {last}"
            if self.by_day:
                yield f"day <= {self.bound.bind(_day(value.at_most))}"


def any_of(conditions: Iterable[str]) -> str:
    """Return the condition that one of several holds."""
    return " OR ".join(["false", *(f"({condition})" for condition in conditions)])


def hides_services(one: Clause) -> bool:
    """True for a clause that leaves out what AWS services do by themselves."""
    return isinstance(one, Term) and one.field == "service" and one.negated


def _day(at: datetime) -> str:
    return f"{moment(seconds(at)):%Y-%m-%d}".rjust(10, "0")
