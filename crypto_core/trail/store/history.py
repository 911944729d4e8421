"""The store's answers to rules: counted by the hour wherever that knows the answer.

Terms, never text, say what rules ask: a name may hold anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from threading import Event

from sqlalchemy import Connection, func, select

from crypto_core.lists.filter_language import SET, Alternative, Clause, Term
from crypto_core.trail.columns import HOUR, EventProperty, moment, seconds
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import ROLLED
from crypto_core.trail.query import Aliases
from crypto_core.trail.store.conditions import Conditions, resolve
from crypto_core.trail.store.counts import texts_of
from crypto_core.trail.store.database import StoreFile
from crypto_core.trail.store.event_places import event_of
from crypto_core.trail.store.pages import by_index, read_page
from crypto_core.trail.store.parts import parts, way
from crypto_core.trail.store.schema import COLUMNS, event, rollup
from crypto_core.trail.term_sql import Bounds, whole
from crypto_core.values.clean_text import NO_TEXT, CleanText


def has(field: str, *values: str, negated: bool = False) -> Term:
    """The term that a field is one of some values, word for word."""
    return Term(field, tuple(Alternative(text=value, literal=True) for value in values), negated, 0)


def like(field: str, *patterns: str) -> Term:
    """The term that a field is like one of some patterns, `*` standing for anything."""
    return Term(field, tuple(Alternative(text=pattern) for pattern in patterns), negated=False, position=0)


def flag(name: str, *, negated: bool = False) -> Term:
    return Term(name, SET, negated, 0)


@dataclass(frozen=True, slots=True)
class Span:
    """From a moment on, up to another one that is not part of it; None where it is open."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def bounds(self) -> Bounds:
        first, after = (None if end is None else _rounded_up(end) for end in (self.since, self.until))
        return Bounds(first, None if after is None else after - 1)


def _rounded_up(end: datetime) -> int:
    whole = seconds(end)
    return whole if moment(whole) == end else whole + 1


@dataclass(frozen=True, slots=True)
class Burst:
    """The most that one principal did within one stretch of time, from `since` on."""

    principal: CleanText
    number: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Group:
    """Events that have the same values in some fields. `first` and `last` are exact to the hour."""

    values: tuple[CleanText, ...]
    events: int
    first: datetime
    last: datetime


class History:
    """Answers of one store. Every call may block; raises EventStoreError, InterruptedRunError."""

    def __init__(self, file: StoreFile, aliases: Aliases = dict, cancelled: Event | None = None) -> None:
        self._file = file
        self._aliases = aliases
        self._cancelled = cancelled

    def first(self) -> datetime | None:
        """Return the hour of the oldest event that is dated; None where there is none."""
        with self._file.reading(self._cancelled) as connection:
            hour = connection.scalar(select(func.min(rollup.c.hour)).where(rollup.c.hour > 0))
        return None if hour is None else moment(int(hour) * HOUR)

    def days(self, span: Span) -> int:
        """Return on how many days of a span there were events: a single old event is no history."""
        conditions = (rollup.c.hour > 0, *span.bounds.hours.on(rollup.c.hour))
        with self._file.reading(self._cancelled) as connection:
            days = select(func.count((rollup.c.hour // 24).distinct())).where(*conditions)
            return int(connection.scalar(days) or 0)

    def any(self, span: Span) -> bool:
        return bool(self.events((), span, limit=1))

    def groups(self, fields: Sequence[str], terms: Iterable[Clause], span: Span) -> tuple[Group, ...]:
        """Return the events of a span counted by some fields, the most common first, then by their values."""
        totals: dict[tuple[int, ...], list[int]] = {}
        exact = not ROLLED.keys() >= set(fields)
        with self._asking(terms, span) as (connection, found):
            for part in parts(found, exact=exact):
                columns = [part.columns[field] for field in fields]
                first_hour, last_hour = part.hours
                ends = func.min(first_hour), func.max(last_hour)
                counted = part.counted(part.total, *ends, *columns, by=fields)
                for events, first, last, *numbers in connection.execute(counted.group_by(*columns)):
                    known = totals.setdefault(tuple(map(int, numbers)), [0, int(first), int(last)])
                    known[0] += int(events)
                    known[1], known[2] = min(known[1], int(first)), max(known[2], int(last))
            named = texts_of(connection, sorted({n for numbers in totals for n in numbers if n}))
        groups = (
            Group(tuple(named.get(n, NO_TEXT) for n in numbers), events, moment(first), moment(last))
            for numbers, (events, first, last) in totals.items()
        )
        return tuple(sorted(groups, key=lambda group: (-group.events, group.values)))

    def hourly(self, terms: Iterable[Clause], span: Span) -> dict[str, Burst]:
        """Return every principal's busiest hour, by principal."""
        totals: dict[tuple[int, int], int] = {}
        with self._asking(terms, span) as (connection, found):
            for part in parts(found, by_hour=True):
                principal, hour = part.columns["principal"], part.columns["at"] // HOUR
                counted = part.counted(func.sum(part.number), principal, hour, by=("principal",))
                for events, who, at in connection.execute(counted.group_by(principal, hour)):
                    totals[int(who), int(at)] = totals.get((int(who), int(at)), 0) + int(events)
            best: dict[int, tuple[int, int]] = {}
            for (who, at), number in sorted(totals.items()):
                if who not in best or number > best[who][0]:
                    best[who] = number, at * HOUR
            return self._named(connection, best)

    def bursts(
        self, terms: Iterable[Clause], span: Span, *, minutes: int, distinct: str = ""
    ) -> dict[str, Burst]:
        """Return every principal's busiest stretch, by events or by different values of `distinct`."""
        half = minutes * 30
        principal = COLUMNS["principal"]
        halves: dict[int, Counter[int]] = {}
        with self._asking(terms, span, having=distinct) as (connection, found):
            for part in parts(found, exact=True):
                slot = whole(event.c.at, half)
                counted = part.counted(principal, func.count(), slot, by=("principal",))
                counted = by_index(counted, way(connection, found, ("principal",), exact=True))
                for who, number, at in connection.execute(counted.group_by(principal, slot)):
                    halves.setdefault(int(who), Counter())[int(at)] += int(number)
            ask = partial(self._different, connection, found, distinct, 2 * half)
            best = {
                who: _most_different(_stretches(counts), partial(ask, who, half))
                if distinct
                else _busiest(_stretches(counts))
                for who, counts in halves.items()
            }
            return self._named(connection, {who: (n, at * half) for who, (n, at) in best.items()})

    def _different(
        self, connection: Connection, found: Conditions, field: str, width: int, who: int, half: int, at: int
    ) -> int:
        within = replace(found, bounds=found.bounds.narrowed(Bounds(at * half, at * half + width - 1)))
        number = func.count(COLUMNS[field].distinct())
        asked = (part.counted(number, by=("principal", field)) for part in parts(within, exact=True))
        mine = (one.where(COLUMNS["principal"] == who) for one in asked)
        return sum(int(connection.scalar(by_index(one, "ix_event_at")) or 0) for one in mine)

    def split_by_token(self, terms: Iterable[Clause], span: Span) -> dict[tuple[str, str], tuple[int, int]]:
        """Return how many events named a token and how many did not, by keys and principal."""
        totals: dict[tuple[int, int], list[int]] = {}
        with self._asking(terms, span) as (connection, found):
            for part in parts(found):
                numbers = func.sum(part.of(EventProperty.NAMED)), func.sum(part.number)
                by = [COLUMNS["key"], COLUMNS["principal"]]
                counted = part.counted(*by, *numbers, by=("key", "principal")).group_by(*by)
                for key, who, with_token, all_ in connection.execute(counted):
                    known = totals.setdefault((int(key), int(who)), [0, 0])
                    known[0] += int(with_token)
                    known[1] += int(all_) - int(with_token)
            names = texts_of(connection, sorted({n for pair in totals for n in pair if n}))
        return {
            (names.get(key, ""), names.get(who, "")): (known[0], known[1])
            for (key, who), known in totals.items()
        }

    def events(
        self, terms: Iterable[Clause], span: Span, *, limit: int, newest_first: bool = True
    ) -> tuple[TrailEvent, ...]:
        """Return up to `limit` events of a span, in the order of time."""
        with self._asking(terms, span) as (connection, found):
            rows = read_page(connection, found, None, newest_first=newest_first, inclusive=False, limit=limit)
        return tuple(map(event_of, rows))

    @contextmanager
    def _asking(
        self, terms: Iterable[Clause], span: Span, having: str = ""
    ) -> Iterator[tuple[Connection, Conditions]]:
        with self._file.reading(self._cancelled) as connection:
            found = resolve(connection, [*terms, *([like(having, "*")] if having else [])], self._aliases)
            yield connection, replace(found, bounds=found.bounds.narrowed(span.bounds))

    def _named(self, connection: Connection, best: Mapping[int, tuple[int, int]]) -> dict[str, Burst]:
        names = texts_of(connection, sorted(best))
        return {
            names[who]: Burst(names[who], number, moment(at)) for who, (number, at) in best.items() if who
        }


_Stretch = tuple[int, int]
"""How many events there are, and the half of a stretch with which it begins."""


def _stretches(halves: Mapping[int, int]) -> list[_Stretch]:
    begins = {begin for at in halves for begin in (at - 1, at)}
    return [(halves.get(at, 0) + halves.get(at + 1, 0), at) for at in begins]


def _busiest(stretches: Iterable[_Stretch]) -> _Stretch:
    """The one with the most events, the earliest of several."""
    return max(stretches, key=lambda one: (one[0], -one[1]))


def _most_different(stretches: Iterable[_Stretch], different: Callable[[int], int]) -> _Stretch:
    """The one with the most different values: no stretch has more of these than events."""
    best = (0, 0)
    for events, at in sorted(stretches, key=lambda one: (-one[0], one[1])):
        if events <= best[0]:
            break
        best = max(best, (different(at), at), key=lambda one: one[0])
    return best
