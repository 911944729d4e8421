"""Single lines of Status: guards, tokens elsewhere, the keys' use in 24 hours, thirty days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from crypto_core.database.column_guards.model import ColumnGuard, GuardState
from crypto_core.database.tokens.sweep.results import Sweep
from crypto_core.lists.paging import Query
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.counts import counted
from screens.memory import DayCount
from screens.moments import ago, day
from screens.routes import EventsRoute, FindingsRoute
from screens.widgets.cells import HEIGHTS, columns, cut, percent
from screens.widgets.line_list import Line, line

if TYPE_CHECKING:
    from crypto_core.trail.rules.examination import Examined
    from crypto_core.trail.store import EventStore
    from crypto_core.trail.store.counts import Histogram

_ROUTE = FindingsRoute("rule:columns-unguarded")
_HINT = "Enter: the finding about columns without a guard, and what to do."


def guard_words(guards: Sequence[ColumnGuard]) -> str:
    """Return how many columns are guarded, what is wrong with guards that are there, and the command."""
    words = _counted(guards)
    return words if all(guard.guards for guard in guards) else f"{words} (keydeck guard)"


def _counted(guards: Sequence[ColumnGuard]) -> str:
    held = sum(guard.guards for guard in guards)
    words = f"guarded: {held} of {counted(len(guards), 'column')}"
    for state in (GuardState.NOT_VALIDATED, GuardState.CHANGED):
        if count := sum(guard.state is state for guard in guards):
            words += f", {count} {state.value}"
    return words


def guard_lines(guards: Sequence[ColumnGuard], width: int) -> list[Line]:
    changed = any(guard.state is GuardState.CHANGED for guard in guards)
    style = "$warning" if changed else "$muted"
    if not guards:
        return []
    unguarded = not all(guard.guards for guard in guards)
    return [line((cut(_counted(guards), width), style), target=_ROUTE if unguarded else None, hint=_HINT)]


def sweep_words(sweep: Sweep, now: datetime) -> str:
    """Return what was looked through, how, and how long ago."""
    places = sum(len(table.columns) for table in sweep.found)
    found = f"tokens in {counted(places, 'column')}" if places else "no tokens"
    how = "every row" if sweep.full else "samples"
    return f"{found} ({how} of {counted(sweep.columns, 'column')}, {ago(sweep.taken_at, now)})"


def sweep_lines(sweep: Sweep | None, now: datetime, width: int) -> list[Line]:
    return [line((cut(f"elsewhere: {sweep_words(sweep, now)}", width), "$muted"))] if sweep else []


SHOWN = "-service since:24h"
BARS = 24


@dataclass(frozen=True, slots=True)
class RecentUse:
    """What happened in 24 hours, without the services' calls."""

    histogram: Histogram | None
    decrypts: int
    denied: int


def recent_use(events: EventStore, cancelled: Cancellation) -> RecentUse | None:
    """Return the last 24 hours; None where the store has no events at all."""
    if not events.state()[0]:
        return None
    histogram = events.histogram(SHOWN, bars=BARS, cancelled=cancelled)
    decrypts = events.count(Query(f"name:Decrypt {SHOWN}"), cancelled=cancelled)
    denied = events.count(Query(f"denied {SHOWN}"), cancelled=cancelled)
    return RecentUse(histogram, decrypts, denied)


def use_lines(use: RecentUse | None, examined: Examined | None) -> Sequence[Line]:
    """Return the line; no new principals only where the whole trail of the day was examined, else "?"."""
    if use is None:
        return ()
    from crypto_core.trail.rules.novelty import new_principal

    new = sum(one.rule == new_principal.id for one in examined.findings) if examined else 0
    parts: list[str | tuple[str, str]] = [("24 h  ", "$muted"), (_bars(use.histogram), "$accent")]
    parts += ["  decrypts ", (f"{use.decrypts:,}", "bold"), " · "]
    parts.append((f"{'✖ ' if use.denied else ''}denied {use.denied:,}", "$error" if use.denied else ""))
    if new:
        parts += [" · ", (f"▲ new principals {new:,}", "$warning")]
    else:
        parts.append(f" · new principals {'0' if examined and examined.coverage.complete else '?'}")
    return (line(*parts, target=EventsRoute(SHOWN), hint="Enter: the events of the last 24 hours."),)


def _bars(histogram: Histogram | None) -> str:
    if histogram is None:
        return HEIGHTS[0] * BARS
    count = (histogram.last - histogram.first) // histogram.seconds + 1
    totals = [0] * count
    for bar in histogram.bars:
        totals[(bar.at - histogram.first) // histogram.seconds] += bar.events
    return columns(totals)


DAYS = 30
_UNKNOWN = "·"
_PARTS, _ALL = HEIGHTS[:-1], HEIGHTS[-1]


def protected_lines(counts: Sequence[DayCount], now: datetime, width: int) -> list[Line]:
    """Return the line; none where no day of the thirty was counted. A day that wasn't counted is a dot."""
    days = [now.date() - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    known = {one.day: one for one in counts if one.day in days}
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


def _block(count: DayCount) -> str:
    """Only all of the tokens fill the cell."""
    if count.protected == count.tokens:
        return _ALL
    return _PARTS[count.protected * len(_PARTS) // count.tokens]


def _share(count: DayCount) -> str:
    return percent(count.protected, count.tokens)


def _day(at: date, now: datetime) -> str:
    return day(datetime(at.year, at.month, at.day, 12, tzinfo=now.tzinfo), now)
