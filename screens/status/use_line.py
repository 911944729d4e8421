"""The keys' use in the last 24 hours, from the local store of events: one line, Enter leads to the events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto_core.cancelling import Cancellation
from crypto_core.lists.paging import Query
from screens.routes import EventsRoute
from screens.widgets.line_list import Line, line

if TYPE_CHECKING:
    from crypto_core.trail.store import EventStore
    from crypto_core.trail.store.counts import Histogram

SHOWN = "-service since:24h"
BEFORE = "-service until:24h"
BARS = 24
MOST_PRINCIPALS = 1_000
MOST_DAYS = 400
_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class RecentUse:
    """What happened in 24 hours, without the services' calls.

    `new_principals` None: too many to compare, or too few days before to tell what is normal.
    """

    histogram: Histogram | None
    decrypts: int
    denied: int
    new_principals: int | None


def recent_use(events: EventStore, cancelled: Cancellation) -> RecentUse | None:
    """Return the last 24 hours; None where the store has no events at all."""
    if not events.state()[0]:
        return None
    histogram = events.histogram(SHOWN, bars=BARS, cancelled=cancelled)
    decrypts = events.count(Query(f"name:Decrypt {SHOWN}"), cancelled=cancelled)
    denied = events.count(Query(f"denied {SHOWN}"), cancelled=cancelled)
    now = events.pivot("principal", SHOWN, limit=MOST_PRINCIPALS, cancelled=cancelled)
    before = events.pivot("principal", BEFORE, limit=MOST_PRINCIPALS, cancelled=cancelled)
    known = {value.text for value in before.values}
    comparable = _has_baseline(events, cancelled) and not now.others and not before.others
    new = sum(value.text not in known for value in now.values) if comparable else None
    return RecentUse(histogram, decrypts, denied, new)


def _has_baseline(events: EventStore, cancelled: Cancellation) -> bool:
    """True if there were events on enough days before: else everybody would be new."""
    from crypto_core.trail.rules.rule_context import BASELINE_DAYS

    before = events.histogram(BEFORE, bars=MOST_DAYS, cancelled=cancelled)
    days = {bar.at // 86_400 for bar in before.bars} if before is not None else set()
    return len(days) >= BASELINE_DAYS


def use_lines(use: RecentUse | None) -> Sequence[Line]:
    if use is None:
        return ()
    parts: list[str | tuple[str, str]] = [("24 h  ", "$muted"), (_bars(use.histogram), "$accent")]
    parts += ["  decrypts ", (f"{use.decrypts:,}", "bold"), " · "]
    parts.append((f"{'✖ ' if use.denied else ''}denied {use.denied:,}", "$error" if use.denied else ""))
    if use.new_principals is not None:
        sign = "▲ " if use.new_principals else ""
        parts += [" · ", (f"{sign}new principals {use.new_principals:,}", "$warning" if sign else "")]
    return (line(*parts, target=EventsRoute(SHOWN), hint="Enter: the events of the last 24 hours."),)


def _bars(histogram: Histogram | None) -> str:
    if histogram is None:
        return "▁" * BARS
    count = (histogram.last - histogram.first) // histogram.seconds + 1
    totals = [0] * count
    for bar in histogram.bars:
        totals[(bar.at - histogram.first) // histogram.seconds] += bar.events
    peak = max(totals)
    return "".join(_BLOCKS[max(round(t / peak * 8) - 1, 0)] for t in totals)
