"""Who calls the incident's key now: a line each on its page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from crypto_core.incidents.key_callers import MINUTES, KeyCaller, KeyCallers
from crypto_core.text.counting import counted
from screens.ages import ago, local
from screens.blocking import Trouble
from screens.use.lines import BLANK, prose
from screens.widgets.cells import cut, fit
from screens.widgets.line_list import Line, line

_SHOWN = 6
_HEIGHTS = "▁▂▃▄▅▆▇█"
_UNKNOWN = "·"
"""A minute without a call of which not all events are fetched."""
_NARROW = 74
"""With less room a caller's sparkline has a line of its own."""


def callers_in_short(callers: KeyCallers | Trouble | None, width: int, now: datetime) -> Iterator[Line]:
    """Yield the panel folded into one line, for where the rest is below what is in sight."""
    if isinstance(callers, Trouble):
        yield line((cut("? who calls the key now is not known", width), "$warning"))
    elif callers is not None:
        suspects = sum(one.suspect and one.calls > 0 for one in callers.callers)
        until = callers.complete_until
        parts = [counted(callers.calls, "call")]
        parts += [f"denied {callers.denied_words}"] if callers.since is not None else []
        parts += [f"until {local(until, now):%H:%M}" if until is not None else "events not fetched"]
        sign = (f"✖ {counted(suspects, 'suspect')} · ", "bold $error") if suspects else ("", "")
        room = max(width - len(sign[0]), 8)
        yield line(sign, (cut(" · ".join(parts), room), "" if suspects or callers.calls else "$muted"))


def caller_lines(callers: KeyCallers | Trouble | None, width: int, now: datetime) -> Iterator[Line]:
    """Yield who calls the key: suspects first, then those with most calls, each with its last minutes."""
    if callers is None:
        return
    yield BLANK
    if isinstance(callers, Trouble):
        yield from prose(f"Who calls the key now is not known: {callers}", width, lead="? ", style="$warning")
        return
    head = f"calls of the key by minute, last {MINUTES} min, each to its own scale · {_until(callers, now)}"
    yield from prose(head, width, style="$muted")
    if not callers.callers:
        yield line((cut(_nobody(callers), width), "$muted"))
    names = max((len(one.name) for one in callers.callers[:_SHOWN]), default=0)
    for one in callers.callers[:_SHOWN]:
        yield from _caller(one, callers, names, width, now)
    more = len(callers.callers) - _SHOWN + callers.others
    if more > 0:
        yield line((cut(f"  and {more:,} more", width), "$muted"))
    if callers.since is not None:
        since = f"denied since {local(callers.since, now):%d %b %H:%M}: {callers.denied_words}"
        yield line((cut(since, width), "$muted"))
    for gap in callers.gaps[:1]:
        yield from prose(gap, width, lead="? ", lead_style="$warning", style="$muted")


def _nobody(callers: KeyCallers) -> str:
    """No call among what is fetched: no statement about what is not."""
    if not callers.known_minutes:
        return "no event of the key is fetched: keydeck events watch --key KEY"
    return "no call among the events that are fetched"


def _until(callers: KeyCallers, now: datetime) -> str:
    if callers.complete_until is None:
        return "not fetched"
    return f"fetched until {local(callers.complete_until, now):%H:%M} ({ago(callers.complete_until, now)})"


def _caller(one: KeyCaller, callers: KeyCallers, names: int, width: int, now: datetime) -> Iterator[Line]:
    style = "$error" if one.suspect else ""
    use = f"{one.calls:,} · last {ago(one.last, now)}"
    use += f" · denied {one.denied:,}" if one.denied else ""
    bars = sparkline(one.by_minute, callers.known_minutes)
    sign = ("▲ ", "$error") if one.suspect else "  "
    bold = f"bold {style}".strip()
    if width < _NARROW:
        yield line(sign, (cut(f"{one.name}  {use}", width - 2), bold))
        yield line("  ", (cut(bars, width - 2), style or "$accent"))
        return
    room = min(names, max(width - MINUTES - len(use) - 6, 8))
    yield line(sign, (fit(one.name, room), bold), (f"  {bars}", style or "$accent"), (f"  {use}", "$muted"))


def sparkline(by_minute: Sequence[int], known: int) -> str:
    """Return a bar for each minute; none is said to be without a call unless all of it is fetched."""
    most = max(by_minute, default=0)
    none = _HEIGHTS[0] * known + _UNKNOWN * (len(by_minute) - known)
    return "".join(
        _HEIGHTS[-(-calls * (len(_HEIGHTS) - 1) // most)] if calls else none[n]
        for n, calls in enumerate(by_minute)
    )
