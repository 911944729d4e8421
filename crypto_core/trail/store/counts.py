"""Counts events: how many, when, and by what. From the hours' counts wherever these know the answer.

The hours at both ends of a span in time are counted event by event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Select, Table, and_, func, literal_column, select

from crypto_core.text.cleaning import NO_TEXT, CleanText, clean
from crypto_core.trail.columns import HOUR, EventProperty
from crypto_core.trail.store.conditions import Bounds, Conditions, having
from crypto_core.trail.store.first_last_seen import Ends, find_ends
from crypto_core.trail.store.schema import COLUMNS, event, profile, rollup, term, with_profiles

MOST_BARS = 2_000
_FEW = 200_000
"""So many events of a span are counted one by one where bars are narrower than an hour."""


_LONGEST = 16_000
"""Characters of a text; no stored one is longer."""


@dataclass(frozen=True, slots=True)
class Bar:
    """The events from a second on, for the histogram's `seconds`: all, and those of them that failed."""

    at: int
    events: int
    failed: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Events over time. `seconds` is the width of a bar; bars without events are left out."""

    first: int
    last: int
    seconds: int
    bars: tuple[Bar, ...] = ()

    @property
    def total(self) -> int:
        """All events."""
        return sum(bar.events for bar in self.bars)


@dataclass(frozen=True, slots=True)
class Value:
    """A value with its events: how many, and the first and the last in seconds since 1970."""

    text: CleanText
    events: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Pivot:
    """The values of a field, the most common first. `others` are further values, with `rest` events."""

    field: str
    values: tuple[Value, ...]
    others: int = 0
    rest: int = 0


@dataclass(slots=True, kw_only=True)
class _Total(Ends):
    """A value while it is counted."""

    events: int = 0

    def value(self, text: CleanText) -> Value:
        """Return what was counted."""
        return Value(text, self.events, self.first or 0, self.last or 0)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one table that together with other parts are all that is asked for."""

    table: Table
    columns: Mapping[str, ColumnElement[Any]]
    """Of the table and of its profiles."""
    number: ColumnElement[int]
    condition: ColumnElement[bool]
    hourly: bool

    def counted(self, *wanted: ColumnElement[Any], by: Iterable[str] = ()) -> Select[Any]:
        """Return a query of the part's rows, with what it needs to group them by some fields."""
        shared = any(name in profile.c for name in by)
        return (
            select(*wanted)
            .select_from(with_profiles(self.table) if shared else self.table)
            .where(self.condition)
        )

    def of(self, mark: EventProperty) -> ColumnElement[int]:
        """The number of a row's events that have a property."""
        return func.iif(having(self.table, mark), self.number, 0)


def parts(found: Conditions, *, exact: bool = False) -> Iterator[Part]:
    """Yield where the events of a filter are counted. `exact` asks for events throughout."""
    bounds = found.within
    if bounds.empty:
        return
    if exact or not found.rolled:
        yield _events(found, bounds)
        return
    first = None if bounds.first is None else -(-bounds.first // HOUR)
    last = None if bounds.last is None else (bounds.last + 1) // HOUR - 1
    if first is not None and last is not None and first > last:
        yield _events(found, bounds)
        return
    conditions = [found.on(rollup)]
    if first is not None:
        conditions.append(rollup.c.hour >= first)
        if bounds.first is not None and bounds.first < first * HOUR:
            yield _events(found, Bounds(bounds.first, first * HOUR - 1))
    if last is not None:
        conditions.append(rollup.c.hour <= last)
        if bounds.last is not None and bounds.last >= (last + 1) * HOUR:
            yield _events(found, Bounds((last + 1) * HOUR, bounds.last))
    columns = {**profile.c, **rollup.c, "at": rollup.c.hour * HOUR}
    yield Part(rollup, columns, rollup.c.events, and_(*conditions), hourly=True)


def _events(found: Conditions, bounds: Bounds) -> Part:
    one: ColumnElement[int] = literal_column("1", Integer)
    return Part(event, COLUMNS, one, and_(found.on(event), *bounds.on(event.c.at)), hourly=False)


def count(connection: Connection, found: Conditions) -> int:
    """Return how many events a filter lets through."""
    total = 0
    for part in parts(found):
        number = func.sum(part.number) if part.hourly else func.count(part.columns["at"])
        total += int(connection.scalar(part.counted(number)) or 0)
    return total


def span(connection: Connection, found: Conditions) -> tuple[int, int] | None:
    """Return the first and the last second with events; or None."""
    ends = Ends()
    for part in parts(found):
        at = part.columns["at"]
        first, last = connection.execute(part.counted(func.min(at), func.max(at))).one()
        if first is not None:
            ends.widen(int(first), int(last), hourly=part.hourly)
    find_ends(connection, found, (), {(): ends})
    return None if ends.first is None or ends.last is None else (ends.first, ends.last)


def histogram(connection: Connection, found: Conditions, bars: int) -> Histogram | None:
    """Return at most `bars` bars over the filter's span, or over its events; None where there are none."""
    ends = span(connection, found)
    if ends is None:
        return None
    first = ends[0] - ends[0] % HOUR if found.bounds.first is None else found.bounds.first
    last = max(ends[1], first + HOUR - 1) if found.bounds.last is None else found.bounds.last
    most = max(1, min(bars, MOST_BARS))
    width = -(-(last - first + 1) // most)
    exact = width < HOUR and (not found.rolled or count(connection, found) <= _FEW)
    if not exact:
        first -= first % HOUR
        width = -(-(last - first + 1) // (most * HOUR)) * HOUR
    totals: dict[int, list[int]] = {}
    for part in parts(found, exact=exact):
        slot = (part.columns["at"] - first) // width
        numbers = func.sum(part.number), func.sum(part.of(EventProperty.FAILED))
        for place, events, failures in connection.execute(part.counted(slot, *numbers).group_by(slot)):
            bar = totals.setdefault(int(place), [0, 0])
            bar[0] += int(events)
            bar[1] += int(failures)
    return Histogram(first, last, width, tuple(Bar(first + at * width, *totals[at]) for at in sorted(totals)))


def pivot(connection: Connection, found: Conditions, field: str, limit: int) -> Pivot:
    """Return the values of a field with their events; those without a value are not counted."""
    if field not in profile.c:
        return _most_common(connection, found, field, limit)
    totals: dict[int, _Total] = {}
    for part in parts(found):
        for number, events, first, last in connection.execute(_by(field, part)):
            total = totals.setdefault(int(number), _Total())
            total.events += int(events)
            total.widen(int(first), int(last), hourly=part.hourly)
    if field in ("key", "material"):
        return _split(connection, found, totals, field, limit)
    ordered = sorted(totals.items(), key=lambda item: (-item[1].events, item[0]))
    shown = ordered[:limit]
    find_ends(connection, found, [field], {(number,): total for number, total in shown})
    named = texts_of(connection, [number for number, _ in shown])
    rest = ordered[limit:]
    chosen = tuple(total.value(named[number]) for number, total in shown)
    return Pivot(field, chosen, len(rest), sum(total.events for _, total in rest))


def _most_common(connection: Connection, found: Conditions, field: str, limit: int) -> Pivot:
    """What differs with nearly every event is put in order by SQLite: only the most common values come."""
    for part in parts(found, exact=True):
        each = _by(field, part).subquery()
        number, events, first, last = each.c
        rows = connection.execute(
            select(number, events, first, last, func.count().over(), func.sum(events).over())
            .order_by(events.desc(), number)
            .limit(limit)
        ).all()
        if not rows:
            break
        named = texts_of(connection, [row[0] for row in rows])
        chosen = tuple(Value(named[row[0]], *map(int, row[1:4])) for row in rows)
        others, rest = int(rows[0][4]) - len(chosen), int(rows[0][5]) - sum(v.events for v in chosen)
        return Pivot(field, chosen, others, rest)
    return Pivot(field, ())


def _by(field: str, part: Part) -> Select[Any]:
    column, at = part.columns[field], part.columns["at"]
    number = func.sum(part.number) if part.hourly else func.count()
    counted = part.counted(column, number, func.min(at), func.max(at), by=(field,))
    return counted.where(column != 0).group_by(column)


def _split(
    connection: Connection, found: Conditions, totals: Mapping[int, _Total], field: str, limit: int
) -> Pivot:
    """An event about two keys counts for each of them."""
    named = texts_of(connection, list(totals))
    numbers: dict[CleanText, list[int]] = {}
    for number in totals:
        for text in map(CleanText, named[number].split(" ")):
            numbers.setdefault(text, []).append(number)
    events = {text: sum(totals[number].events for number in those) for text, those in numbers.items()}
    ordered = sorted(numbers, key=lambda text: (-events[text], text))
    shown = {number for text in ordered[:limit] for number in numbers[text]}
    find_ends(connection, found, [field], {(number,): totals[number] for number in shown})
    chosen: list[Value] = []
    for text in ordered[:limit]:
        all_ = _Total(events=events[text])
        for number in numbers[text]:
            one = totals[number].value(NO_TEXT)
            all_.widen(one.first, one.last, hourly=False)
        chosen.append(all_.value(text))
    rest = ordered[limit:]
    return Pivot(field, tuple(chosen), len(rest), sum(events[text] for text in rest))


def texts_of(connection: Connection, numbers: list[int]) -> dict[int, CleanText]:
    """Return texts by their numbers; "" for a number that there isn't."""
    named = dict.fromkeys(numbers, NO_TEXT)
    for start in range(0, len(numbers), 900):
        some = numbers[start : start + 900]
        rows = connection.execute(select(term.c.id, term.c.text).where(term.c.id.in_(some)))
        named |= {int(row[0]): clean(row[1], _LONGEST) for row in rows}
    return named
