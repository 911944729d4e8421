"""Counts events: how many, when, and by what; see parts.py for where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select, union_all

from crypto_core.trail.columns import HOUR, EventProperty
from crypto_core.trail.store.conditions import Conditions
from crypto_core.trail.store.pages import by_index
from crypto_core.trail.store.parts import Part, parts, quickest
from crypto_core.trail.store.schema import chunks, event, profile, rollup, term, with_profiles
from crypto_core.trail.term_sql import whole
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean

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


@dataclass(slots=True)
class _Total:
    """A value while it is counted. `gone` are the first and the last second of events that are taken away."""

    events: int = 0
    first: int | None = None
    last: int | None = None
    gone: tuple[int, int] | None = None

    def add(self, events: int, first: int | None, last: int | None, *gone: int | None) -> None:
        """Add what a part of the store holds of it; gone come last."""
        self.events += events
        if first is not None and (self.first is None or first < self.first):
            self.first = first
        if last is not None and (self.last is None or last > self.last):
            self.last = last
        if gone[0] is not None and gone[1] is not None:
            before = self.gone or (gone[0], gone[1])
            self.gone = min(before[0], gone[0]), max(before[1], gone[1])

    def value(self, text: CleanText) -> Value:
        return Value(text, self.events, self.first or 0, self.last or 0)


def count(connection: Connection, found: Conditions) -> int:
    return _all(connection, found).events


def extent(connection: Connection, found: Conditions) -> tuple[int, int, int] | None:
    """Return how many events a filter lets through, and their first and last second; None where none."""
    total = _all(connection, found)
    if not total.events:
        return None
    _find_ends(connection, found, total)
    return total.events, total.first or 0, total.last or 0


def _all(connection: Connection, found: Conditions) -> _Total:
    total = _Total()
    for part in parts(found, corrected=True):
        row = connection.execute(quickest(connection, part, part.counted(*_numbers(part)))).one()
        if row[0]:
            total.add(*row)
        elif part.corrects:
            total.add(0, *row[1:])
    return total


def _numbers(part: Part) -> list[ColumnElement[Any]]:
    return [part.total, func.min(part.first), func.max(part.last), func.min(part.gone), func.max(part.gone)]


def _find_ends(
    connection: Connection, found: Conditions, total: _Total, of: ColumnElement[bool] | None = None
) -> None:
    """Look the first and last event up (of a further condition) where those counted are taken away."""
    if total.gone is None or total.first is None or total.last is None:
        return
    within = (found.on(event), event.c.at >= total.first, event.c.at <= total.last)
    chosen = select(event.c.at).select_from(with_profiles(event)).where(*within)
    if of is not None:
        chosen = chosen.where(of)
    chosen = by_index(chosen.limit(1), "ix_event_at")
    if total.gone[0] <= total.first:
        total.first = connection.scalar(chosen.order_by(event.c.at))
    if total.gone[1] >= total.last:
        total.last = connection.scalar(chosen.order_by(event.c.at.desc()))


def histogram(connection: Connection, found: Conditions, bars: int) -> Histogram | None:
    """Return at most `bars` bars over the filter's span, or over its events; None where there are none."""
    total = _Total()
    by_hour = _by_time(connection, found, HOUR, 0, total)
    if not total.events:
        return None
    _find_ends(connection, found, total)
    earliest, latest = total.first or 0, total.last or 0
    first = earliest - earliest % HOUR if found.bounds.first is None else found.bounds.first
    last = max(latest, first + HOUR - 1) if found.bounds.last is None else found.bounds.last
    most = max(1, min(bars, MOST_BARS))
    width = -(-(last - first + 1) // most)
    totals: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    if width < HOUR and (not found.rolled or total.events <= _FEW):
        totals |= _by_time(connection, found, width, first)
    else:
        first -= first % HOUR
        width = -(-(last - first + 1) // (most * HOUR)) * HOUR
        for hour, (events, failed) in by_hour.items():
            bar = totals[(hour * HOUR - first) // width]
            bar[0] += events
            bar[1] += failed
    shown = tuple(Bar(first + at * width, *totals[at]) for at in sorted(totals) if totals[at][0])
    return Histogram(first, last, width, shown)


def _by_time(
    connection: Connection, found: Conditions, width: int, first: int, total: _Total | None = None
) -> dict[int, list[int]]:
    """Return the events and the failed ones by so many seconds from the first on; adds all to a total."""
    times: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    exact = width != HOUR
    for part in parts(found, exact=exact, by_hour=True, corrected=True):
        # Hours are read in their order, so that they need not be sorted.
        time = rollup.c.hour if part.counted_before else whole(event.c.at - first, width)
        asked = part.counted(time, func.sum(part.of(EventProperty.FAILED)), *_numbers(part)).group_by(time)
        for at, failed, *numbers in connection.execute(quickest(connection, part, asked, exact=exact)):
            times[at][0] += numbers[0]
            times[at][1] += failed
            if total is not None:
                total.add(*numbers)
    return times


def pivot(connection: Connection, found: Conditions, field: str, limit: int) -> Pivot:
    """Return the values of a field with their events; those without a value are not counted."""
    if field not in profile.c:
        return _most_common(connection, found, field, limit)
    totals: defaultdict[int, _Total] = defaultdict(_Total)
    for part in parts(found, corrected=True):
        for number, *numbers in connection.execute(_by(connection, field, part)):
            totals[number].add(*numbers)
    for number in [number for number, total in totals.items() if not total.events]:
        del totals[number]
    if field in ("key", "material"):
        return _split(connection, found, totals, field, limit)
    ordered = sorted(totals.items(), key=lambda item: (-item[1].events, item[0]))
    for number, total in ordered[:limit]:
        _find_ends(connection, found, total, profile.c[field] == number)
    named = texts_of(connection, [number for number, _ in ordered[:limit]])
    rest = ordered[limit:]
    chosen = tuple(total.value(named[number]) for number, total in ordered[:limit])
    return Pivot(field, chosen, len(rest), sum(total.events for _, total in rest))


def _by(connection: Connection, field: str, part: Part) -> Select[Any]:
    """The events of a part by a field that profiles have: by the profile first, which is far quicker."""
    of = part.table.c.profile
    each = quickest(connection, part, part.counted(of, *_numbers(part)).group_by(of), field).subquery()
    profiles, number, first, last, gone_first, gone_last = each.c
    column = profile.c[field]
    ends = func.min(first), func.max(last), func.min(gone_first), func.max(gone_last)
    return (
        select(column, func.sum(number), *ends)
        .select_from(each.join(profile, profile.c.id == profiles))
        .where(column != 0)
        .group_by(column)
    )


def _most_common(connection: Connection, found: Conditions, field: str, limit: int) -> Pivot:
    """What differs with nearly every event is put in order in SQL: only the most common values come."""
    each = []
    for part in parts(found.with_text(field), exact=True, corrected=True):
        column = event.c[field]
        names = ("number", "events", "first", "last", "gone_first", "gone_last")
        numbers = [one.label(name) for one, name in zip((column, *_numbers(part)), names, strict=True)]
        each.append(quickest(connection, part, part.counted(*numbers).group_by(column), field, exact=True))
    if not each:
        return Pivot(field, ())
    all_ = (union_all(*each) if len(each) > 1 else each[0]).subquery()
    if len(each) > 1:
        number, events, first, last, gone_first, gone_last = all_.c
        ends = func.min(first), func.max(last), func.min(gone_first), func.max(gone_last)
        summed = select(number, func.sum(events).label("events"), *ends).group_by(number)
        all_ = summed.having(func.sum(events) > 0).subquery()
    number, events, *_ = all_.c
    rows = connection.execute(
        select(*all_.c, func.count().over(), func.sum(events).over())
        .order_by(events.desc(), number)
        .limit(limit)
    ).all()
    if not rows:
        return Pivot(field, ())
    named = texts_of(connection, [row[0] for row in rows])
    chosen = []
    for row in rows:
        total = _Total()
        total.add(*row[1:6])
        _find_ends(connection, found, total, of=event.c[field] == row[0])
        chosen.append(total.value(named[row[0]]))
    others, rest = int(rows[0][6]) - len(chosen), int(rows[0][7]) - sum(v.events for v in chosen)
    return Pivot(field, tuple(chosen), others, rest)


def _split(
    connection: Connection, found: Conditions, totals: Mapping[int, _Total], field: str, limit: int
) -> Pivot:
    """An event about two keys counts for each of them."""
    named = texts_of(connection, list(totals))
    numbers: defaultdict[CleanText, list[int]] = defaultdict(list)
    for number in totals:
        for text in map(CleanText, named[number].split(" ")):
            numbers[text].append(number)
    events = {text: sum(totals[number].events for number in those) for text, those in numbers.items()}
    ordered = sorted(numbers, key=lambda text: (-events[text], text))
    for number in {number for text in ordered[:limit] for number in numbers[text]}:
        _find_ends(connection, found, totals[number], profile.c[field] == number)
    chosen: list[Value] = []
    for text in ordered[:limit]:
        all_ = _Total()
        for number in numbers[text]:
            all_.add(totals[number].events, totals[number].first, totals[number].last, None, None)
        chosen.append(all_.value(text))
    rest = ordered[limit:]
    return Pivot(field, tuple(chosen), len(rest), sum(events[text] for text in rest))


def texts_of(connection: Connection, numbers: list[int]) -> dict[int, CleanText]:
    """Return texts by their numbers; "" for a number that there isn't."""
    named = dict.fromkeys(numbers, NO_TEXT)
    for some in chunks(numbers, 900):
        rows = connection.execute(select(term.c.id, term.c.text).where(term.c.id.in_(some)))
        named |= {int(row[0]): clean(row[1], _LONGEST) for row in rows}
    return named
