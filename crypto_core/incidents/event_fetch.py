"""Fetches events about keys before their use is reported, within a time limit; missing ones become gaps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING

from crypto_core.incidents.model import Incident
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import InterruptedRunError, KeydeckError

if TYPE_CHECKING:
    from crypto_core.trail.key_watch import KeyMonitor

BEFORE = timedelta(hours=24)
"""How far back an incident's events matter if no start was given."""
LIMIT_SECONDS = 60.0
"""How long events are fetched at most: LookupEvents answers twice a second, and containment does not wait."""


def begin_of(incident: Incident) -> datetime:
    """Return from when on events matter to an incident."""
    return incident.scope.since or incident.declared_at - BEFORE


class _Until(Event):
    """Is set once the operator cancels, or so many seconds are over."""

    def __init__(self, cancelled: Event | None, seconds: float) -> None:
        super().__init__()
        self._cancelled = cancelled if cancelled is not None else Event()
        self._end = monotonic() + seconds

    def is_set(self) -> bool:
        return self._cancelled.is_set() or monotonic() >= self._end

    def wait(self, timeout: float | None = None) -> bool:
        left = max(self._end - monotonic(), 0.0)
        self._cancelled.wait(left if timeout is None else min(timeout, left))
        return self.is_set()


def fetched(
    monitor: KeyMonitor,
    keys: Sequence[str],
    since: datetime,
    cancelled: Event | None = None,
    *,
    seconds: float = LIMIT_SECONDS,
) -> tuple[str, ...]:
    """Fetch events about keys from `since` on; return why not all were had, nothing if all were.

    What was fetched before the time was over is kept. Raises InterruptedRunError once `cancelled` is set.
    """
    until = _Until(cancelled, seconds)
    try:
        look = monitor.begin_watch(keys, since, cancelled=until).look_for_uses(cancelled=until)
    except InterruptedRunError:
        stop_if(cancelled)
        words = f"Events were fetched for {seconds:g} seconds, and there are more of them."
        return (f"{words} Fetch the rest: keydeck events pull --since {since:%Y-%m-%dT%H:%M}",)
    except KeydeckError as error:
        return (clean(f"Events could not be fetched: {error}", 600),)
    return look.gaps
