"""Counts events by several columns at once, with the exact first and last of each group; and by day.

Counted in the hours' counts where these know the answer. The hours in which a group begins and ends are then
looked at event by event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func

from crypto_core.text.cleaning import CleanText
from crypto_core.trail.columns import EventProperty, moment
from crypto_core.trail.event import UNDATED
from crypto_core.trail.event_fields import DETAILS, ROLLED
from crypto_core.trail.store.conditions import Bounds, Conditions, whole
from crypto_core.trail.store.counts import Part, count, parts, texts_of
from crypto_core.trail.store.first_last_seen import Ends, find_ends
from crypto_core.trail.store.pages import TOKENS, by_index, few
from crypto_core.trail.store.schema import event

FIELDS = (*ROLLED, *DETAILS)
"""The columns that events can be counted by together."""

_DAY = 86_400
_SOME = 100_000
"""So many events are read one at a time, from wherever they are, rather than all in a row."""


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
        """The calls that did something."""
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
        """All events, those of further groups too."""
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
        """The day as a JSON document's part."""
        return {"day": self.day.isoformat(), "events": self.events, "failed": self.failed}


@dataclass(slots=True, kw_only=True)
class _Group(Ends):
    """A group while it is counted."""

    events: int = 0
    failed: int = 0
    denied: int = 0

    def add(self, events: int, failed: int, denied: int) -> None:
        """Add what a part of the store holds of it."""
        self.events += events
        self.failed += failed
        self.denied += denied


def tally(connection: Connection, found: Conditions, fields: Sequence[str], limit: int) -> Tallies:
    """Return the groups of events that are alike in `fields`, the `limit` most common ones in detail."""
    exact = any(name in DETAILS for name in fields)
    groups: dict[tuple[int, ...], _Group] = {}
    for part in parts(found, exact=exact):
        columns = [part.columns[name] for name in fields]
        at = part.columns["at"]
        numbers = [func.sum(number) for number in _numbers(part)]
        statement = part.counted(*columns, *numbers, func.min(at), func.max(at), by=fields)
        if not part.hourly:
            statement = by_way(statement, way(connection, found, fields))
        for row in connection.execute(statement.group_by(*columns) if columns else statement):
            if row[-1] is None:
                continue  # a sum over nothing
            key = tuple(int(number) for number in row[: len(fields)])
            events, failed, denied, first, last = map(int, row[len(fields) :])
            group = groups.setdefault(key, _Group())
            group.add(events, failed, denied)
            group.widen(first, last, hourly=part.hourly)
    ordered = sorted(groups.items(), key=lambda item: (-item[1].events, item[0]))
    chosen = dict(ordered[:limit])
    find_ends(connection, found, fields, chosen)
    named = texts_of(connection, sorted({number for key in chosen for number in key}))
    rows = tuple(
        EventTally(
            tuple(named[number] for number in key),
            group.events,
            group.failed,
            group.denied,
            moment(group.first or 0),
            moment(group.last or 0),
        )
        for key, group in chosen.items()
    )
    left = [group for _, group in ordered[limit:]]
    return Tallies(tuple(fields), rows, len(left), sum(group.events for group in left))


def by_day(connection: Connection, found: Conditions) -> tuple[Day, ...]:
    """Return the days that have events, in order."""
    days: dict[int, list[int]] = {}
    for part in parts(found):
        at = part.columns["at"]
        day: Any = whole(at, _DAY)
        numbers = [func.sum(number) for number in _numbers(part)[:2]]
        statement = part.counted(day, *numbers).group_by(day)
        if not part.hourly:
            statement = by_way(statement, way(connection, found, ()))
        for number, events, failed in connection.execute(statement):
            known = days.setdefault(int(number), [0, 0])
            known[0] += int(events)
            known[1] += int(failed)
    return tuple(Day(moment(number * _DAY).date(), *days[number]) for number in sorted(days))


def moment_json(at: datetime | None) -> str | None:
    """Return a moment as JSON documents have it; None for the time of an event that tells none."""
    return None if at is None or at == UNDATED else at.isoformat()


def way(connection: Connection, found: Conditions, fields: Sequence[str], *, exact: bool = False) -> str:
    """Return the index by which events are read: one that finds few of them; "" for all in a row.

    SQLite would follow an index to most of the table for the sake of an order, a place at a time. `exact` is
    True where all are counted event by event.
    """
    if not exact and found.rolled and not set(fields) & set(DETAILS):
        return "ix_event_at"  # the hours at the ends alone
    index = few(connection, found)
    if index:
        return index
    token = any(one.column == "token" and not one.negated for one in found.terms)
    known = {"token", "", *ROLLED}
    if token and {*fields, *(term.column for term in found.terms)} <= known:
        return TOKENS  # which has all that is asked for
    within = Conditions(bounds=found.within)
    if found.within != Bounds() and count(connection, within) <= _SOME:
        return "ix_event_at"
    return ""


def by_way(statement: Select[Any], index: str) -> Select[Any]:
    """Return a query of events that is answered in a way, see `way`."""
    return by_index(statement, index) if index else statement.with_hint(event, "NOT INDEXED", "sqlite")


def _numbers(part: Part) -> list[ColumnElement[int]]:
    return [part.number, part.of(EventProperty.FAILED), part.of(EventProperty.DENIED)]
