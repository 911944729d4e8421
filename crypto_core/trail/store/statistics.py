"""Counts events by some fields and by the clock, in one statement; parts.py says where."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select, true, union_all

from crypto_core.lists.filter_language import HOURS, WEEKDAYS
from crypto_core.text.cleaning import NO_TEXT, CleanText, clean
from crypto_core.trail.columns import HOUR, EventProperty, moment, seconds
from crypto_core.trail.event import UNDATED
from crypto_core.trail.event_fields import DETAILS, EVENT_FIELDS
from crypto_core.trail.store.conditions import Conditions, hour_of_day, weekday, whole
from crypto_core.trail.store.counts import texts_of
from crypto_core.trail.store.parts import by_way, parts, way
from crypto_core.trail.store.tallies import EventTally, Tallies

CLOCK = ("hour", "day", "weekday")
NO_TIME = seconds(UNDATED) // 86_400
"""Stands for the hour, day and weekday of events that tell no time."""

_UNDATED = seconds(UNDATED) // HOUR


def key_of(columns: Mapping[str, Any], name: str) -> ColumnElement[int]:
    """Return what a table's rows are grouped by for a field, or for one of CLOCK."""
    if name in columns and name != "hour":
        column: ColumnElement[int] = columns[name]
        return column
    hours = columns["hour"] if "hour" in columns else whole(columns["at"], HOUR)
    return func.iif(hours == _UNDATED, NO_TIME, _FROM_HOURS[name](hours))


def _day(hours: ColumnElement[int]) -> ColumnElement[int]:
    return whole(hours, 24)


_FROM_HOURS = {"hour": hour_of_day, "weekday": weekday, "day": _day}


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
        value = [key_of(columns, distinct).label("value")] if distinct else []
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
    no_value = NO_TIME if distinct in CLOCK else 0
    measures: dict[str, ColumnElement[int]] = {
        "count": func.sum(parts_.c.events),
        "failed": func.sum(parts_.c.failed),
        "denied": func.sum(parts_.c.denied),
        "distinct": func.count(func.nullif(parts_.c.value, no_value).distinct())
        if distinct
        else func.count() * 0,
    }
    groups = select(
        *names,
        *(measure.label(name) for name, measure in measures.items()),
        func.min(parts_.c.first).label("first"),
        func.max(parts_.c.last).label("last"),
    )
    groups = groups.group_by(*names) if names else groups.having(func.count() > 0)
    passing = [_OPERATORS[one.sign](measures[one.measure], one.number) for one in thresholds]
    chosen = groups.having(and_(true(), *passing)).subquery()
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
            tuple(_value(name, int(row[n]), named) for n, name in enumerate(fields)),
            row[len(fields)],
            row.failed,
            row.denied,
            moment(int(row.first)),
            moment(int(row.last)),
            row.distinct if distinct else None,
        )
        for row in rows
    )


def _value(name: str, number: int, named: Mapping[int, CleanText]) -> CleanText:
    if name not in CLOCK:
        return named[number]
    if number == NO_TIME:
        return NO_TEXT
    match name:
        case "hour":
            return clean(HOURS[number])
        case "weekday":
            return clean(WEEKDAYS[number])
        case _:
            return clean(moment(number * 86_400).date().isoformat())
