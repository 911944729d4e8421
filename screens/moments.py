"""The times of events: seconds in the store, moments on screen, for every year that a record may name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from screens.ages import local

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def seconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(seconds=1)


def moment(at: int) -> datetime:
    """Return the moment so many seconds after 1970, or the calendar's nearest."""
    try:
        return _EPOCH + timedelta(seconds=at)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if at > 0 else datetime.min.replace(tzinfo=UTC)


def clock_time(at: datetime, now: datetime) -> str:
    """Return a time with as much of its date as tells it from today: the seconds always."""
    there = local(at, now)
    if there.date() == now.date():
        return f"{there:%H:%M:%S}"
    if there.year == now.year:
        return f"{there:%m-%d %H:%M:%S}"
    return f"{there.year:04}-{there:%m-%d %H:%M:%S}"


def whole(at: datetime, now: datetime) -> str:
    there = local(at, now)
    return f"{there.year:04}-{there:%m-%d %H:%M:%S %z}"


def end_of_axis(at: datetime, now: datetime) -> str:
    there = local(at, now)
    year = "" if there.year == now.year else f"{there.year:04}"
    return f"{there.day} {there:%b} {year} {there:%H:%M}".replace("  ", " ")
