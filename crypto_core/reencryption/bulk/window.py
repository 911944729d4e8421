"""What has been read and is not yet written, in the order in which it was read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from crypto_core.database.tokens.store import StoredToken
from crypto_core.reencryption.bulk.ports import Outcome, Sealed

ROOM = 1_000
"""Another page is read while fewer tokens than this wait for KMS."""
MOST = 4_000
"""No page is read while so many tokens are unwritten."""


@dataclass(slots=True, eq=False)
class TokenInFlight:
    """A token on its way. `tries` counts how often it was to be written, this time included."""

    token: StoredToken
    tries: int = 1
    outcome: Outcome | None = field(default=None, repr=False)

    def again(self, token: StoredToken) -> TokenInFlight:
        """Return the entry for another try, with the token as it was read by now.

        Where it is what it was, another writer only held its row, and the new envelope is still good.
        """
        outcome = self.outcome
        if isinstance(outcome, Sealed) and token.digest == outcome.replacement.old.digest:
            return TokenInFlight(token, self.tries + 1, replace(outcome, kms_calls=0))
        return TokenInFlight(token, self.tries + 1)


class InFlightWindow:
    """Entries in order. For one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[TokenInFlight] = deque()
        self._open: deque[TokenInFlight] = deque()
        self._ready: deque[TokenInFlight] = deque()
        self._settled = 0

    def __len__(self) -> int:
        """Entries that are not yet handed out to be written."""
        return len(self._open) + len(self._ready)

    @property
    def has_room(self) -> bool:
        return len(self._waiting) < ROOM and len(self) < MOST

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def ready(self) -> int:
        """Entries with an outcome before which there is none without."""
        return len(self._ready)

    @property
    def has_outcomes(self) -> bool:
        """True if there is anything to write, in whatever order."""
        return self._settled > 0

    def add(self, entries: Iterable[TokenInFlight]) -> None:
        """Put entries at the end. Those that have an outcome don't wait for one."""
        for entry in entries:
            self._open.append(entry)
            if entry.outcome is None:
                self._waiting.append(entry)
            else:
                self._settled += 1
        self._advance()

    def take_waiting(self) -> TokenInFlight | None:
        return self._waiting.popleft() if self._waiting else None

    def put_back(self, entry: TokenInFlight) -> None:
        """Let an entry wait again, before the others."""
        self._waiting.appendleft(entry)

    def settle(self, entry: TokenInFlight, outcome: Outcome) -> None:
        entry.outcome = outcome
        self._settled += 1
        self._advance()

    def ordered(self, most: int) -> list[TokenInFlight]:
        batch = [self._ready.popleft() for _ in range(min(most, len(self._ready)))]
        self._settled -= len(batch)
        return batch

    def settled(self, most: int) -> list[TokenInFlight]:
        """Hand out entries that have an outcome, also those behind one that has none."""
        batch = self.ordered(most)
        if len(batch) < most and self._settled:
            behind = [entry for entry in self._open if entry.outcome is not None][: most - len(batch)]
            taken = set(map(id, behind))
            self._open = deque(entry for entry in self._open if id(entry) not in taken)
            self._settled -= len(behind)
            batch += behind
        return batch

    def _advance(self) -> None:
        while self._open and self._open[0].outcome is not None:
            self._ready.append(self._open.popleft())
