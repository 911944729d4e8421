"""The share of protected tokens on each of the last thirty days, as it was counted then: one line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from screens.ages import day
from screens.memory import DayCount
from screens.widgets.cells import cut, percent
from screens.widgets.line_list import Line, line

DAYS = 30
_UNKNOWN = "·"
_BLOCKS = "▁▂▃▄▅▆▇"
_ALL = "█"


def protected_lines(counts: Sequence[DayCount], now: datetime, width: int) -> list[Line]:
    """Return the line; none where no day of the thirty was counted. A day that wasn't counted is a dot."""
    days, known = _thirty(counts, now)
    if not known:
        return []
    first, last = (known[pick(known)] for pick in (min, max))
    words = f"  protected {_share(last)}"
    if first is not last:
        words += f", {_share(first)} on {_day(first.day, now)}"
    counted_on = f"   {len(known)} of {DAYS} days counted"
    bars: list[str | tuple[str, str]] = [
        (_block(known[day]), "$accent") if day in known else (_UNKNOWN, "$disabled") for day in days
    ]
    room = width - 6 - DAYS
    return [
        line(("30 d  ", "$muted"), *bars, cut(words, room), (cut(counted_on, room - len(words)), "$muted"))
    ]


def _thirty(counts: Sequence[DayCount], now: datetime) -> tuple[list[date], dict[date, DayCount]]:
    days = [now.date() - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    return days, {one.day: one for one in counts if one.day in days}


def _block(count: DayCount) -> str:
    """Only all of the tokens fill the cell."""
    if count.protected == count.tokens:
        return _ALL
    return _BLOCKS[count.protected * len(_BLOCKS) // count.tokens]


def _share(count: DayCount) -> str:
    return percent(count.protected, count.tokens)


def _day(at: date, now: datetime) -> str:
    return day(datetime(at.year, at.month, at.day, 12, tzinfo=now.tzinfo), now)
