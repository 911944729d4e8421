"""The columns of the heat map: a day each, a week or a month, the newest last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

_DAY = timedelta(days=1)


class Zoom(StrEnum):
    """How many days a column stands for."""

    DAY = "day"
    WEEK = "week"
    """From Monday to Sunday."""
    MONTH = "month"

    @property
    def least(self) -> int:
        """How many cells a column takes at least: a sign, and beside it room for what a gap is shown by."""
        return 1 if self is Zoom.DAY else 3

    def next(self, step: int) -> Zoom:
        """Return the zoom so many steps on; the last one stays."""
        order = list(Zoom)
        return order[min(max(order.index(self) + step, 0), len(order) - 1)]


@dataclass(frozen=True, slots=True)
class DayColumn:
    """Days in a row; both belong to it."""

    first: date
    last: date

    @property
    def words(self) -> str:
        """What stands beside the map while the cursor is here."""
        if self.first == self.last:
            return f"{self.first:%a} {self.first.day} {self.first:%b} {self.first.year}"
        return f"{self.first.day} {self.first:%b} – {self.last.day} {self.last:%b} {self.last.year}"


def columns_of(since: date, until: date, zoom: Zoom) -> tuple[DayColumn, ...]:
    """Return the columns from one day to another, both included, in order; none where `until` is earlier."""
    columns: list[DayColumn] = []
    first = since
    while first <= until:
        last = min(_end(first, zoom), until)
        columns.append(DayColumn(first, last))
        first = last + _DAY
    return tuple(columns)


def _end(day: date, zoom: Zoom) -> date:
    if zoom is Zoom.WEEK:
        return day + timedelta(days=6 - day.weekday())
    if zoom is Zoom.MONTH:
        return (day.replace(day=1) + timedelta(days=32)).replace(day=1) - _DAY
    return day


def column_at(columns: Sequence[DayColumn], day: date) -> int:
    """Return the place of the column that has a day, or of the nearest one; 0 where there is none."""
    for place, column in enumerate(columns):
        if day <= column.last:
            return place
    return max(len(columns) - 1, 0)


def label_of(column: DayColumn, before: DayColumn | None, zoom: Zoom) -> tuple[str, str]:
    """Return what stands above a column: in the upper line a month or a year, in the lower one the day.

    Each is said where it begins, and of days only the Mondays; "" for what goes on.
    """
    first = column.first
    if zoom is Zoom.MONTH:
        year = str(first.year) if before is None or before.first.year != first.year else ""
        return year, f"{first:%b}"
    new = before is None or (before.first.year, before.first.month) != (first.year, first.month)
    month = f"{first:%b} {first.year}" if new and (before is None or first.month == 1) else f"{first:%b}"
    named = zoom is Zoom.WEEK or first.weekday() == 0
    return (month if new else ""), (str(first.day) if named else "")
