"""Events counted by some fields and by the clock, in one statement: only groups shown leave the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, func, not_, select

from crypto_core.trail.columns import EventProperty
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.store.statistics import MEASURED, GroupsQuestion, by_place
from crypto_core.trail.term_sql import marked

Question = Callable[[FromClause, ColumnElement[bool]], Select[Any]]
"""Returns a statement over events of which a condition holds."""
Count = Callable[[FromClause], ColumnElement[int]]
"""Counts events, each once where it may stand there twice."""


def each_row(_events: FromClause) -> ColumnElement[int]:
    return func.count()


def each_id(events: FromClause) -> ColumnElement[int]:
    return func.count(events.c.event_id.distinct())


def groups_statement(
    question: GroupsQuestion,
    count: Count,
    shown: ColumnElement[bool],
    events: FromClause,
    where: ColumnElement[bool],
) -> Select[Any]:
    """Return the statement; what isn't `shown` is only counted."""
    columns = {name: events.c[name] for name in EVENT_FIELDS} | {"at": events.c.epoch}
    keys = question.keys(columns, nothing="")
    number: Any = count(events)
    failed, denied = (marked(events.c.marks, one) for one in (EventProperty.FAILED, EventProperty.DENIED))
    numbers = [number.filter(of) for of in (shown, and_(shown, failed), and_(shown, denied))]
    ends = [of(events.c.epoch).filter(shown) for of in (func.min, func.max)]
    measures = zip(MEASURED, [*numbers, *ends, number.filter(not_(shown))], strict=True)
    counted = select(*keys, *(one.label(name) for name, one in measures)).select_from(events).where(where)
    return question.chosen([by_place(counted, len(keys))], nothing="")
