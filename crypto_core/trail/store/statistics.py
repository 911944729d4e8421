"""Counts events by some fields and by the clock, in one statement; parts.py says where."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select, true, union_all

from crypto_core.text.cleaning import clean
from crypto_core.trail.columns import DAY, HOUR, EventProperty, moment, seconds
from crypto_core.trail.event import UNDATED
from crypto_core.trail.event_fields import DETAILS, EVENT_FIELDS
from crypto_core.trail.store.conditions import Conditions
from crypto_core.trail.store.counts import texts_of
from crypto_core.trail.store.parts import by_way, parts, way
from crypto_core.trail.store.tallies import EventTally, Tallies
from crypto_core.trail.term_sql import CLOCK, clock_number, clock_text, whole


def key_of(columns: Mapping[str, Any], name: str) -> ColumnElement[Any]:
    """Return what rows are grouped by for a field, or for one of CLOCK; that is NULL without a time."""
    if name not in CLOCK:
        column: ColumnElement[Any] = columns[name]
        return column
    if name == "day" and name in columns:
        return func.nullif(columns[name], _NO_DAY)
    return clock_number(name, columns["hour"] if "hour" in columns else whole(columns["at"], HOUR))


def value_of(columns: Mapping[str, Any], name: str, nothing: int | str) -> ColumnElement[Any]:
    """Return what is different in a field, or one of CLOCK; NULL for what stands for nothing there."""
    key = key_of(columns, name)
    return key if name in CLOCK else func.nullif(key, nothing)


_NO_DAY = seconds(UNDATED) // DAY

FIELDS = (*EVENT_FIELDS, *CLOCK)
MOST_FIELDS = 4
MEASURES = ("count", "failed", "denied", "distinct")

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


def tally(
    connection: Connection,
    found: Conditions,
    fields: Sequence[str],
    *,
    distinct: str = "",
    thresholds: Sequence[Threshold] = (),
    limit: int = 100,
) -> Tallies:
    """Return the groups of events that are alike in `fields`, the `limit` largest ones in detail."""
    asked = {*fields, *([distinct] if distinct else ())}
    every = []
    for part in parts(found, exact=bool(asked & DETAILS.keys()), by_hour="hour" in asked):
        columns = part.columns
        keys = [key_of(columns, name).label(f"key_{n}") for n, name in enumerate(fields)]
        value = [value_of(columns, distinct, nothing=0).label("value")] if distinct else []
        numbers: list[ColumnElement[Any]] = [
            func.sum(part.number).label("events"),
            func.sum(part.of(EventProperty.FAILED)).label("failed"),
            func.sum(part.of(EventProperty.DENIED)).label("denied"),
            func.min(part.first).label("first"),
            func.max(part.last).label("last"),
        ]
        wanted: list[ColumnElement[Any]] = [*keys, *value, *numbers]
        statement = part.counted(*wanted, by=asked)
        if not part.counted_before:
            statement = by_way(statement, way(connection, found, [f for f in asked if f in EVENT_FIELDS]))
        # A sum over nothing is no group.
        every.append(statement.group_by(*keys, *value).having(func.count() > 0))
    if not every:
        return Tallies(tuple(fields))
    rows = connection.execute(_chosen(every, len(fields), distinct, thresholds).limit(limit)).all()
    if not rows:
        return Tallies(tuple(fields))
    all_, events = int(rows[0].groups), int(rows[0].total)
    shown = _shown(connection, fields, rows, distinct=bool(distinct))
    rest = events - sum(row.events for row in shown)
    return Tallies(tuple(fields), shown, all_ - len(shown), rest)


def _chosen(every: Sequence[Any], keys: int, distinct: str, thresholds: Sequence[Threshold]) -> Any:
    parts_ = union_all(*every).subquery()
    names = [parts_.c[f"key_{n}"] for n in range(keys)]
    measures: dict[str, ColumnElement[int]] = {
        "count": func.sum(parts_.c.events),
        "failed": func.sum(parts_.c.failed),
        "denied": func.sum(parts_.c.denied),
        "distinct": func.count(parts_.c.value.distinct()) if distinct else func.count() * 0,
    }
    groups = select(
        *names,
        *(measure.label(name) for name, measure in measures.items()),
        func.min(parts_.c.first).label("first"),
        func.max(parts_.c.last).label("last"),
    )
    groups = groups.group_by(*names) if names else groups.having(func.count() > 0)
    chosen = groups.having(and_(true(), *(one.on(measures) for one in thresholds))).subquery()
    columns = list(chosen.c)
    counted = select(
        *columns, func.count().over().label("groups"), func.sum(chosen.c["count"]).over().label("total")
    )
    return counted.order_by(chosen.c["count"].desc(), *columns[:keys])


def _shown(
    connection: Connection, fields: Sequence[str], rows: Sequence[Any], *, distinct: bool
) -> tuple[EventTally, ...]:
    texts = [[int(row[n]) for row in rows] for n, name in enumerate(fields) if name not in CLOCK]
    named = texts_of(connection, sorted({number for column in texts for number in column}))
    return tuple(
        EventTally(
            tuple(
                clean(clock_text(name, row[n])) if name in CLOCK else named[int(row[n])]
                for n, name in enumerate(fields)
            ),
            row[len(fields)],
            row.failed,
            row.denied,
            moment(int(row.first)),
            moment(int(row.last)),
            row.distinct if distinct else None,
        )
        for row in rows
    )
