"""Whether the store holds all that KMS recorded in a window: what the pulls so far covered.

An account's events vouch for that account alone: CloudTrail records a key's use in the account that owns it.
Counted are pulls that kept every event of KMS, without a filter, and what the digests of imported files
prove. Files whose names alone tell of their time are not, nor are tables of Athena's and event data stores:
nobody can say what they leave out. Where such files are of a time that is missing, that is said beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from crypto_core.lists.coverage import Coverage
from crypto_core.trail.columns import moment, seconds
from crypto_core.trail.sources.pull_query import LATE
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import BY_FILE_NAMES, PullBook, TimeWindow, lacking, unfetched
from crypto_core.trail.use.reach import Reached
from crypto_core.values.key_names import AccountRegion

_FOREVER = 2**62
_MOST_SPANS = 3
FRESH = timedelta(hours=1)
"""So far behind the present a store may be and still count as up to date."""


class CoverageRecord:
    """Thread-safe; every call may block. Raises EventStoreError."""

    def __init__(
        self,
        store: EventStore,
        regions: Callable[[], Sequence[str]],
        *,
        accounts: Callable[[], Sequence[str]] = tuple,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`regions` and `accounts` are those of the operator's keys; without accounts, all fetched count."""
        self._book = PullBook(store.file)
        self._regions = regions
        self._accounts = accounts
        self._clock = clock

    def regions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._regions()))

    def between(self, since: datetime | None, until: datetime | None) -> Coverage:
        """Return what of a period is covered; an open one reaches from the first pull up to now."""
        if since is None:
            covered = self._book.covered()
            wanted = self._places(covered)
            begins = [window.since for place in wanted for window in covered.get(place, ())]
            if not begins:
                return Coverage(tuple(f"{place}: nothing was fetched yet." for place in wanted))
            since = moment(min(begins))
        return self.coverage_of(since, until or self._clock())

    def coverage_of(self, since: datetime, until: datetime) -> Coverage:
        """Return what of a window is missing in any Region; the last hour's events may still come."""
        covered = self._book.covered()
        by_names = self._book.covered((BY_FILE_NAMES,))
        fresh = seconds(self._clock() - LATE - FRESH)
        reasons = []
        for place in self._places(covered):
            windows = covered.get(place, [])
            missing = lacking(windows, seconds(since), seconds(until), fresh)
            if missing:
                first = f"{moment(missing[0].since):%Y-%m-%d %H:%M}"
                until_ = f"{moment(missing[-1].until):%Y-%m-%d %H:%M}"
                beside = _beside(by_names.get(place, ()), missing)
                reasons.append(f"{place}: not fetched from {first} to {until_} UTC{beside}.")
        return Coverage(tuple(reasons))

    def reached(self, since: datetime, places: Sequence[AccountRegion]) -> Reached:
        """Return how far all is covered from a moment on without a hole, in every one of these places."""
        covered = self._book.covered()
        ends: list[int] = []
        gaps = []
        for place in dict.fromkeys(places):
            gap = unfetched(covered.get(place, []), seconds(since), _FOREVER)[0]
            first = f"{moment(gap.since):%Y-%m-%d %H:%M}"
            if gap.until < _FOREVER:
                last = f"{moment(gap.until + 1):%Y-%m-%d %H:%M}"
                gaps.append(f"{place}: not fetched from {first} to {last} UTC.")
            if gap.since == seconds(since):
                gaps.append(f"{place}: nothing was fetched from {first} UTC on.")
            ends.append(gap.since - 1)
        if not ends:
            return Reached(None, ("In which account and Region to look is not known.",))
        end = min(ends)
        return Reached(moment(end) if end >= seconds(since) else None, tuple(dict.fromkeys(gaps)))

    def _places(self, covered: Iterable[AccountRegion]) -> tuple[AccountRegion, ...]:
        accounts = tuple(dict.fromkeys(self._accounts()))
        found: dict[AccountRegion, None] = {}
        for region in self.regions():
            fetched = [place.account for place in covered if place.region == region]
            found |= {AccountRegion(one, region): None for one in accounts or sorted(fetched) or [""]}
        return tuple(found)


def _beside(named: Iterable[TimeWindow], missing: Sequence[TimeWindow]) -> str:
    met = [
        TimeWindow(max(one.since, gap.since), min(one.until, gap.until)) for one in named for gap in missing
    ]
    spans = [
        f"{moment(w.since):%Y-%m-%d %H:%M} to {moment(w.until):%Y-%m-%d %H:%M}"
        for w in met
        if w.since < w.until
    ]
    return f"; imported, by file names, from {', '.join(spans[:_MOST_SPANS])}" if spans else ""
