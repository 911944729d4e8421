"""What an engine answers rules: each question is one statement, and only what it counts leaves the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from crypto_core.errors import InvalidFilterError
from crypto_core.lists.filter_language import Alternative, Clause, Term, passes
from crypto_core.text.cleaning import CleanText, clean
from crypto_core.trail.columns import HOUR, moment
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.event_sql.conditions import DAY_NUMBER
from crypto_core.trail.event_sql.groups import LONGEST
from crypto_core.trail.query import values
from crypto_core.trail.record_fields import is_of_record
from crypto_core.trail.store.event_questions import Burst, Group, Span, like

Question = Callable[[str, str], str]
_MORE = 8
"""So many times more records are read where too few of those read are meant."""
_MOST_READ = 20_000
"""Records; more are not read to look for what only they have."""


class EventEngine(Protocol):
    """What runs statements over the columns of a copy in Parquet. Raises TrailError, InvalidFilterError."""

    @property
    def number(self) -> str:
        """What COUNT is asked of an event: its id, marked DISTINCT, where it may stand there twice."""

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
        ((number,),) = self.engine.rows(_days, _within(span))
        return int(number)

    def any(self, span: Span) -> bool:
        return bool(self.engine.rows(_any, _within(span)))

    def groups(self, fields: Sequence[str], terms: Iterable[Clause], span: Span) -> tuple[Group, ...]:
        question = partial(_groups, [_column(name) for name in fields], self.engine.number)
        found = (
            Group(tuple(map(_text, row[:-3])), int(row[-3]), moment(int(row[-2])), moment(int(row[-1])))
            for row in self.engine.rows(question, (*terms, *_within(span)))
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
        rows = self.engine.rows(partial(_by_token, self.engine.number), (*terms, *_within(span)))
        return {(_text(key), _text(who)): (int(named), int(others)) for key, who, named, others in rows}

    def events(
        self, terms: Iterable[Clause], span: Span, *, limit: int, newest_first: bool = True
    ) -> tuple[TrailEvent, ...]:
        """Return events of a span; records are read last. Raises InvalidFilterError for too many of them."""
        every = tuple(terms)
        of_record = [one for one in every if isinstance(one, Term) and is_of_record(one.field)]
        asked = (*(one for one in every if one not in of_record), *_within(span))
        reads = limit
        while True:
            read = self.engine.records(asked, newest_first=newest_first, limit=reads)
            found = [one for one in read if passes(of_record, partial(values, one, aliases={}))]
            if len(found) >= limit or len(read) < reads:
                return tuple(found[:limit])
            reads *= _MORE
            if reads > _MOST_READ:
                raise _too_many(of_record[0])

    def _busiest(self, asked: _Stretches, terms: Iterable[Clause], span: Span) -> dict[str, Burst]:
        rows = self.engine.rows(partial(asked.statement, number=self.engine.number), (*terms, *_within(span)))
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

    def statement(self, source: str, where: str, *, number: str) -> str:
        """Return the statement that gives each principal's best stretch: how much, and when it begins.

        Best is the one with the most; of several that with the most events, and then the earliest. Different
        values are counted as groups: some versions of DuckDB count DISTINCT wrong.
        """
        value = _column(self.distinct) if self.distinct else "''"
        shifts = ", ".join(f"({back})" for back in self.backs)
        parts = (
            f'SELECT "principal" AS who, {_part(self.width)} AS part, {value} AS value, '  # noqa: S608
            f"count({number}) AS events FROM {source} WHERE {where} AND \"principal\" <> '' GROUP BY 1, 2, 3"
        )
        valued = (
            "SELECT who, part - back AS slot, value, sum(events) AS events "  # noqa: S608
            f"FROM ({parts}) AS parts CROSS JOIN (VALUES {shifts}) AS shifts (back) GROUP BY 1, 2, 3"
        )
        counted = "count(*)" if self.distinct else "sum(events)"
        slots = (
            f"SELECT who, slot, {counted} AS most, sum(events) AS events "  # noqa: S608
            f"FROM ({valued}) AS valued GROUP BY 1, 2"
        )
        placed = "row_number() OVER (PARTITION BY who ORDER BY most DESC, events DESC, slot)"
        return (
            f"SELECT who, most, slot FROM (SELECT *, {placed} AS place FROM ({slots}) AS slots) AS placed "  # noqa: S608
            "WHERE place = 1 ORDER BY who"
        )


def _first(source: str, where: str) -> str:
    return f"SELECT min(epoch) FROM {source} WHERE {where} AND epoch >= {HOUR}"  # noqa: S608


def _days(source: str, where: str) -> str:
    days = f"SELECT {DAY_NUMBER} AS number FROM {source} WHERE {where} AND epoch >= {HOUR} GROUP BY 1"  # noqa: S608
    return f"SELECT count(*) FROM ({days}) AS days"  # noqa: S608


def _any(source: str, where: str) -> str:
    return f"SELECT 1 FROM {source} WHERE {where} LIMIT 1"  # noqa: S608


def _groups(columns: Sequence[str], number: str, source: str, where: str) -> str:
    measures = (f"count({number})", "min(epoch)", "max(epoch)")
    places = ", ".join(str(n + 1) for n in range(len(columns)))
    return f"SELECT {', '.join((*columns, *measures))} FROM {source} WHERE {where} GROUP BY {places}"  # noqa: S608


def _by_token(number: str, source: str, where: str) -> str:
    counts = (f"count({number}) FILTER (WHERE \"token\" {sign} '')" for sign in ("<>", "="))
    return f'SELECT "key", "principal", {", ".join(counts)} FROM {source} WHERE {where} GROUP BY 1, 2'  # noqa: S608


def _part(width: int) -> str:
    """Which part of time an event is in, as a whole number: divided is only what has no rest."""
    rest = f"((epoch % {width} + {width}) % {width})"
    return f"CAST((epoch - {rest}) / {width} AS BIGINT)"


def _column(name: str) -> str:
    return f'"{EVENT_FIELDS[name].name}"'


def _within(span: Span) -> tuple[Term, ...]:
    if span.since is None and span.until is None:
        return ()
    value = Alternative(at_least=span.since, at_most=span.until, include_most=False)
    return (Term("time", (value,), negated=False, position=0),)


def _text(value: object) -> CleanText:
    return clean("" if value is None else str(value), LONGEST)


def _too_many(of: Term) -> InvalidFilterError:
    return InvalidFilterError(
        f"More than {_MOST_READ:,} records would have to be read for {of.field}.", position=of.position
    )
