"""Where the events of a filter are counted: by the day and by the hour wherever that knows the answer.

What is left of a span at both its ends is counted event by event; so is all of it where a filter asks for
what is an event's alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Table,
    and_,
    cast,
    func,
    literal_column,
    null,
    select,
)

from crypto_core.trail.columns import DAY, HOUR, EventProperty
from crypto_core.trail.event_fields import DETAILS, ROLLED
from crypto_core.trail.store.conditions import Conditions, any_of, having
from crypto_core.trail.store.pages import TOKENS, by_index, few
from crypto_core.trail.store.schema import COLUMNS, daily, event, profile, rollup, with_profiles
from crypto_core.trail.term_sql import Bounds

_FEW, _SCANNED = 100_000, 8
"""So many events, or so small a part of all, are read from wherever they are, rather than all in a row."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one table that together with other parts are all that is asked for.

    `first` and `last` are the seconds of a row's first and last event. Where `corrects`, a row takes away the
    event that another part counts, or adds it: then those are None for what is taken away, and `gone` is its
    second.
    """

    found: Conditions

    table: Table
    columns: Mapping[str, ColumnElement[Any]]
    """Of the table and of its profiles. `at` is the beginning of a row's hour or day."""
    number: ColumnElement[int]
    first: ColumnElement[int]
    last: ColumnElement[int]
    condition: ColumnElement[bool]
    corrects: bool = False

    @property
    def counted_before(self) -> bool:
        return self.table is not event

    def counted(self, *wanted: ColumnElement[Any], by: Iterable[str] = ()) -> Select[Any]:
        shared = any(name in profile.c for name in by)
        return (
            select(*wanted)
            .select_from(with_profiles(self.table) if shared else self.table)
            .where(self.condition)
        )

    @property
    def hours(self) -> tuple[ColumnElement[int], ColumnElement[int]]:
        """The beginnings of the hours of a row's first and last event; an event's own second."""
        if not self.counted_before:
            return self.first, self.last
        begins, ends = (self.table.c[name] // HOUR * HOUR for name in ("begins", "ends"))
        return self.columns["at"] + begins, self.columns["at"] + ends

    @property
    def total(self) -> ColumnElement[int]:
        return func.sum(self.number) if self.counted_before or self.corrects else func.count()

    @property
    def gone(self) -> ColumnElement[int]:
        return func.iif(self.number < 0, event.c.at, null()) if self.corrects else cast(null(), Integer)

    def of(self, mark: EventProperty) -> ColumnElement[int]:
        return func.iif(having(self.table, mark), self.number, 0)


def parts(
    found: Conditions, *, exact: bool = False, by_hour: bool = False, corrected: bool = False
) -> Iterator[Part]:
    """Yield where the events of a filter are counted.

    `exact` asks for events throughout, `by_hour` for nothing coarser than hours. `corrected` allows for a
    part that corrects others, see Part: where a filter leaves out what few events have, all but these are
    counted by the day.
    """
    bounds = found.within
    if bounds.empty:
        return
    rest = found.without_own() if corrected and not found.rolled else None
    if rest is not None:
        yield from parts(rest, exact=exact, by_hour=by_hour)
        yield _corrections(found, rest, bounds)
        return
    if exact or not found.rolled:
        yield _events(found, bounds)
        return
    hours = _whole(bounds, HOUR)
    if hours.empty:
        yield _events(found, bounds)
        return
    for end in _around(bounds, hours, HOUR):
        yield _events(found, end)
    days = Bounds(1, 0) if by_hour or found.by_hour else _whole(hours, 24)
    if days.empty:
        yield _rolled(found, rollup, hours, HOUR)
        return
    for end in _around(hours, days, 24):
        yield _rolled(found, rollup, end, HOUR)
    yield _rolled(found, daily, days, DAY)


def _whole(bounds: Bounds, width: int) -> Bounds:
    first = None if bounds.first is None else -(-bounds.first // width)
    return Bounds(first, None if bounds.last is None else (bounds.last + 1) // width - 1)


def _around(bounds: Bounds, inner: Bounds, width: int) -> Iterator[Bounds]:
    if bounds.first is not None and inner.first is not None and bounds.first < inner.first * width:
        yield Bounds(bounds.first, inner.first * width - 1)
    if bounds.last is not None and inner.last is not None and bounds.last >= (inner.last + 1) * width:
        yield Bounds((inner.last + 1) * width, bounds.last)


def _events(found: Conditions, bounds: Bounds) -> Part:
    one: ColumnElement[int] = literal_column("1", Integer)
    at = event.c.at
    return Part(found, event, COLUMNS, one, at, at, and_(found.on(event), *bounds.on(at)))


def _corrections(found: Conditions, rest: Conditions, bounds: Bounds) -> Part:
    at = event.c.at
    number = func.iif(found.on(event), 1, 0) - func.iif(rest.on(event), 1, 0)
    there = func.iif(number > 0, at, null())
    differ = and_(any_of(one.on(event) for one in found.own()), *bounds.on(at), number != 0)
    return Part(found, event, COLUMNS, number, there, there, differ, corrects=True)


def _rolled(found: Conditions, table: Table, times: Bounds, width: int) -> Part:
    time = table.c[0]
    at = time * width
    columns = {**profile.c, **table.c, "at": at}
    first, last = at + table.c.begins, at + table.c.ends
    return Part(found, table, columns, table.c.events, first, last, and_(found.on(table), *times.on(time)))


def way(connection: Connection, found: Conditions, fields: Sequence[str], *, exact: bool = False) -> str:
    """Return the index by which events are read: one that finds few of them; "" for all in a row.

    By itself the engine follows an index to most of the table for the sake of an order, a place at a time.
    `exact` is True where all are counted event by event.
    """
    if not exact and found.rolled and not set(fields) & set(DETAILS):
        return "ix_event_at"  # the hours at the ends alone
    index = few(connection, found)
    if index:
        return index
    known = {"token", "", *ROLLED}
    if found.names_token and {*fields, *(term.column for term in found.terms)} <= known:
        return TOKENS  # which has all that is asked for
    if found.within != Bounds():
        stored = connection.scalar(select(func.max(event.c.id))) or 0
        if _within(connection, found) <= max(_FEW, stored // _SCANNED):
            return "ix_event_at"
    return ""


def _within(connection: Connection, found: Conditions) -> int:
    times = Conditions(bounds=found.within)
    asked = (part.counted(part.total) for part in parts(times))
    return sum(int(connection.scalar(one) or 0) for one in asked)


def quickest(
    connection: Connection, part: Part, statement: Select[Any], *fields: str, exact: bool = False
) -> Select[Any]:
    """Return a query of a part, grouped by some fields, so that it is answered in its quickest way."""
    if part.counted_before:
        return statement
    if part.corrects:
        tokens = all(one.column == "token" and one.numbers.lookup is None for one in part.found.own())
        return by_index(statement, TOKENS if tokens else "")
    return by_index(statement, way(connection, part.found, fields, exact=exact))
