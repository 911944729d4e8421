"""A copy of events in Parquet, asked by DuckDB: the store's own questions, for far more events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from crypto_core.errors import TrailError
from crypto_core.lists.filter_language import Alternative, Clause, Term
from crypto_core.lists.paging import Query, unknown_sort
from crypto_core.text.cleaning import clean
from crypto_core.trail.columns import EventProperty
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.event_sql.conditions import BoundValues, EventConditions, flag, hides_services
from crypto_core.trail.event_sql.groups import GroupsQuestion
from crypto_core.trail.event_sql.questions import Question
from crypto_core.trail.parquet.layout import (
    FILES,
    NOTHING,
    PARTITIONS,
    CopyMark,
    NoCopyError,
    connected,
    read_mark,
)
from crypto_core.trail.query import Aliases, parse
from crypto_core.trail.record_reader import load, read_record
from crypto_core.trail.store import StoredEvent, Summary
from crypto_core.trail.store.statistics import FIELDS, Threshold
from crypto_core.trail.store.tallies import Tallies

_OTHERWISE = ("key", "material")
"""Columns whose texts are asked for in ways that do not stand in them, or hold several values."""


@dataclass(frozen=True, slots=True)
class AmongTexts:
    """An `Among` for columns with few texts; `texts` gives those that may contain one of some parts."""

    texts: Callable[[str, Sequence[str]], Sequence[str]]

    def __call__(
        self,
        column: str,
        term: Term,
        aliases: Mapping[str, Sequence[str]],
        bound: BoundValues,
        *,
        anywhere: bool = False,
    ) -> str:
        values, spellings = term.alternatives, EVENT_FIELDS[column].spellings

        def meant(text: str) -> bool:
            ways = spellings(text, aliases)
            return any(value.matches(way, anywhere=anywhere) for way in ways for value in values)

        if any(value.is_anything for value in values):
            return f"\"{column}\" <> ''"
        parts = [] if column in _OTHERWISE else [_telling(value) for value in values]
        wanted = [t for t in self.texts(column, parts if all(parts) else ()) if t and meant(t)]
        return f'"{column}" IN (SELECT unnest({bound.bind(wanted)}::VARCHAR[]))' if wanted else "false"


def _telling(value: Alternative) -> str:
    """A part that every text has in it which a value means, in small letters; "" where there is none."""
    part = max(value.parts, key=len) if value.is_text else ""
    return part.lower() if part.isascii() else ""


_PAGE = 500
_NAME = "A copy in Parquet"
_EMPTY = ", ".join(f"coalesce(nullif({name}, '{NOTHING}'), '') AS {name}" for name in PARTITIONS[:2])
_TYPES = ", ".join(f"'{name}': VARCHAR" for name in PARTITIONS)
_EVENTS = (
    f"(SELECT * REPLACE ({_EMPTY}) FROM read_parquet($files, hive_partitioning = true, "  # noqa: S608
    f"hive_types = {{{_TYPES}}})) AS event"
)
"""The events; of a partition whose name is none, older versions of DuckDB read Hive's word for it."""


class EventCopy:
    """One copy. Used as a context. Raises TrailError where it can't be read, and InvalidFilterError."""

    def __init__(
        self,
        folder: Path,
        *,
        aliases: Aliases = dict,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Raises NoCopyError."""
        self.mark: CopyMark = read_mark(folder)
        self._files = str(folder.resolve() / FILES)
        if any(sign in str(folder.resolve()) for sign in "*?[{"):
            raise NoCopyError(f"{clean(str(folder), 300)} has a wildcard in its name.", remedy="Rename it.")
        self._aliases = aliases
        self._clock = clock
        self._duck = connected()
        self._texts: dict[tuple[str, ...], list[str]] = {}
        self._empty = next(folder.glob(FILES), None) is None

    def close(self) -> None:
        self._duck.close()

    def summary(self, expression: str) -> Summary:
        """Return how many events a filter lets through, and how many more its `-service` hides."""
        found, hidden = self.groups((), expression)
        if not found.rows:
            return Summary(0, hidden, None, None)
        (row,) = found.rows
        return Summary(row.events, hidden, row.first, row.last)

    def groups(
        self,
        fields: Sequence[str],
        expression: str = "",
        *,
        distinct: str = "",
        thresholds: Sequence[Threshold] = (),
        limit: int = 100,
        valued: bool = False,
    ) -> tuple[Tallies, int]:
        """Return a filter's events by some of statistics.FIELDS together, and how many `-service` hides."""
        for name in (*fields, *([distinct] if distinct else ())):
            if name not in FIELDS:
                raise unknown_sort(name, FIELDS)
        question = GroupsQuestion(tuple(fields), distinct, tuple(thresholds), limit, valued)
        clauses = self._parsed(expression)
        kept = tuple(one for one in clauses if not hides_services(one))
        shown = f"NOT {flag(EventProperty.SERVICE)}" if len(kept) < len(clauses) else "true"
        with self._asking(lambda where: question.statement(_EVENTS, where, shown=shown), kept, {}) as found:
            return question.read(found.fetchall())

    def pages(self, query: Query, *, limit: int = 0) -> Iterator[Sequence[StoredEvent]]:
        """Yield what a query lets through, in the order of time, at most `limit`; 0 for all of them."""
        if query.sort not in ("", "time"):
            raise unknown_sort(query.sort, ("time",))
        with self._in_order(self._parsed(query.filter), descending=query.descending, limit=limit) as found:
            while some := found.fetchmany(_PAGE):
                yield [StoredEvent(_event(raw), 0) for (raw,) in some]

    @property
    def number(self) -> str:
        return "*"

    def rows(self, question: Question, clauses: Sequence[Clause]) -> list[tuple[Any, ...]]:
        with self._asking(partial(question, _EVENTS), clauses, {}) as found:
            return [tuple(row) for row in found.fetchall()]

    def records(self, clauses: Sequence[Clause], *, newest_first: bool, limit: int) -> tuple[TrailEvent, ...]:
        with self._in_order(clauses, descending=newest_first, limit=limit) as found:
            return tuple(_event(raw) for (raw,) in found.fetchall())

    @contextmanager
    def _in_order(self, clauses: Sequence[Clause], *, descending: bool, limit: int) -> Iterator[Any]:
        way = "DESC" if descending else "ASC"
        order = f" ORDER BY epoch {way}, event_id {way}"
        more, bound = "", {}
        if limit:
            # Only so many days are put in order, and records read for those alone that are wanted.
            day = self._day_of(clauses, limit, way)
            days = f" AND day {'>=' if descending else '<='} $day"
            ends = self._ask("epoch, event_id", clauses, f"{days}{order} LIMIT {int(limit)}", day=day)
            more = " AND epoch BETWEEN $first AND $last AND event_id IN (SELECT unnest($ids::VARCHAR[]))"
            at = [epoch for epoch, _ in ends] or [0]
            ids = [event_id for _, event_id in ends]
            more, bound = f"{days}{more}", {"day": day, "first": min(at), "last": max(at), "ids": ids}
        with self._asking(_selected("raw", f"{more}{order}"), clauses, bound) as found:
            yield found

    def _day_of(self, clauses: Sequence[Clause], limit: int, way: str) -> str:
        """The day up to which there are so many events, counted from the first or the last one."""
        days = self._ask("day, count(*)", clauses, f" GROUP BY day ORDER BY day {way}")
        left = limit
        for day, events in days:
            left -= events
            if left <= 0:
                return str(day)
        return str(days[-1][0]) if days else ""

    def _parsed(self, expression: str) -> tuple[Clause, ...]:
        return parse(expression, self._clock())

    def _ask(
        self, wanted: str, clauses: Sequence[Clause], after: str = "", **bound: Any
    ) -> list[tuple[Any, ...]]:
        with self._asking(_selected(wanted, after), clauses, bound) as found:
            return [tuple(row) for row in found.fetchall()]

    @contextmanager
    def _asking(
        self, statement: Callable[[str], str], clauses: Sequence[Clause], bound: Mapping[str, Any]
    ) -> Iterator[Any]:
        """Run a statement of columns that are ours over the events that pass; all else is bound."""
        import duckdb

        conditions = EventConditions(_NAME, AmongTexts(self._column), self._aliases, by_day=True)
        where = conditions.every(clauses)
        if self._empty:
            raise NoCopyError("The copy has no events.", remedy="Export some to it.")
        try:
            yield self._duck.execute(
                statement(where), {"files": self._files, **conditions.bound.values, **bound}
            )
        except duckdb.Error as error:
            raise TrailError(f"DuckDB can't read the copy: {clean(str(error), 300)}") from error

    def _column(self, name: str, parts: Sequence[str]) -> list[str]:
        import duckdb

        asked = (name, *parts)
        if self._empty or asked in self._texts:
            return self._texts.get(asked, [])
        column = f'"{name}"'
        bound = {"files": self._files, **{f"part{n}": part for n, part in enumerate(parts)}}
        # Small letters are another matter outside of ASCII, so that such texts are looked at here.
        may = [f"contains(lower({column}), $part{n})" for n in range(len(parts))]
        may += [f"strlen({column}) <> length({column})"] if parts else []
        where = f" WHERE {' OR '.join(may)}" if may else ""
        wanted = f"SELECT DISTINCT {column} FROM {_EVENTS}{where}"  # noqa: S608  # names that are ours
        try:
            found = [row[0] for row in self._duck.execute(wanted, bound).fetchall()]
        except duckdb.Error as error:
            raise TrailError(f"DuckDB can't read the copy: {clean(str(error), 300)}") from error
        self._texts[asked] = found
        return found


def _selected(columns: str, after: str) -> Callable[[str], str]:
    return lambda where: f"SELECT {columns} FROM {_EVENTS} WHERE {where}{after}"  # noqa: S608


def _event(raw: str) -> TrailEvent:
    found = None
    try:
        written = raw.encode()
        found = read_record(load(written), written)
    except ValueError:
        pass
    if found is None:
        raise TrailError("A record in the copy is no event.", remedy="Export the events anew.")
    return found
