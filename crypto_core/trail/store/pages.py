"""Pages of events in the order of time.

Few events of a token are found by its index and then put in order. All others are read hour by hour until the
page is full; hours that can have none are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, literal_column, or_, select

from crypto_core.lists.paging import Cursor
from crypto_core.trail.columns import HOUR
from crypto_core.trail.store.conditions import Conditions
from crypto_core.trail.store.dialect import read_by
from crypto_core.trail.store.event_places import Row, with_records
from crypto_core.trail.store.schema import event, presence, rollup
from crypto_core.trail.term_sql import Bounds

_FEW = 5_000
_SLICE = 64
"""So many hours are read at once at most, twice as many each time."""
TOKENS = "ix_event_token"
"""The index of tokens: it has all that is counted of their events."""


def read_page(
    connection: Connection,
    found: Conditions,
    start: Cursor | None,
    *,
    newest_first: bool,
    inclusive: bool,
    limit: int,
) -> list[Row]:
    narrowed = found.within.narrowed(_behind(start, newest_first=newest_first))
    if narrowed.empty:
        return []
    conditions = [found.on(event), *_passed(start, newest_first=newest_first, inclusive=inclusive)]
    index = few(connection, found)
    if index:
        return _rows(connection, conditions, narrowed, index, newest_first=newest_first, limit=limit)
    rows: list[Row] = []
    for hours in _hours(connection, found, narrowed, newest_first=newest_first):
        rows += _rows(
            connection,
            conditions,
            narrowed.narrowed(hours),
            "",
            newest_first=newest_first,
            limit=limit - len(rows),
        )
        if len(rows) >= limit:
            break
    return rows


def _behind(start: Cursor | None, *, newest_first: bool) -> Bounds:
    if start is None:
        return Bounds()
    at = int(start.values[0])
    return Bounds(last=at) if newest_first else Bounds(first=at)


def _passed(start: Cursor | None, *, newest_first: bool, inclusive: bool) -> Iterator[ColumnElement[bool]]:
    if start is None:
        return
    at, number = int(start.values[0]), int(start.values[1])
    same = event.c.at == at
    if newest_first:
        yield or_(event.c.at < at, and_(same, event.c.id <= number if inclusive else event.c.id < number))
    else:
        yield or_(event.c.at > at, and_(same, event.c.id >= number if inclusive else event.c.id > number))


def by_index(chosen: Select[Any], index: str) -> Select[Any]:
    """Return a query that reads events by an index, "" for all in a row."""
    if index == TOKENS:
        # In the index's own words, which tell that it has all that is wanted.
        chosen = chosen.where(event.c.token != literal_column("0"))
    return read_by(index, chosen, event)


def few(connection: Connection, found: Conditions) -> str:
    """Return the index by which there are so few events that they are put in order in no time; "" if none."""
    for one in found.terms:
        if one.column == "token" and not one.negated and one.numbers.lookup is None:
            there = select(event.c.id).where(one.on(event)).limit(_FEW + 1)
            if int(connection.scalar(select(func.count()).select_from(there.subquery())) or 0) <= _FEW:
                return TOKENS
    return ""


def _rows(
    connection: Connection,
    conditions: list[ColumnElement[bool]],
    bounds: Bounds,
    index: str,
    *,
    newest_first: bool,
    limit: int,
) -> list[Row]:
    chosen: Select[Any] = select(event.c.id, event.c.at).where(*conditions, *bounds.on(event.c.at))
    if index:
        chosen = by_index(chosen, index)
    order = (event.c.at.desc(), event.c.id.desc()) if newest_first else (event.c.at, event.c.id)
    page = chosen.order_by(*order).limit(limit).subquery()
    # Records are read for the page alone.
    rows = connection.execute(with_records(page))
    return sorted((tuple(row) for row in rows), key=lambda row: (row[1], row[0]), reverse=newest_first)


def _hours(
    connection: Connection, found: Conditions, bounds: Bounds, *, newest_first: bool
) -> Iterator[Bounds]:
    present = (rollup.c.hour.in_(select(presence.c.hour).where(one)) for one in found.present())
    conditions = [found.profiles(rollup), *present, *bounds.hours.on(rollup.c.hour)]
    order = rollup.c.hour.desc() if newest_first else rollup.c.hour
    rows = connection.scalars(select(rollup.c.hour).where(*conditions).distinct().order_by(order))
    together: list[int] = []
    most = 1
    for hour in rows:
        if together and (abs(hour - together[-1]) > 1 or len(together) >= most):
            yield _span(together)
            together, most = [], min(most * 2, _SLICE)
        together.append(hour)
    if together:
        yield _span(together)


def _span(hours: list[int]) -> Bounds:
    return Bounds(min(hours) * HOUR, (max(hours) + 1) * HOUR - 1)
