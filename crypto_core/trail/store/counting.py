"""Counts events: how many, when, and by what. From the hours' counts wherever these know the answer.

The hours at both ends of a span in time are counted event by event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select

from crypto_core.trail.store.conditions import Bounds, Conditions
from crypto_core.trail.store.schema import HOUR, Mark, event, rollup, term

MOST_BARS = 2_000
_FEW = 200_000
"""So many events of a span are counted one by one where bars are narrower than an hour."""


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
    """A value with its events: how many, and the first and the last in seconds since 1970.

    Where hours are counted, first and last are an hour's first and last second.
    """

    text: str
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


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of one table that together with other parts are all that is asked for."""

    columns: Mapping[str, ColumnElement[Any]]
    number: ColumnElement[int]
    condition: ColumnElement[bool]
    hourly: bool


def parts(found: Conditions, *, exact: bool = False) -> Iterator[_Part]:
    """Yield where the events of a filter are counted. `exact` asks for events throughout."""
    bounds = found.bounds
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
    columns = {**rollup.c, "at": rollup.c.hour * HOUR}
    yield _Part(columns, rollup.c.events, and_(*conditions), hourly=True)


def _events(found: Conditions, bounds: Bounds) -> _Part:
    conditions = [found.on(event)]
    if bounds.first is not None:
        conditions.append(event.c.at >= bounds.first)
    if bounds.last is not None:
        conditions.append(event.c.at <= bounds.last)
    one: ColumnElement[int] = func.iif(event.c.id.is_not(None), 1, 1)
    return _Part({**event.c}, one, and_(*conditions), hourly=False)


def count(connection: Connection, found: Conditions) -> int:
    """Return how many events a filter lets through."""
    total = 0
    for part in parts(found):
        number = func.sum(part.number) if part.hourly else func.count()
        total += int(connection.scalar(select(number).where(part.condition)) or 0)
    return total


def span(connection: Connection, found: Conditions) -> tuple[int, int] | None:
    """Return the first and the last second with events, of whole hours where these are counted; or None."""
    ends: list[int] = []
    for part in parts(found):
        at = part.columns["at"]
        width = HOUR - 1 if part.hourly else 0
        first, last = connection.execute(select(func.min(at), func.max(at)).where(part.condition)).one()
        if first is not None:
            ends += [int(first), int(last) + width]
    return (min(ends), max(ends)) if ends else None


def histogram(connection: Connection, found: Conditions, bars: int) -> Histogram | None:
    """Return at most `bars` bars over the filter's span, or over its events; None where there are none."""
    ends = span(connection, found)
    if ends is None:
        return None
    first = ends[0] if found.bounds.first is None else found.bounds.first
    last = ends[1] if found.bounds.last is None else found.bounds.last
    width = max(1, -(-(last - first + 1) // max(1, min(bars, MOST_BARS))))
    exact = width < HOUR and (not found.rolled or count(connection, found) <= _FEW)
    if not exact:
        width = -(-width // HOUR) * HOUR
        first -= first % HOUR
    totals: dict[int, list[int]] = {}
    for part in parts(found, exact=exact):
        slot = (part.columns["at"] - first) // width
        failed = func.iif(part.columns["marks"].bitwise_and(int(Mark.FAILED)) != 0, part.number, 0)
        rows = connection.execute(
            select(slot, func.sum(part.number), func.sum(failed)).where(part.condition).group_by(slot)
        )
        for place, events, failures in rows:
            bar = totals.setdefault(int(place), [0, 0])
            bar[0] += int(events)
            bar[1] += int(failures)
    return Histogram(first, last, width, tuple(Bar(first + at * width, *totals[at]) for at in sorted(totals)))


def pivot(connection: Connection, found: Conditions, field: str, limit: int) -> Pivot:
    """Return the values of a field with their events; those without a value are not counted."""
    totals: dict[int, list[int]] = {}
    for part in parts(found, exact=field not in rollup.c):
        column, at = part.columns[field], part.columns["at"]
        width = HOUR - 1 if part.hourly else 0
        rows = connection.execute(_by(column, part, at))
        for number, events, first, last in rows:
            known = totals.setdefault(int(number), [0, int(first), int(last) + width])
            known[0] += int(events)
            known[1] = min(known[1], int(first))
            known[2] = max(known[2], int(last) + width)
    if field in ("key", "material"):
        return _split(connection, totals, field, limit)
    ordered = sorted(totals.items(), key=lambda item: (-item[1][0], item[0]))
    named = texts_of(connection, [number for number, _ in ordered[:limit]])
    chosen = [Value(named[number], *known) for number, known in ordered[:limit]]
    rest = ordered[limit:]
    return Pivot(field, tuple(chosen), len(rest), sum(known[0] for _, known in rest))


def _by(column: ColumnElement[Any], part: _Part, at: ColumnElement[Any]) -> Select[Any]:
    number = func.sum(part.number) if part.hourly else func.count()
    return (
        select(column, number, func.min(at), func.max(at)).where(part.condition, column != 0).group_by(column)
    )


def _split(connection: Connection, totals: Mapping[int, list[int]], field: str, limit: int) -> Pivot:
    """An event about two keys counts for each of them."""
    merged: dict[str, list[int]] = {}
    named = texts_of(connection, list(totals))
    for number, (events, first, last) in totals.items():
        for text in named[number].split(" "):
            known = merged.setdefault(text, [0, first, last])
            known[0] += events
            known[1], known[2] = min(known[1], first), max(known[2], last)
    ordered = sorted(merged.items(), key=lambda item: (-item[1][0], item[0]))
    rest = ordered[limit:]
    chosen = [Value(text, *known) for text, known in ordered[:limit]]
    return Pivot(field, tuple(chosen), len(rest), sum(known[0] for _, known in rest))


def texts_of(connection: Connection, numbers: list[int]) -> dict[int, str]:
    """Return texts by their numbers; "" for a number that has none."""
    named = dict.fromkeys(numbers, "")
    for start in range(0, len(numbers), 900):
        some = numbers[start : start + 900]
        rows = connection.execute(select(term.c.id, term.c.text).where(term.c.id.in_(some)))
        named |= {int(number): str(text) for number, text in rows}
    return named
