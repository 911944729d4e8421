"""Counts events by several columns at once, with each group's first and last, and by day: see parts.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func

from crypto_core.text.cleaning import CleanText
from crypto_core.trail.columns import DAY, EventProperty, moment
from crypto_core.trail.event import UNDATED
from crypto_core.trail.event_fields import DETAILS, ROLLED
from crypto_core.trail.store.conditions import Conditions, whole
from crypto_core.trail.store.counts import texts_of
from crypto_core.trail.store.parts import Part, by_way, parts, way

FIELDS = (*ROLLED, *DETAILS)


@dataclass(frozen=True, slots=True)
class EventTally:
    """Events that are alike. `texts` are what they have in the columns asked for, "" for none.

    An event about two keys has both in one text, as CloudTrail names them, with a space between; so have its
    key materials. `denied` are among the `failed`, these among the `events`.
    """

    texts: tuple[CleanText, ...]
    events: int
    failed: int
    denied: int
    first: datetime
    last: datetime

    @property
    def done(self) -> int:
        return self.events - self.failed


@dataclass(frozen=True, slots=True)
class Tallies:
    """Events by `fields`, the most common first. `others` are further groups, with `rest` events."""

    fields: tuple[str, ...] = ()
    rows: tuple[EventTally, ...] = ()
    others: int = 0
    rest: int = 0

    @property
    def events(self) -> int:
        return sum(row.events for row in self.rows) + self.rest

    def as_json(self, names: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The counts as a JSON document's part; `names` are other names for fields."""
        called = [(names or {}).get(name, name) for name in self.fields]
        return {
            "rows": [
                dict(zip(called, row.texts, strict=True))
                | {
                    "events": row.events,
                    "failed": row.failed,
                    "denied": row.denied,
                    "first": moment_json(row.first),
                    "last": moment_json(row.last),
                }
                for row in self.rows
            ],
            "others": self.others,
            "rest": self.rest,
        }


@dataclass(frozen=True, slots=True)
class Day:
    """The events of one day, UTC."""

    day: date
    events: int
    failed: int

    def as_json(self) -> dict[str, Any]:
        return {"day": self.day.isoformat(), "events": self.events, "failed": self.failed}


@dataclass(slots=True)
class _Group:
    """A group while it is counted."""

    events: int
    failed: int
    denied: int
    first: int
    last: int

    def add(self, other: _Group) -> None:
        self.events += other.events
        self.failed += other.failed
        self.denied += other.denied
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)


def tally(connection: Connection, found: Conditions, fields: Sequence[str], limit: int) -> Tallies:
    """Return the groups of events that are alike in `fields`, the `limit` most common ones in detail."""
    exact = any(name in DETAILS for name in fields)
    groups: dict[tuple[int, ...], _Group] = {}
    for part in parts(found, exact=exact):
        columns = [part.columns[name] for name in fields]
        numbers = [func.sum(number) for number in _numbers(part)]
        ends = func.min(part.first), func.max(part.last)
        statement = part.counted(*columns, *numbers, *ends, by=fields)
        if not part.counted_before:
            statement = by_way(statement, way(connection, found, fields))
        for row in connection.execute(statement.group_by(*columns) if columns else statement):
            if row[-1] is None:
                continue  # a sum over nothing
            key = tuple(int(number) for number in row[: len(fields)])
            group = _Group(*map(int, row[len(fields) :]))
            known = groups.setdefault(key, group)
            if known is not group:
                known.add(group)
    ordered = sorted(groups.items(), key=lambda item: (-item[1].events, item[0]))
    chosen = dict(ordered[:limit])
    named = texts_of(connection, sorted({number for key in chosen for number in key}))
    rows = tuple(
        EventTally(
            tuple(named[number] for number in key),
            group.events,
            group.failed,
            group.denied,
            moment(group.first),
            moment(group.last),
        )
        for key, group in chosen.items()
    )
    left = [group for _, group in ordered[limit:]]
    return Tallies(tuple(fields), rows, len(left), sum(group.events for group in left))


def by_day(connection: Connection, found: Conditions) -> tuple[Day, ...]:
    """Return the days that have events, in order."""
    days: dict[int, list[int]] = {}
    for part in parts(found):
        day: Any = whole(part.columns["at"], DAY)
        numbers = [func.sum(number) for number in _numbers(part)[:2]]
        statement = part.counted(day, *numbers).group_by(day)
        if not part.counted_before:
            statement = by_way(statement, way(connection, found, ()))
        for number, events, failed in connection.execute(statement):
            known = days.setdefault(int(number), [0, 0])
            known[0] += int(events)
            known[1] += int(failed)
    return tuple(Day(moment(number * DAY).date(), *days[number]) for number in sorted(days))


def moment_json(at: datetime | None) -> str | None:
    """Return a moment as JSON documents have it; None for the time of an event that tells none."""
    return None if at is None or at == UNDATED else at.isoformat()


def _numbers(part: Part) -> list[ColumnElement[int]]:
    return [part.number, part.of(EventProperty.FAILED), part.of(EventProperty.DENIED)]
