"""Watches a retired key: every use, as CloudTrail delivers it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from threading import Event, Lock
from typing import TYPE_CHECKING, ClassVar

from crypto_core.cancelling import Cancellation, stop_if
from crypto_core.lists.coverage import Coverage
from crypto_core.text.counting import counted
from crypto_core.trail.key_watch.sightings import KeyUse, UseKind, WatchStatus
from crypto_core.trail.key_watch.watch import SHORTEST_SECONDS, KeyWatch
from crypto_core.trail.sources.pull_query import LATE
from crypto_core.trail.use.asking import NamedKeys
from screens.ages import span, stamp
from screens.blocking import Trouble
from screens.event_filters import term
from screens.facts import Facts
from screens.moments import clock_time
from screens.routes import EventRoute, EventsRoute, KeyRoute
from screens.signs import Sign
from screens.use.lines import BLANK, fact, gap_lines, prose, who
from screens.use.use_screen import UseScreen
from screens.widgets.cells import cut, fit, fit_middle
from screens.widgets.line_list import Line, line

if TYPE_CHECKING:
    from crypto_core.trail.key_watch.watch import KeyMonitor

MOST = 1_000
"""Uses that are kept to be shown; all are counted."""


@dataclass(frozen=True, slots=True, eq=False)
class WatchedUses:
    """A watch's findings so far. `uses` are the latest, the newest first."""

    keys: NamedKeys
    look: WatchStatus
    uses: tuple[KeyUse, ...]
    note: str

    @property
    def unlisted(self) -> int:
        """Uses that came before those that are kept."""
        return sum(self.look.counts.values()) + self.look.own - len(self.uses)


class Watching:
    """Looks from whichever thread: the next one waits for the one before, which ends once it is cancelled."""

    def __init__(self, monitor: KeyMonitor, key: str, since: datetime) -> None:
        self._monitor, self._key, self._since = monitor, key, since
        self._lock = Lock()
        self._watch: KeyWatch | None = None
        self._uses: deque[KeyUse] = deque(maxlen=MOST)

    def look(self, cancelled: Event) -> WatchedUses:
        """Fetch what is new and return all that is known by now.

        What came is kept also where nobody waits for this answer any more. Raises as KeyMonitor.begin_watch
        and KeyWatch.look_for_uses.
        """
        with self._lock:
            stop_if(cancelled)
            if self._watch is None:
                self._watch = self._monitor.begin_watch([self._key], self._since, cancelled=cancelled)
            look = self._watch.look_for_uses(cancelled=cancelled)
            self._uses.extendleft(look.uses)
            return WatchedUses(self._watch.keys, look, tuple(self._uses), self._watch.note)


SIGNS = {
    UseKind.USE: Sign("▲", "$warning"),
    UseKind.FAILED: Sign("✖", "$error"),
    UseKind.DENIED: Sign("✖", "$error"),
    UseKind.CHANGE: Sign("○", ""),
}
OWN = Sign("·", "$muted")
_TIME, _KIND, _NAME, _FROM = 15, 9, 16, 18
_ROOMY = 100


class WatchScreen(UseScreen[WatchedUses]):
    """Looks while it is in sight: fetches what is new, then shows what came. Left, it stops at once."""

    NAME = "watch"
    EVERY = 60.0
    ASKING = "Fetching the key's events since then by LookupEvents, then reading them…"
    LIMIT: ClassVar[float] = 6 * 3_600.0

    def __init__(self, facts: Facts, key_arn: str, since: datetime) -> None:
        super().__init__(facts)
        self._key_arn = key_arn
        self._watching = Watching(facts.services.key_monitor, key_arn, since)

    @property
    def crumb(self) -> tuple[str, str]:
        return "Watch", self.facts.key_words.long(self._key_arn)

    @property
    def took(self) -> float:
        """So that two looks are never nearer to one another than the monitor allows."""
        return SHORTEST_SECONDS / 20

    def ask_for(self, cancelled: Cancellation) -> WatchedUses:
        return self._watching.look(cancelled)

    def lines(self, answer: WatchedUses, width: int) -> Iterable[Line]:
        return watch_lines(answer, width, self.facts)

    def _keep(self, answer: WatchedUses | Trouble) -> None:
        super()._keep(answer)
        self._go_on()

    def _tick(self) -> None:
        super()._tick()
        self._go_on()

    def _go_on(self) -> None:
        """Fetch again at once if more is waiting."""
        more = self.answer is not None and self.answer.look.more and self.trouble is None
        if more and self.is_mounted and self.is_current and not self.refreshing.paused:
            self.ask_anew()


def watch_lines(seen: WatchedUses, width: int, facts: Facts) -> Iterator[Line]:
    """Yield the page."""
    look, now = seen.look, facts.clock()
    for place, arn in enumerate(seen.keys.arns or (seen.keys.name,)):
        words = f"{facts.key_words.long(arn)}  {arn}"
        target = KeyRoute(arn) if seen.keys.arns else None
        hint = "Enter: the key."
        yield fact("" if place else "key", words, width, target=target, hint=hint, whole_end=True)
    yield fact("since", stamp(look.since, now), width)
    yield _counts(look, width)
    yield _quiet(look, width, facts)
    yield _covered(look, width, facts)
    yield from gap_lines(Coverage(look.gaps), width)
    if seen.note:
        yield from prose(seen.note, width, lead="▲ ", lead_style="$warning")
    yield BLANK
    yield from _uses(seen, width, facts)


def _counts(look: WatchStatus, width: int) -> Line:
    number = look.counts
    words = (
        f"use {number[UseKind.USE]:,} · failed {number[UseKind.FAILED]:,} · "
        f"denied {number[UseKind.DENIED]:,} · change {number[UseKind.CHANGE]:,} · "
        f"Keydeck's own {look.own:,}"
    )
    return fact("seen", words, width, style="bold")


def _quiet(look: WatchStatus, width: int, facts: Facts) -> Line:
    now = facts.clock()
    last = f"; last use {clock_time(look.last_use, now)}" if look.last_use else ""
    if look.more:
        return fact("quiet", f"not known yet: more is being read{last}", width, style="$warning")
    if look.gaps or look.covered_until is None:
        return fact("quiet", f"not known{last}", width, style="$warning")
    if not look.quiet_for:
        none = f"not known yet: nothing since {clock_time(look.quiet_since, now)} is covered"
        words = f"no: last use {clock_time(look.last_use, now)}" if look.last_use else none
        return fact("quiet", words, width, style="$warning" if look.last_use else "$muted")
    since = "since the last use at" if look.last_use else "since"
    words = f"for {span(look.quiet_for)}, {since} {clock_time(look.quiet_since, now)}"
    return fact("quiet", words, width, style="$warning" if look.last_use else "$success")


def _covered(look: WatchStatus, width: int, facts: Facts) -> Line:
    late = f"CloudTrail may be {span(LATE)} late"
    if look.gaps or look.covered_until is None:
        return fact("covered", "not all: what is missing is listed below", width, style="$warning")
    if look.covered_until <= look.since:
        return fact("covered", f"nothing yet: {late}", width, style="$muted")
    where = f" in {', '.join(look.regions)}" if look.regions else ""
    until = clock_time(look.covered_until, facts.clock())
    return fact("covered", f"until {until}{where} ({late})", width)


def _uses(seen: WatchedUses, width: int, facts: Facts) -> Iterator[Line]:
    if not seen.uses:
        yield line(("No use yet.", "bold"))
        yield from prose(
            (
                "New uses appear here as CloudTrail delivers them, which takes some minutes. This page "
                "looks for them while it is open."
            ),
            width,
            style="$muted",
        )
        return
    heads = [("time", _TIME), ("what", _KIND), ("event", _NAME), ("principal", _who_cells(width))]
    heads += [("from", _FROM)] if width >= _ROOMY else []
    title = "".join(fit(name, cells) for name, cells in heads)
    yield line((title, "$muted"), ("token", "$muted"))
    for use in seen.uses:
        yield _use(use, width, facts)
    if seen.unlisted:
        words = f"… and {counted(seen.unlisted, 'use')} that came before"
        since = seen.look.since.isoformat().replace("+00:00", "Z")
        expression = f"{term('key', seen.keys.ids[0])} since:{since}"
        hint = "Enter: all events of the key since then."
        yield line((words, "$muted"), target=EventsRoute(expression), hint=hint)


def _who_cells(width: int) -> int:
    return max((width - _TIME - _KIND - _NAME) * 45 // 100, 10)


def _use(use: KeyUse, width: int, facts: Facts) -> Line:
    event = use.event
    sign = OWN if use.own else SIGNS[use.kind]
    rest = width - _TIME - _KIND - _NAME - _who_cells(width)
    human = event.principal.is_human and not use.own
    name = f"{who(event.principal.arn)}{' (Keydeck)' if use.own else ''}"
    parts: list[str | tuple[str, str]] = [
        (fit(clock_time(event.time, facts.clock()) if event.dated else "undated", _TIME), ""),
        (fit(f"{sign.text} {use.kind.value}", _KIND), sign.style),
        (fit(cut(event.name, _NAME - 1), _NAME), "$muted" if use.own else "bold"),
        (fit(fit_middle(name, _who_cells(width) - 1), _who_cells(width)), "$warning" if human else ""),
    ]
    if width >= _ROOMY:
        rest -= _FROM
        parts.append((fit(cut(event.source_ip or "-", _FROM - 1), _FROM), ""))
    token = str(event.token_ref) if event.token_ref else "-"
    late = "late  " if use.late else ""
    parts += [(late, "$warning"), (fit_middle(token, max(rest - len(late), 6)).rstrip(), "")]
    about = f"Enter: the event. {event.error_code or 'done'}, from {event.source_ip or '-'}"
    return line(*parts, target=EventRoute(event.event_id), hint=about)
