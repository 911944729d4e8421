"""What an engine answers rules: each question is one statement, and only what it counts leaves the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import sqlalchemy as sa

from crypto_core.errors import InvalidFilterError
from crypto_core.lists.filter_language import Clause, Term, passes
from crypto_core.text.cleaning import CleanText, clean
from crypto_core.trail.columns import DAY, HOUR, moment
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_sql.groups import Count
from crypto_core.trail.query import values as values_of
from crypto_core.trail.record_fields import is_of_record
from crypto_core.trail.store.event_questions import Burst, Group, Span, like
from crypto_core.trail.store.statistics import LONGEST, by_place
from crypto_core.trail.term_sql import whole

Question = Callable[[sa.FromClause, sa.ColumnElement[bool]], sa.Select[Any]]
"""Returns a statement over events of which a condition holds."""
_MORE = 8
"""So many times more records are read where too few of those read are meant."""
_MOST_READ = 20_000
"""Records; more are not read to look for what only they have."""


class EventEngine(Protocol):
    """What runs statements over the columns of a copy in Parquet. Raises TrailError, InvalidFilterError."""

    @property
    def count(self) -> Count:
        """What counts its events."""

    def rows(self, question: Question, clauses: Sequence[Clause]) -> Sequence[Sequence[Any]]:
        """Return the rows of a statement over the events of which clauses hold."""

    def records(self, clauses: Sequence[Clause], *, newest_first: bool, limit: int) -> Sequence[TrailEvent]:
        """Return up to `limit` of the events of which clauses hold, in the order of time."""


@dataclass(frozen=True, slots=True)
class EngineHistory:
    """EventQuestions to an engine. Every call blocks on it; raises as the engine does."""

    engine: EventEngine

    def first(self) -> datetime | None:
        ((found,),) = self.engine.rows(_first, ())
        return None if found is None else moment(int(found) // HOUR * HOUR)

    def days(self, span: Span) -> int:
        ((number,),) = self.engine.rows(_days, span.terms)
        return int(number)

    def any(self, span: Span) -> bool:
        return bool(self.engine.rows(_any, span.terms))

    def groups(self, fields: Sequence[str], terms: Iterable[Clause], span: Span) -> tuple[Group, ...]:
        question = partial(_groups, fields, self.engine.count)
        found = (
            Group(tuple(map(_text, row[:-3])), int(row[-3]), moment(int(row[-2])), moment(int(row[-1])))
            for row in self.engine.rows(question, (*terms, *span.terms))
        )
        return tuple(sorted(found, key=lambda group: (-group.events, group.values)))

    def hourly(self, terms: Iterable[Clause], span: Span) -> dict[str, Burst]:
        return self._busiest(_Stretches(HOUR, backs=(0,)), terms, span)

    def bursts(
        self, terms: Iterable[Clause], span: Span, *, minutes: int, distinct: str = ""
    ) -> dict[str, Burst]:
        having = [like(distinct, "*")] if distinct else []
        return self._busiest(_Stretches(minutes * 30, (0, 1), distinct), (*terms, *having), span)

    def split_by_token(self, terms: Iterable[Clause], span: Span) -> dict[tuple[str, str], tuple[int, int]]:
        rows = self.engine.rows(partial(_by_token, self.engine.count), (*terms, *span.terms))
        return {(_text(key), _text(who)): (int(named), int(others)) for key, who, named, others in rows}

    def events(
        self, terms: Iterable[Clause], span: Span, *, limit: int, newest_first: bool = True
    ) -> tuple[TrailEvent, ...]:
        """Return events of a span; records are read last. Raises InvalidFilterError for too many of them."""
        every = tuple(terms)
        of_record = [one for one in every if isinstance(one, Term) and is_of_record(one.field)]
        asked = (*(one for one in every if one not in of_record), *span.terms)
        reads = limit
        while True:
            read = self.engine.records(asked, newest_first=newest_first, limit=reads)
            found = [one for one in read if passes(of_record, partial(values_of, one, aliases={}))]
            if len(found) >= limit or len(read) < reads:
                return tuple(found[:limit])
            reads *= _MORE
            if reads > _MOST_READ:
                raise _too_many(of_record[0])

    def _busiest(self, asked: _Stretches, terms: Iterable[Clause], span: Span) -> dict[str, Burst]:
        rows = self.engine.rows(partial(asked.statement, self.engine.count), (*terms, *span.terms))
        found = (Burst(_text(who), int(most), moment(int(at) * asked.width)) for who, most, at in rows)
        return {one.principal: one for one in found}


@dataclass(frozen=True, slots=True)
class _Stretches:
    """Stretches of time, each of one part of `width` seconds and of those that many `backs` before it end.

    A part counts for the stretch that begins with it, and for one that began so many parts before.
    """

    width: int
    backs: tuple[int, ...]
    distinct: str = ""

    def statement(self, count: Count, events: sa.FromClause, where: sa.ColumnElement[bool]) -> sa.Select[Any]:
        """Return the statement that gives each principal's best stretch: how much, and when it begins.

        Best is the one with the most; of several that with the most events, and then the earliest. Different
        values are counted as groups: some versions of DuckDB count DISTINCT wrong.
        """
        who = events.c.principal
        keys = [
            who.label("who"),
            whole(events.c.epoch, self.width).label("part"),
            *([events.c[self.distinct].label("value")] if self.distinct else []),
        ]
        grouped = sa.select(*keys, count(events).label("events")).where(where, who != "")
        part = by_place(grouped, len(keys)).subquery("parts").c
        shifts = sa.values(sa.column("back", sa.Integer), name="shifts").data(
            [(back,) for back in self.backs]
        )
        slots = [part.who, (part.part - shifts.c.back).label("slot"), *list(part)[2:-1]]
        every = sa.select(*slots, sa.func.sum(part.events).label("events"))
        valued = by_place(every, len(slots)).subquery("valued").c
        most = sa.func.count() if self.distinct else sa.func.sum(valued.events)
        numbers = most.label("most"), sa.func.sum(valued.events).label("events")
        stretches = by_place(sa.select(valued.who, valued.slot, *numbers), 2).subquery("stretches").c
        best = (stretches.most.desc(), stretches.events.desc(), stretches.slot)
        place = sa.func.row_number().over(partition_by=stretches.who, order_by=best)
        placed = sa.select(*stretches, place.label("place")).subquery("placed").c
        return sa.select(placed.who, placed.most, placed.slot).where(placed.place == 1).order_by(placed.who)


def _first(events: sa.FromClause, where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(sa.func.min(events.c.epoch)).where(where, events.c.epoch >= HOUR)


def _days(events: sa.FromClause, where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    days = sa.select(whole(events.c.epoch, DAY).label("number")).where(where, events.c.epoch >= HOUR)
    return sa.select(sa.func.count()).select_from(by_place(days, 1).subquery("days"))


def _any(events: sa.FromClause, where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(sa.literal_column("1")).select_from(events).where(where).limit(1)


def _groups(
    fields: Sequence[str], count: Count, events: sa.FromClause, where: sa.ColumnElement[bool]
) -> sa.Select[Any]:
    epoch = events.c.epoch
    columns = [events.c[name] for name in fields]
    return by_place(
        sa.select(*columns, count(events), sa.func.min(epoch), sa.func.max(epoch)).where(where), len(columns)
    )


def _by_token(count: Count, events: sa.FromClause, where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    number: Any = count(events)
    token = events.c.token
    numbers = number.filter(token != "").label("named"), number.filter(token == "").label("others")
    return by_place(sa.select(events.c.key, events.c.principal, *numbers).where(where), 2)


def _text(value: object) -> CleanText:
    return clean("" if value is None else str(value), LONGEST)


def _too_many(of: Term) -> InvalidFilterError:
    return InvalidFilterError(
        f"More than {_MOST_READ:,} records would have to be read for {of.field}.", position=of.position
    )
