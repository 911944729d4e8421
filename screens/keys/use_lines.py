"""One key's use in the last fourteen days: a bar a day, its principals with their calls, what was denied."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from crypto_core.cancelling import Cancellation
from crypto_core.text.counting import counted
from crypto_core.trail.store.tallies import Day, EventTally
from crypto_core.trail.use.keys import KeyUseSummary
from screens.facts import Facts
from screens.routes import EventsRoute, KeyUseRoute
from screens.services import Services
from screens.use.lines import BLANK, NAME_CELLS, fact, moment_words, narrowed, who
from screens.widgets.cells import cut, fit, fit_middle
from screens.widgets.line_list import Line, line

DAYS = 14
MOST_PRINCIPALS = 6
"""How many principals are named before the page about the key's use has to be opened."""
_NOTHING = "·"
_BLOCKS = "▁▂▃▄▅▆▇█"


def recent_use(
    services: Services, key_arn: str, now: datetime, cancelled: Cancellation
) -> KeyUseSummary | None:
    """Return the use of the last fourteen days, UTC; None where the store has no events at all.

    Raises what EventUse.key_use raises.
    """
    if not services.events.state()[0]:
        return None
    since = datetime.combine(_days(now)[0], time(), UTC)
    return services.event_use.key_use(key_arn, since=since, cancelled=cancelled)


def _days(now: datetime) -> list[date]:
    today = now.astimezone(UTC).date()
    return [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]


def day_line(use: KeyUseSummary, key_arn: str, now: datetime) -> Line:
    """Return the line of days, which leads to the page about the key's use."""
    bars = _bars(use.days, _days(now))
    parts: list[str | tuple[str, str]] = [(fit("used, 14 d", NAME_CELLS), "$muted"), (bars, "$accent")]
    parts += ["  ", (counted(use.events, "call"), "bold"), " · "]
    parts += [_denied(use.denied), f" · {use.failed:,} failed"]
    hint = "Enter: the key's whole use. A dot is a day without an event in the store."
    return line(*parts, target=KeyUseRoute(key_arn), hint=hint)


def principal_lines(use: KeyUseSummary, key_arn: str, width: int, facts: Facts) -> Iterator[Line]:
    """Yield a line for each principal with its calls, and what the events of these days don't cover."""
    route = KeyUseRoute(key_arn)
    for number, row in enumerate(use.principals.rows[:MOST_PRINCIPALS]):
        yield _principal("" if number else "used by", row, use, width, facts)
    left = len(use.principals.rows) + use.principals.others - MOST_PRINCIPALS
    if left > 0:
        words = f"… and {counted(left, 'more principal')}"
        yield fact("", words, width, style="$muted", target=route, hint="Enter: the key's whole use.")
    if use.coverage.reasons:
        words = f"▲ not all of these days is known: {use.coverage.reasons[0]}"
        yield line(" " * NAME_CELLS, (cut(words, width - NAME_CELLS), "$warning"))
    yield BLANK


def _bars(found: tuple[Day, ...], days: list[date]) -> str:
    events = {day.day: day.events for day in found}
    peak = max((events.get(day, 0) for day in days), default=0)
    return "".join(_bar(events.get(day, 0), peak) for day in days)


def _bar(events: int, peak: int) -> str:
    return _BLOCKS[max(round(events / peak * len(_BLOCKS)) - 1, 0)] if events else _NOTHING


def _denied(number: int) -> tuple[str, str]:
    return (f"✖ {number:,} denied", "$error") if number else ("0 denied", "")


def _principal(name: str, row: EventTally, use: KeyUseSummary, width: int, facts: Facts) -> Line:
    """A principal's calls; who was denied is marked."""
    arn = row.texts[0]
    right = f"{row.events:>9,}  {'✖ ' if row.denied else '  '}{row.denied:,} denied"
    last = f"   last {moment_words(row.last, facts.clock())}"
    room = max(min(width - NAME_CELLS - len(right) - len(last), 60), 8)
    return line(
        (fit(name, NAME_CELLS), "$muted"),
        fit_middle(who(arn), room),
        (right, "$error" if row.denied else "$muted"),
        (last, "$muted"),
        target=EventsRoute(narrowed(use.filter, use.principals.fields, row.texts)),
        hint=f"Enter: these events. {arn}",
    )
