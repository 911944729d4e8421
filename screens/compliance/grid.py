"""The heat map's rows and cells: which controls, in which order, and what a control came to in a column.

Each state of a control has one sign and one colour, on screen and in print.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import NamedTuple

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.control import FrameworkControl
from crypto_core.compliance.period.period import ControlPeriod
from screens.signs import Sign


class ControlState(StrEnum):
    """A control's status as it is shown, the worst first: what is excepted or never asked is set apart."""

    NOT_MET = "not met"
    EXCEPTED = "excepted"
    NOT_ASSESSED = "not assessed"
    PARTLY = "partly met"
    MET = "met"
    OUTSIDE = "not Keydeck's to say"
    """Not assessed on any day: nothing that Keydeck measures answers it."""
    GAP = "no record"
    COMING = "not recorded yet"
    """A day that isn't over."""

    @property
    def rank(self) -> int:
        return _RANKS[self]

    @property
    def known(self) -> bool:
        return self not in (ControlState.GAP, ControlState.COMING)


_RANKS: Mapping[ControlState, int] = {state: rank for rank, state in enumerate(ControlState)}

CONTROL_SIGNS: Mapping[ControlState, Sign] = {
    ControlState.NOT_MET: Sign("✖", "$error"),
    ControlState.EXCEPTED: Sign("◌", "$warning"),
    ControlState.NOT_ASSESSED: Sign("?", "$warning"),
    ControlState.PARTLY: Sign("▲", "$warning"),
    ControlState.MET: Sign("●", "$success"),
    ControlState.OUTSIDE: Sign("-", "$muted"),
    ControlState.GAP: Sign("·", "$warning"),
    ControlState.COMING: Sign(" ", "$muted"),
}

_OF_STATUS: Mapping[ControlStatus, ControlState] = {
    ControlStatus.NOT_MET: ControlState.NOT_MET,
    ControlStatus.NOT_ASSESSED: ControlState.NOT_ASSESSED,
    ControlStatus.PARTLY: ControlState.PARTLY,
    ControlStatus.MET: ControlState.MET,
}


def control_state(status: ControlStatus, *, excepted: bool = False, asked: bool = True) -> ControlState:
    """Return how a status is shown. `excepted`: somebody granted that; not `asked`: no test answers it."""
    if status is ControlStatus.NOT_MET and excepted:
        return ControlState.EXCEPTED
    if status is ControlStatus.NOT_ASSESSED and not asked:
        return ControlState.OUTSIDE
    return _OF_STATUS[status]


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
        order = list(Zoom)
        return order[min(max(order.index(self) + step, 0), len(order) - 1)]


@dataclass(frozen=True, slots=True)
class DayColumn:
    first: date
    last: date

    @property
    def words(self) -> str:
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


class GridCell(NamedTuple):
    """What one column of a control shows: the worst of its days, and whether one of them has no record."""

    state: ControlState
    gap: bool


@dataclass(frozen=True, slots=True)
class FrameworkRow:
    """The heading above a framework's controls."""

    framework: str
    title: str
    counts: Sequence[tuple[ControlState, int]]
    """How many of its controls are in each state on the last day with a record."""


@dataclass(frozen=True, slots=True, eq=False)
class ControlRow:
    """One control over the period. `states` are its days in order, the first of them `since`."""

    period: ControlPeriod
    since: date
    states: tuple[ControlState, ...]
    latest: ControlState
    """Its state on the last day with a record."""
    worst: ControlState

    @property
    def control(self) -> FrameworkControl:
        return self.period.control

    @property
    def wrong(self) -> bool:
        """Whether it was less than met on a day, as far as Keydeck has a say."""
        return self.worst not in (ControlState.MET, ControlState.OUTSIDE, ControlState.COMING)

    def cell(self, column: DayColumn) -> GridCell:
        first = (column.first - self.since).days
        days = self.states[max(first, 0) : max((column.last - self.since).days + 1, 0)]
        known = [state for state in days if state.known]
        gap = ControlState.GAP in days
        if known:
            return GridCell(min(known, key=_rank), gap)
        return GridCell(ControlState.GAP if gap else ControlState.COMING, gap)

    def worst_day(self, column: DayColumn) -> date:
        """Return the first day of a column on which the control was as bad as the column shows."""
        shown = self.cell(column).state
        for day in range(column.first.toordinal(), column.last.toordinal() + 1):
            place = day - self.since.toordinal()
            if 0 <= place < len(self.states) and self.states[place] is shown:
                return date.fromordinal(day)
        return column.first


Row = FrameworkRow | ControlRow


def control_row(period: ControlPeriod, today: date) -> ControlRow:
    """Return a control's row. A day without a record is a gap, unless it isn't over."""
    asked = bool(period.control.tests)
    states = tuple(
        control_state(day.status, excepted=day.excepted, asked=asked)
        if day.status is not None
        else (ControlState.GAP if day.day < today else ControlState.COMING)
        for day in period.days
    )
    known = [state for state in states if state.known]
    none = min(states, key=_rank, default=ControlState.COMING)
    since = period.days[0].day if period.days else today
    return ControlRow(
        period, since, states, known[-1] if known else none, min(known, key=_rank) if known else none
    )


def rows_of(periods: Iterable[ControlPeriod], today: date) -> tuple[ControlRow, ...]:
    """Return the rows of all controls: by framework, in the order of the catalogues, the worst first.

    What was as bad at its worst follows by how it is now, then by the number of bad days, then as given.
    """
    rows = [control_row(period, today) for period in periods]
    places = {name: place for place, name in enumerate(dict.fromkeys(r.control.framework.id for r in rows))}

    def order(row: ControlRow) -> tuple[int, int, int, int]:
        return (
            places[row.control.framework.id],
            row.worst.rank,
            row.latest.rank,
            -row.states.count(row.worst),
        )

    return tuple(sorted(rows, key=order))


def shown_rows(rows: Sequence[ControlRow], framework: str, *, only_wrong: bool) -> tuple[Row, ...]:
    """Return the rows that are listed, a heading above each framework's; `framework` "" is all."""
    shown: list[Row] = []
    for name in frameworks_of(rows):
        if framework not in ("", name):
            continue
        theirs = [row for row in rows if row.control.framework.id == name]
        listed = [row for row in theirs if row.wrong or not only_wrong]
        if listed:
            titles = dict.fromkeys(
                f"{one.title} {one.edition}" for one in (row.control.framework for row in theirs)
            )
            shown += [FrameworkRow(name, "; ".join(titles), counts(row.latest for row in theirs)), *listed]
    return tuple(shown)


def frameworks_of(rows: Iterable[ControlRow]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row.control.framework.id for row in rows))


def counts(states: Iterable[ControlState]) -> tuple[tuple[ControlState, int], ...]:
    """Return how many controls are in each state, the worst first."""
    found = Counter(states)
    return tuple((state, found[state]) for state in ControlState if found[state])


def count_words(states: Iterable[ControlState]) -> str:
    return ", ".join(f"{number} {state}" for state, number in counts(states)) or "no controls"


def _rank(state: ControlState) -> int:
    return state.rank
