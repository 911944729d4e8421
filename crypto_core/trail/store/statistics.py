"""Counts events by some fields and by the clock, in one statement, whatever engine runs it.

The store's own are counted where parts.py says.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, literal_column, select, union_all

from crypto_core.lists.paging import unknown_sort
from crypto_core.trail.columns import DAY, HOUR, EventProperty, moment, seconds
from crypto_core.trail.event import UNDATED
from crypto_core.trail.event_fields import DETAILS, EVENT_FIELDS
from crypto_core.trail.store.conditions import Conditions
from crypto_core.trail.store.counts import texts_of
from crypto_core.trail.store.pages import by_index
from crypto_core.trail.store.parts import parts, way
from crypto_core.trail.store.tallies import EventTally, Tallies
from crypto_core.trail.term_sql import CLOCK, clock_number, clock_text, whole
from crypto_core.values.clean_text import CleanText, clean


def _key_of(columns: Mapping[str, Any], name: str) -> ColumnElement[Any]:
    """What rows are grouped by for a field, or for one of CLOCK; that is NULL without a time."""
    if name not in CLOCK:
        column: ColumnElement[Any] = columns[name]
        return column
    if name == "day" and name in columns:
        return func.nullif(columns[name], _NO_DAY)
    return clock_number(name, columns["hour"] if "hour" in columns else whole(columns["at"], HOUR))


_NO_DAY = seconds(UNDATED) // DAY

FIELDS = (*EVENT_FIELDS, *CLOCK)
MOST_FIELDS = 4
MEASURES = ("count", "failed", "denied", "distinct")
_COUNTED = {"count": "events", "distinct": "differing"}
MEASURED: Mapping[str, Callable[[Any], ColumnElement[int]]] = {
    **dict.fromkeys(("events", "failed", "denied"), func.sum),
    "earliest": func.min,
    "latest": func.max,
    "hidden": func.sum,
}
"""What is counted of each group, and how parts of one are put together."""
LONGEST = 16_000
"""Characters of a value."""

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A condition on groups, such as count>100."""

    measure: str
    sign: str
    number: int

    def on(self, measures: Mapping[str, ColumnElement[int]]) -> ColumnElement[bool]:
        found: ColumnElement[bool] = _OPERATORS[self.sign](measures[self.measure], self.number)
        return found


def threshold(text: str) -> Threshold | None:
    """Return the condition that a text such as `count>100` means; None for what is none."""
    found = re.fullmatch(rf"({'|'.join(MEASURES)})\s*(>=|<=|>|<|=)\s*(\d{{1,15}})", text.strip())
    return Threshold(found[1], found[2], int(found[3])) if found else None


@dataclass(frozen=True, slots=True)
class GroupsQuestion:
    """What is counted, by whatever engine. `valued` leaves out groups without a value."""

    fields: tuple[str, ...]
    distinct: str = ""
    thresholds: tuple[Threshold, ...] = ()
    limit: int = 100
    valued: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All that it names. Raises an error for what events can't be counted by."""
        every = (*self.fields, *([self.distinct] if self.distinct else ()))
        for name in every:
            if name not in FIELDS:
                raise unknown_sort(name, FIELDS)
        return every

    def keys(self, columns: Mapping[str, Any], nothing: int | str) -> list[ColumnElement[Any]]:
        """Return what rows of a table are grouped by; `nothing` stands there for no text."""
        every = [_key_of(columns, name) for name in self.names]
        labels = (f"k{n}" for n in range(len(self.fields)))
        keys: list[ColumnElement[Any]] = [key.label(label) for key, label in zip(every, labels, strict=False)]
        if not self.distinct:
            return keys
        value = every[-1]
        return [*keys, (value if self.distinct in CLOCK else func.nullif(value, nothing)).label("value")]

    def chosen(self, parts: Sequence[Select[Any]], nothing: int | str) -> Select[Any]:
        """Return the statement for the largest groups of what parts have counted, and for how many there are.

        Each part has `keys` and MEASURED.
        """
        width = len(self.fields)
        if self.distinct or len(parts) > 1:
            part = union_all(*parts).subquery("parts").c if len(parts) > 1 else parts[0].subquery("parts").c
            # Once a value, where one part has counted it: some versions of DuckDB count DISTINCT wrong.
            value = case((part.events > 0, part.value)) if self.distinct else literal_column("0")
            different = func.count(value.distinct() if len(parts) > 1 else value)
            sums = [of(part[name]).label(name) for name, of in MEASURED.items()]
            again = select(*list(part)[:width], *sums, different.label("differing"))
            counted = by_place(again, width).subquery("counted").c
        else:
            counted = parts[0].add_columns(literal_column("0").label("differing")).subquery("counted").c
        named = {measure: counted[_COUNTED.get(measure, measure)] for measure in MEASURES}
        texts = [counted[f"k{n}"] for n, name in enumerate(self.fields) if name not in CLOCK]
        valued = [text != nothing for text in texts] if self.valued else []
        passing = and_(counted.events > 0, *(one.on(named) for one in self.thresholds), *valued)
        chosen = select(*counted, passing.label("passes")).subquery("chosen").c
        totals = [
            func.sum(case((chosen.passes, 1), else_=0)).over().label("all_groups"),
            func.sum(case((chosen.passes, chosen.events), else_=0)).over().label("all_events"),
            func.coalesce(func.sum(chosen.hidden).over(), 0).label("all_hidden"),
        ]
        order = chosen.passes.desc(), chosen.events.desc(), *list(chosen)[:width]
        return select(*chosen, *totals).order_by(*order).limit(int(self.limit))

    def read(
        self, rows: Sequence[Sequence[Any]], texts: Mapping[int, CleanText] | None = None
    ) -> tuple[Tallies, int]:
        """Return the groups, and how many events aren't shown; `texts` by number, if rows have numbers."""
        width = len(self.fields)
        if not rows:
            return Tallies(self.fields), 0

        def text(name: str, key: Any) -> CleanText:
            if name in CLOCK:
                return clean(clock_text(name, None if key is None else int(key)))
            return clean(key, LONGEST) if texts is None else texts[int(key)]

        found: list[EventTally] = []
        for row in rows:
            if row[-4] in (True, "true"):
                events, failed, denied, first, last, _, differing = map(int, row[width : width + 7])
                keys = tuple(map(text, self.fields, row[:width]))
                ends = moment(first), moment(last)
                different = differing if self.distinct else None
                found.append(EventTally(keys, events, failed, denied, *ends, different))
        groups, all_events, hidden = map(int, rows[0][-3:])
        left = groups - len(found), all_events - sum(one.events for one in found)
        return Tallies(self.fields, tuple(found), *left), hidden


def by_place(statement: Select[Any], width: int) -> Select[Any]:
    """Return a statement grouped by its first so many columns."""
    return statement.group_by(*(literal_column(str(n + 1)) for n in range(width)))


def tally(connection: Connection, found: Conditions, question: GroupsQuestion) -> Tallies:
    asked = set(question.names)
    every = []
    for part in parts(found, exact=bool(asked & DETAILS.keys()), by_hour="hour" in asked):
        keys = question.keys(part.columns, nothing=0)
        numbers = part.number, part.of(EventProperty.FAILED), part.of(EventProperty.DENIED)
        measures: list[ColumnElement[int]] = [*numbers, part.first, part.last, literal_column("0")]
        sums = [of(one).label(name) for (name, of), one in zip(MEASURED.items(), measures, strict=True)]
        statement = part.counted(*keys, *sums, by=asked)
        if not part.counted_before:
            statement = by_index(statement, way(connection, found, [f for f in asked if f in EVENT_FIELDS]))
        # A sum over nothing is no group.
        every.append(statement.group_by(*keys).having(func.count() > 0))
    if not every:
        return Tallies(question.fields)
    rows = connection.execute(question.chosen(every, nothing=0)).all()
    numbered = {int(row[n]) for row in rows for n, name in enumerate(question.fields) if name not in CLOCK}
    return question.read(rows, texts_of(connection, sorted(numbered)))[0]
