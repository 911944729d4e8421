"""The old key's use by CloudTrail, where its events are kept.

GetKeyLastUsage has the last use alone. Whoever keeps them stands above the keys: here is what they are asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Protocol

from crypto_core.text.cleaning import clean
from crypto_core.text.counting import counted, listed
from crypto_core.text.moments import in_utc


@dataclass(frozen=True, slots=True)
class UseSeen:
    """The uses of a key from `since` on, that succeeded. `seals` of them brought something new under it.

    `by` are the principals, the busiest first. There was no other use up to `covered_until`, but for what
    `gaps` name; None where nothing is covered.
    """

    since: datetime
    uses: int = 0
    seals: int = 0
    last_at: datetime | None = None
    last_seal_at: datetime | None = None
    by: tuple[str, ...] = ()
    covered_until: datetime | None = None
    gaps: tuple[str, ...] = ()

    @property
    def proves_no_use(self) -> bool:
        """True if the key was not used in the time that is covered."""
        return not self.uses and self.covered_until is not None and not self.gaps

    def __str__(self) -> str:
        if self.uses:
            who = listed([clean(name, 200) for name in self.by], 5)
            return (
                f"CloudTrail: {counted(self.uses, 'use')} since {in_utc(self.since)}, the last at "
                f"{in_utc(self.last_at)}, by {who}"
            )
        if self.proves_no_use:
            return f"CloudTrail: not used from {in_utc(self.since)} to {in_utc(self.covered_until)}"
        why = clean("; ".join(self.gaps), 500)
        return f"CloudTrail: no use is known since {in_utc(self.since)}, which proves nothing: {why}"


class UseWitness(Protocol):
    """Who keeps CloudTrail's events."""

    def uses(self, key_arns: Sequence[str], since: datetime, *, cancelled: Event | None = None) -> UseSeen:
        """Return the uses of a key's replicas, by their ARNs. Raises TrailError, InterruptedRunError."""
        ...
