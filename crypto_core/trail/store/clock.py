"""What events are grouped by besides their texts: the hour, the day and the weekday, all in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, func

from crypto_core.trail.columns import HOUR, seconds
from crypto_core.trail.event import UNDATED
from crypto_core.trail.store.conditions import hour_of_day, weekday, whole

CLOCK = ("hour", "day", "weekday")
"""What events can be counted by besides their fields."""
NO_TIME = seconds(UNDATED) // 86_400
"""Stands for the hour, day and weekday of events that tell no time."""

_UNDATED = seconds(UNDATED) // HOUR


def key_of(columns: Mapping[str, Any], name: str) -> ColumnElement[int]:
    """Return what a table's rows are grouped by for a field, or for one of CLOCK."""
    if name not in CLOCK:
        column: ColumnElement[int] = columns[name]
        return column
    hours = columns["hour"] if "hour" in columns else whole(columns["at"], HOUR)
    return func.iif(hours == _UNDATED, NO_TIME, _FROM_HOURS[name](hours))


def _day(hours: ColumnElement[int]) -> ColumnElement[int]:
    return whole(hours, 24)


_FROM_HOURS = {"hour": hour_of_day, "weekday": weekday, "day": _day}
