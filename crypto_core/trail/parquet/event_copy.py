"""A copy of events in Parquet, asked by DuckDB: the store's own questions, for far more events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnClause,
    ColumnElement,
    Integer,
    Select,
    String,
    TextualSelect,
    bindparam,
    column,
    false,
    func,
    or_,
    select,
    text,
    true,
)

from crypto_core.lists.filter_language import Alternative, Clause, Term
from crypto_core.lists.paging import Query, unknown_sort
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import EventField
from crypto_core.trail.event_sql import (
    EventConditions,
    Question,
    each_row,
    groups_statement,
    placed,
    shown_events,
    without_service,
)
from crypto_core.trail.parquet.export import (
    COLUMNS,
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
from crypto_core.trail.store.statistics import GroupsQuestion
from crypto_core.trail.store.tallies import Tallies
from crypto_core.trail.term_sql import meant_by
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import TrailError

_OTHERWISE = ("key", "material")
"""Columns whose texts are asked for in ways that do not stand in them, or hold several values."""


@dataclass(frozen=True, slots=True)
class AmongTexts:
    """An `Among` for columns with few texts; `texts` gives those that may contain one of some parts."""

    texts: Callable[[ColumnElement[str], Sequence[str]], Sequence[str]]

    def __call__(
        self,
        column: ColumnElement[str],
        field: EventField,
        term: Term,
        aliases: Mapping[str, Sequence[str]],
        *,
        anywhere: bool = False,
    ) -> ColumnElement[bool]:
        values = term.alternatives
        if any(value.is_anything for value in values):
            return column != ""
        meant = meant_by(field, values, aliases, anywhere=anywhere)
        parts = [] if field.name in _OTHERWISE else [_telling(value) for value in values]
        wanted = [t for t in self.texts(column, parts if all(parts) else ()) if t and meant(t)]
        return column.in_(_unnested(wanted)) if wanted else false()


def _telling(value: Alternative) -> str:
    """A part that every text has in it which a value means, in small letters; "" where there is none."""
    part = max(value.parts, key=len) if value.is_text else ""
    return part.lower() if part.isascii() else ""


def _unnested(texts: Sequence[str]) -> TextualSelect:
    bound: BindParameter[Any] = bindparam("texts", list(texts), unique=True)
    return text("SELECT unnest(CAST(:texts AS VARCHAR[]))").bindparams(bound).columns(column("one", String))


_PAGE = 500
_NAME = "A copy in Parquet"
_EMPTY = ", ".join(f"coalesce(nullif({name}, '{NOTHING}'), '') AS {name}" for name in PARTITIONS[:2])
_TYPES = ", ".join(f"'{name}'\\: VARCHAR" for name in PARTITIONS)
_EVENTS = (
    f"SELECT * REPLACE ({_EMPTY}) FROM read_parquet(:files, hive_partitioning = true, "  # noqa: S608
    f"hive_types = {{{_TYPES}}})"
)
"""The events; of a partition whose name is none, older versions of DuckDB read Hive's word for it."""
_COLUMNS: tuple[ColumnClause[Any], ...] = (
    *(column(name, Integer if kind != "VARCHAR" else String) for name, kind in COLUMNS.items()),
    *(column(name, String) for name in PARTITIONS),
)


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
        files = str(folder.resolve() / FILES)
        there = (one for one in _COLUMNS if one.name not in self.mark.lacks)
        self._events = text(_EVENTS).bindparams(files=files).columns(*there).subquery("event")
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
        found, hidden = self.groups(GroupsQuestion(()), expression)
        if not found.rows:
            return Summary(0, hidden, None, None)
        (row,) = found.rows
        return Summary(row.events, hidden, row.first, row.last)

    def groups(self, question: GroupsQuestion, expression: str = "") -> tuple[Tallies, int]:
        """Return a filter's events in groups, and how many `-service` hides."""
        clauses = self._parsed(expression)
        if lacking := self.mark.lacks.intersection(question.names):
            raise NoCopyError(f"The copy was written before Keydeck knew the field {', '.join(lacking)}.")
        shown = shown_events(clauses, self._events)
        asked = partial(groups_statement, question, each_row, shown)
        return question.read(self._rows(asked, without_service(clauses)))

    def pages(self, query: Query, *, limit: int = 0) -> Iterator[Sequence[StoredEvent]]:
        """Yield what a query lets through, in the order of time, at most `limit`; 0 for all of them."""
        if query.sort not in ("", "time"):
            raise unknown_sort(query.sort, ("time",))
        with self._in_order(self._parsed(query.filter), descending=query.descending, limit=limit) as found:
            while some := found.fetchmany(_PAGE):
                yield [StoredEvent(_event(raw), 0) for (raw,) in some]

    def _rows(self, question: Question, clauses: Sequence[Clause]) -> list[tuple[Any, ...]]:
        with self._asking(question, clauses) as found:
            return [tuple(row) for row in found.fetchall()]

    @contextmanager
    def _in_order(self, clauses: Sequence[Clause], *, descending: bool, limit: int) -> Iterator[Any]:
        of = self._events.c
        order = [one.desc() if descending else one for one in (of.epoch, of.event_id)]
        more: list[ColumnElement[bool]] = []
        if limit:
            # Only so many days are put in order, and records read for those alone that are wanted.
            day = self._day_of(clauses, limit, descending=descending)
            more = [of.day >= day if descending else of.day <= day]
            page = select(of.epoch, of.event_id).order_by(*order).limit(int(limit))
            ends = self._rows(lambda _, where: page.where(where, *more), clauses)
            at = [epoch for epoch, _ in ends] or [0]
            ids = [event_id for _, event_id in ends]
            more += [of.epoch.between(min(at), max(at)), of.event_id.in_(_unnested(ids))]
        raw = select(of.raw).order_by(*order)
        with self._asking(lambda _, where: raw.where(where, *more), clauses) as found:
            yield found

    def _day_of(self, clauses: Sequence[Clause], limit: int, *, descending: bool) -> str:
        """The day up to which there are so many events, counted from the first or the last one."""
        day = self._events.c.day
        counted = select(day, func.count()).group_by(day).order_by(day.desc() if descending else day)
        days = self._rows(lambda _, where: counted.where(where), clauses)
        left = limit
        for one, events in days:
            left -= events
            if left <= 0:
                return str(one)
        return str(days[-1][0]) if days else ""

    def _parsed(self, expression: str) -> tuple[Clause, ...]:
        return parse(expression, self._clock())

    @contextmanager
    def _asking(self, question: Question, clauses: Sequence[Clause]) -> Iterator[Any]:
        among = AmongTexts(self._texts_of)
        where = EventConditions(_NAME, self._events, among, self._aliases, by_day=True).every(clauses)
        if self._empty:
            raise NoCopyError("The copy has no events.", remedy="Export some to it.")
        with self._executed(question(self._events, where)) as found:
            yield found

    @contextmanager
    def _executed(self, statement: Select[Any]) -> Iterator[Any]:
        import duckdb

        try:
            yield self._duck.execute(*placed(statement))
        except duckdb.Error as error:
            raise TrailError(f"DuckDB can't read the copy: {clean(str(error), 300)}") from error

    def _texts_of(self, of: ColumnElement[str], parts: Sequence[str]) -> list[str]:
        asked = (str(of), *parts)
        if self._empty or asked in self._texts:
            return self._texts.get(asked, [])
        may: list[ColumnElement[bool]] = [func.contains(func.lower(of), part) for part in parts]
        # Small letters are another matter outside of ASCII, so that such texts are looked at here.
        may += [func.strlen(of) != func.length(of)] if parts else []
        with self._executed(select(of).distinct().where(or_(*may) if may else true())) as found:
            self._texts[asked] = [row[0] for row in found.fetchall()]
        return self._texts[asked]


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
