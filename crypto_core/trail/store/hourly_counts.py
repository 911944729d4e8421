"""The events of each hour and of each day by profile: counted as they come, and again where they change.

At most one row of both for every event, whatever is in the events. Always in the events' own transaction.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, select

from crypto_core.trail.columns import DAY, HOUR
from crypto_core.trail.store.dialect import read_by
from crypto_core.trail.store.schema import COUNTED, PRESENT, daily, event, presence, rollup
from crypto_core.trail.store.schema import insert as insert_many
from crypto_core.trail.term_sql import whole

_ADDED = (
    "ON CONFLICT DO UPDATE SET events = events + excluded.events, "
    "begins = min(begins, excluded.begins), ends = max(ends, excluded.ends)"
)
_HOURS, _DAYS = ("hour", "profile", *COUNTED), ("day", "profile", *COUNTED)


def count_new(connection: Connection, events: Iterable[tuple[int, int]]) -> None:
    """Count events that come, each by its second and its profile."""
    in_order = sorted(events)
    insert_many(connection, "rollup", _HOURS, _counted(in_order, HOUR), _ADDED)
    insert_many(connection, "daily", _DAYS, _counted(in_order, DAY), _ADDED)


def _counted(events: Sequence[tuple[int, int]], width: int) -> list[list[int]]:
    found: dict[tuple[int, int], list[int]] = {}
    for at, profile in events:
        whole, second = divmod(at, width)
        if (row := found.get((whole, profile))) is not None:
            row[2] += 1
            row[4] = second
        else:
            found[whole, profile] = [whole, profile, 1, second, second]
    return sorted(found.values())


def recount(connection: Connection, seconds: Iterable[int], profiles: Collection[int]) -> None:
    """Count anew what some profiles have in the hours and days of some seconds: their events have changed."""
    among = func.json_each(json.dumps(sorted(profiles))).table_valued("value")
    chosen = select(among.c.value)
    hours = sorted({second // HOUR for second in seconds})
    for hour in hours:
        connection.execute(delete(rollup).where(rollup.c.hour == hour, rollup.c.profile.in_(chosen)))
        first = hour * HOUR
        within = (event.c.at >= first, event.c.at < first + HOUR, event.c.profile.in_(chosen))
        counted = read_by("ix_event_at", _by_hour(*within), event)
        connection.execute(insert(rollup).from_select(_HOURS, counted))
    for day in sorted({hour // 24 for hour in hours}):
        connection.execute(delete(daily).where(daily.c.day == day, daily.c.profile.in_(chosen)))
        within = (rollup.c.hour >= day * 24, rollup.c.hour < (day + 1) * 24, rollup.c.profile.in_(chosen))
        connection.execute(insert(daily).from_select(_DAYS, _by_day(*within)))


def count_all(connection: Connection, *, until: int | None = None) -> None:
    """Count the stored events anew, or those of all hours up to one; their counts have to be gone."""
    hour = whole(event.c.at, HOUR)
    within = [] if until is None else [event.c.at < (until + 1) * HOUR]
    connection.execute(insert(rollup).from_select(_HOURS, _by_hour(*within)))
    days = [] if until is None else [rollup.c.hour < (until // 24 + 1) * 24]
    connection.execute(insert(daily).from_select(_DAYS, _by_day(*days)))
    for name in PRESENT:
        present = select(event.c[name], hour).where(*within, event.c[name] != 0).distinct()
        connection.execute(insert(presence).prefix_with("OR IGNORE").from_select(("text", "hour"), present))


def _by_hour(*events: ColumnElement[bool]) -> Select[Any]:
    hour = whole(event.c.at, HOUR)
    second = event.c.at - hour * HOUR
    counted = select(hour, event.c.profile, func.count(), func.min(second), func.max(second))
    return counted.where(*events).group_by(hour, event.c.profile)


def _by_day(*hours: ColumnElement[bool]) -> Select[Any]:
    day = whole(rollup.c.hour, 24)
    begin = (rollup.c.hour - day * 24) * HOUR
    ends = func.min(begin + rollup.c.begins), func.max(begin + rollup.c.ends)
    counted = select(day, rollup.c.profile, func.sum(rollup.c.events), *ends)
    return counted.where(*hours).group_by(day, rollup.c.profile)
