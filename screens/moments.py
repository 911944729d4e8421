"""Moments and durations as an operator reads them, and the times of events.

Events have seconds in the store and moments on screen, for every year that a record may name.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Returns the time now: aware, in the operator's zone. All moments are shown in that zone."""

_STEPS = (
    (365 * 86_400, 365 * 86_400, "y"),
    (90 * 86_400, 30 * 86_400, "mo"),
    (86_400, 86_400, "d"),
    (3_600, 3_600, "h"),
    (60, 60, "min"),
)
"""From which number of seconds on a unit is used, its own number of seconds, its name."""


def system_clock() -> datetime:
    """The time now in the zone of this machine."""
    return datetime.now().astimezone()


def span(duration: timedelta) -> str:
    """Return a duration that isn't negative in one unit: "12 s", "5 min", "2 h", "41 d", "3 mo", "2 y"."""
    seconds = max(int(duration.total_seconds()), 0)
    for least, size, unit in _STEPS:
        if seconds >= least:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def ago(moment: datetime, now: datetime) -> str:
    """Return how long ago a moment was: "now", "12 s ago"; "in 3 d" for one that is still to come."""
    passed = now - moment
    if abs(passed) < timedelta(seconds=1):
        return "now"
    if passed >= timedelta(0):
        return f"{span(passed)} ago"
    return f"in {span(-passed)}"


def calmly_ago(moment: datetime, now: datetime) -> str:
    """Return how long ago a moment was as `ago` does, in steps of five seconds: it does not fidget."""
    passed = (now - moment).total_seconds()
    return ago(moment, moment + timedelta(seconds=passed // 5 * 5)) if 0 <= passed < 60 else ago(moment, now)


def local(moment: datetime, now: datetime) -> datetime:
    """Return a moment in the operator's zone; in UTC where that would lead out of the calendar."""
    try:
        return moment.astimezone(now.tzinfo)
    except OverflowError:
        return moment.astimezone(UTC)


def day(moment: datetime, now: datetime) -> str:
    """Return the date in the operator's zone: "12 Mar", with the year where it isn't this one."""
    there = local(moment, now)
    return f"{there.day} {there:%b}" if there.year == now.year else f"{there.day} {there:%b} {there.year:04}"


def stamp(moment: datetime, now: datetime) -> str:
    """Return date, time and offset in the operator's zone: "2026-03-12 09:30 +0100"."""
    there = local(moment, now)
    return f"{there.year:04}-{there:%m-%d %H:%M %z}"


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
