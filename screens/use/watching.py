"""One watch over a key, for a screen: one look at a time, and nothing that came is lost."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from threading import Event, Lock
from typing import TYPE_CHECKING

from crypto_core.cancelling import stop_if
from crypto_core.trail.key_watch.sightings import KeyUse, WatchStatus
from crypto_core.trail.key_watch.watch import KeyWatch
from crypto_core.trail.use.asking import NamedKeys

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
