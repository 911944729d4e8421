"""How far the store's events reach: an answer about them is only as whole as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event

from crypto_core.lists.coverage import Coverage
from crypto_core.trail.event import UNDATED
from crypto_core.trail.store import EventStore
from crypto_core.values.clean_text import cleans
from crypto_core.values.key_names import AccountRegion
from crypto_core.values.moments import in_utc

Covered = Callable[[datetime | None, datetime | None], Coverage]
"""What of a period, from and to (None where it is open), the events of the store are known to cover."""


@dataclass(frozen=True, slots=True)
@cleans(gaps=500)
class Reached:
    """Up to when events are covered without a hole, None where they aren't at all. `gaps` name the holes."""

    until: datetime | None
    gaps: tuple[str, ...] = ()


Reaches = Callable[[datetime, Sequence[AccountRegion]], Reached]
"""How far the events of the store are covered from a moment on, in all of these accounts' Regions."""

EMPTY = "The store holds no events. Fetch some: keydeck events pull. Read files: keydeck events import."
NOT_RECORDED = "Which periods the store's events cover is not recorded: what is not in it may have happened."


def not_recorded(since: datetime | None, until: datetime | None) -> Coverage:
    """Return the coverage of events of which nobody kept account."""
    return Coverage((NOT_RECORDED,))


def reached_nothing(since: datetime, places: Sequence[AccountRegion]) -> Reached:
    """Return how far events are covered of which nobody kept account."""
    return Reached(None, (NOT_RECORDED,))


def reach(
    store: EventStore,
    covered: Covered,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    cancelled: Event | None = None,
) -> Coverage:
    """Return what of a period the store covers. Raises EventStoreError, InterruptedRunError."""
    whole = store.tally((), limit=1, cancelled=cancelled)
    if not whole.rows:
        return Coverage((EMPTY,))
    reasons = list(covered(since, until).reasons)
    first = whole.rows[0].first
    if first == UNDATED:
        first = next(iter(store.tally((), "time:>=1900-01-01", limit=1, cancelled=cancelled).rows)).first
    if since is None or first > since:
        reasons.append(f"The store's events begin at {at(first)}: nothing is known of before.")
    return Coverage(tuple(dict.fromkeys(reasons)))


def at(moment: datetime | None) -> str:
    """Return a moment as sentences have it, in UTC; "?" where it isn't known."""
    return in_utc(None if moment == UNDATED else moment)
