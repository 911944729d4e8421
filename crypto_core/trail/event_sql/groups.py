"""Events counted by some fields and by the clock, in one statement: only groups shown leave the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, case, func, literal_column, not_, select

from crypto_core.text.cleaning import clean
from crypto_core.trail.columns import EventProperty, moment
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.store.statistics import Threshold, key_of, value_of
from crypto_core.trail.store.tallies import EventTally, Tallies
from crypto_core.trail.term_sql import CLOCK, clock_text, marked

Count = Callable[[FromClause], ColumnElement[int]]
"""Counts events, each once where it may stand there twice."""
LONGEST = 16_000
"""Characters of a value."""
_MEASURES = {"count": "events", "failed": "failed", "denied": "denied", "distinct": "differing"}


def each_row(_events: FromClause) -> ColumnElement[int]:
    return func.count()


def each_id(events: FromClause) -> ColumnElement[int]:
    return func.count(events.c.event_id.distinct())


@dataclass(frozen=True, slots=True)
class GroupsQuestion:
    """What is counted; the caller has checked the names. `valued` leaves out groups without a value."""

    fields: tuple[str, ...]
    distinct: str = ""
    thresholds: tuple[Threshold, ...] = ()
    limit: int = 100
    valued: bool = False

    def statement(
        self, events: FromClause, where: ColumnElement[bool], shown: ColumnElement[bool], count: Count
    ) -> Select[Any]:
        """Return the statement; what isn't `shown` is only counted."""
        columns = {name: events.c[name] for name in EVENT_FIELDS} | {"at": events.c.epoch}
        keys = [key_of(columns, name).label(f"k{n}") for n, name in enumerate(self.fields)]
        if self.distinct:
            # Groups by what is different, together again: some versions of DuckDB count DISTINCT wrong.
            keys.append(value_of(columns, self.distinct, nothing="").label("value"))
        number: Any = count(events)
        marks = events.c.marks
        failed, denied = (marked(marks, one) for one in (EventProperty.FAILED, EventProperty.DENIED))
        measures = [
            number.filter(shown).label("events"),
            number.filter(and_(shown, failed)).label("failed"),
            number.filter(and_(shown, denied)).label("denied"),
            func.min(events.c.epoch).filter(shown).label("earliest"),
            func.max(events.c.epoch).filter(shown).label("latest"),
            number.filter(not_(shown)).label("hidden"),
        ]
        grouped = by_place(select(*keys, *measures).select_from(events).where(where), len(keys))
        width = len(self.fields)
        if self.distinct:
            part = grouped.subquery("parts").c
            sums = (func.sum(part[name]).label(name) for name in ("events", "failed", "denied"))
            ends = func.min(part.earliest).label("earliest"), func.max(part.latest).label("latest")
            different = func.count(case((part.events > 0, part.value))).label("differing")
            again = select(
                *list(part)[:width], *sums, *ends, func.sum(part.hidden).label("hidden"), different
            )
            counted = by_place(again, width).subquery("counted").c
        else:
            counted = grouped.add_columns(literal_column("0").label("differing")).subquery("counted").c
        named = {measure: counted[name] for measure, name in _MEASURES.items()}
        texts = [counted[f"k{n}"] for n, name in enumerate(self.fields) if name not in CLOCK]
        valued = [text != "" for text in texts] if self.valued else []
        passing = and_(counted.events > 0, *(one.on(named) for one in self.thresholds), *valued)
        chosen = select(*counted, passing.label("passes")).subquery("chosen").c
        totals = [
            func.sum(case((chosen.passes, 1), else_=0)).over().label("all_groups"),
            func.sum(case((chosen.passes, chosen.events), else_=0)).over().label("all_events"),
            func.coalesce(func.sum(chosen.hidden).over(), 0).label("all_hidden"),
        ]
        order = chosen.passes.desc(), chosen.events.desc(), *list(chosen)[:width]
        return select(*chosen, *totals).order_by(*order).limit(int(self.limit))

    def read(self, rows: Sequence[Sequence[Any]]) -> tuple[Tallies, int]:
        width = len(self.fields)
        found = [self._group(row[:width], row[width:]) for row in rows if row[-4] in (True, "true")]
        if not rows:
            return Tallies(self.fields), 0
        groups, events, hidden = map(int, rows[0][-3:])
        left = groups - len(found), events - sum(one.events for one in found)
        return Tallies(self.fields, tuple(found), *left), hidden

    def _group(self, keys: Sequence[Any], measures: Sequence[Any]) -> EventTally:
        events, failed, denied, first, last, _, differing = map(int, measures[:7])
        return EventTally(
            tuple(
                clean(clock_text(name, None if key is None else int(key)) if name in CLOCK else key, LONGEST)
                for name, key in zip(self.fields, keys, strict=True)
            ),
            events,
            failed,
            denied,
            moment(first),
            moment(last),
            differing if self.distinct else None,
        )


def by_place(statement: Select[Any], width: int) -> Select[Any]:
    """Return a statement grouped by its first so many columns."""
    return statement.group_by(*(literal_column(str(n + 1)) for n in range(width)))
