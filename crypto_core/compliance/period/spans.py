"""Days of a control, and days in a row with one status. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.control import Exemption, FrameworkControl
from crypto_core.compliance.period.judged_records import RANK, JudgedRecord
from crypto_core.compliance.period.period import ControlDay, ControlPeriod, Lapse, LapseSource, Span


def days_of(since: date, until: date, made_at: datetime, recorded: Iterable[date]) -> tuple[date, ...]:
    """Return the days of a period that are over, and today if there is a record of it already."""
    today = made_at.date()
    last = min(until, today if today in set(recorded) else today - timedelta(days=1))
    return tuple(since + timedelta(days=n) for n in range((last - since).days + 1))


def by_day(judged: Iterable[JudgedRecord]) -> dict[date, tuple[JudgedRecord, ...]]:
    """Return the records of each day that has one."""
    return {day: tuple(found) for day, found in groupby(judged, key=lambda one: one.record.day)}


def spans_of(days: Iterable[ControlDay]) -> tuple[Span, ...]:
    """Return the spans that days come to: each day is in one, and neighbours differ."""
    return tuple(_spans(days))


def _spans(days: Iterable[ControlDay]) -> Iterator[Span]:
    for status, found in groupby(days, key=lambda one: one.status):
        row = [one.day for one in found]
        yield Span(status, row[0], row[-1])


def control_period(
    control: FrameworkControl,
    days: Sequence[date],
    records: Mapping[date, Sequence[JudgedRecord]],
    exemptions: tuple[Exemption, ...],
    lapses: Iterable[Lapse],
) -> ControlPeriod:
    """Return a control's days and spans; `lapses` are those of any control."""
    by_events = _days_by_events(control, lapses, days)
    told = tuple(_day(control, day, records.get(day, ()), exemptions, day in by_events) for day in days)
    return ControlPeriod(control, told, spans_of(told), exemptions)


def _day(
    control: FrameworkControl,
    day: date,
    records: Sequence[JudgedRecord],
    exemptions: Iterable[Exemption],
    by_events: bool,
) -> ControlDay:
    worst = min(records, key=lambda one: RANK[one.status(control)], default=None)
    status = worst.status(control) if worst else None
    number = worst.record.number if worst else 0
    known = by_events and status is not ControlStatus.NOT_MET
    if known:
        status = ControlStatus.NOT_MET
    excepted = status is ControlStatus.NOT_MET and any(one.holds_on(day) for one in exemptions)
    return ControlDay(day, status, number, excepted, known)


def _days_by_events(control: FrameworkControl, lapses: Iterable[Lapse], days: Sequence[date]) -> set[date]:
    """The days on which events alone tell that a control was not met."""
    found = [
        one
        for one in lapses
        if one.source is LapseSource.EVENTS and any(control.id == its.id for its in one.controls)
    ]
    return {day for one in found for day in days if one.first_at.date() <= day <= one.last_at.date()}
