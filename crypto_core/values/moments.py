"""Moments and durations as operators and documents read them."""

from __future__ import annotations

from datetime import UTC, datetime


def in_utc(moment: datetime | None, unknown: str = "?") -> str:
    """Return "2026-05-01 09:30:00 UTC", or `unknown` for None."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else unknown


MINUTE, HOUR, DAY = 60, 3600, 86400


def moment(at: datetime | None) -> str:
    """Return a moment in UTC to the second, "" for none."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if at else ""


def moment_utc(at: datetime | None) -> str:
    """Return a moment as `moment` does, with its zone."""
    return f"{moment(at)} UTC" if at else ""


def span(begin: datetime | None, end: datetime | None) -> str:
    """Return from when to when in UTC, the day once where it is the same; "" for neither."""
    if begin is None or end is None:
        return f"from {moment(begin)}" if begin else f"at {moment(end)}" if end else ""
    first, last = moment(begin), moment(end)
    same_day = first[:10] == last[:10]
    return f"{first} – {last[11:] if same_day else last}"


def duration(seconds: float | None) -> str:
    """Return a number of seconds in the two units that matter, "" for none: 4 s, 12 min 31 s, 2 d 3 h."""
    if seconds is None:
        return ""
    whole = round(seconds)
    for size, name, smaller, small_name in ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size:,} {name}" + (f" {rest} {small_name}" if rest else "")
    if whole >= MINUTE:
        return f"{whole // MINUTE} min" + (f" {whole % MINUTE} s" if whole % MINUTE else "")
    return f"{whole} s"
