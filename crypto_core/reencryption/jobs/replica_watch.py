"""Whether a job has to wait for replicas, asked once a second, never by a batch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from crypto_core.database.replicas import READ_STATS, ReplicaLag
from crypto_core.values.errors import DatabaseError

_log = logging.getLogger(__name__)

MAX_LAG_SECONDS = 10.0
"""How far a replica may be behind unless told otherwise."""
LOOK_SECONDS = 1.0


class ReplicaWatch:
    """For one thread. A job waits from when a replica is too far behind until that is less than half."""

    def __init__(
        self, look: Callable[[], ReplicaLag], most_seconds: float, *, clock: Callable[[], float] = monotonic
    ) -> None:
        """`look` returns the worst lag. With `most_seconds` 0 it is never asked."""
        self._look, self._most, self._clock = look, most_seconds, clock
        self._looked_at: float | None = None
        self.waiting = ""
        """Why the job waits, "" while it doesn't."""
        self.unseen = ""
        """Why nobody knows whether it should, "" where that is known."""

    def renew(self) -> str:
        """Look again if it is time, and return `waiting`: as it was, where the database can't be asked."""
        now = self._clock()
        if not self._most or (self._looked_at is not None and now - self._looked_at < LOOK_SECONDS):
            return self.waiting
        self._looked_at = now
        try:
            lag = self._look()
        except DatabaseError as error:
            if not error.passing:
                self.waiting, self.unseen = "", f"Replicas can't be asked about: {error.message}"
            return self.waiting
        self.unseen = UNSEEN if lag.unseen else ""
        before, enough = self.waiting, self._most / 2 if self.waiting else self._most
        self.waiting = _words(lag, self._most) if lag.seconds > enough else ""
        if bool(before) != bool(self.waiting):
            _log.info("%s", self.waiting or "The replicas have caught up: the job goes on.")
        return self.waiting


UNSEEN = f"A replica's lag can't be seen, so nothing waits for it: GRANT {READ_STATS} TO the role."


def _words(lag: ReplicaLag, most: float) -> str:
    return f"Replica {lag.name} is {lag.seconds:,.0f} s behind, at most {most:g} s (--max-lag)"
