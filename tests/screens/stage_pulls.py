"""The stage's way of fetching events: it brings what it was given to bring."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from threading import Event

from crypto_core.guard.consent import Consent
from crypto_core.trail.columns import seconds
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.sources.plan import PullPlan
from crypto_core.trail.sources.pull_query import asked
from crypto_core.trail.sources.report import Progress, PullProgress, PullReport
from crypto_core.trail.store.pulls import PullBook, PullScope, TimeWindow
from crypto_core.values.cancellation import stop_if
from crypto_core.values.key_names import AccountRegion
from tests.crypto_core.trail.records import ACCOUNT
from tests.screens.stage_events import StageEvents


class StagePuller:
    """An EventPuller. `brings` are the events that the next pull fetches, `gaps` what it says is missing."""

    def __init__(
        self, enter: Callable[[str, Event | None], None], events: StageEvents, clock: Callable[[], datetime]
    ) -> None:
        self._enter = enter
        self._events = events
        self._clock = clock
        self.brings: list[TrailEvent] = []
        self.gaps: tuple[str, ...] = ()
        self.asked: list[datetime | None] = []
        """From when on events were to be pulled, each time."""

    def pull_events(
        self,
        source: str = "lookup",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        expression: str = "",
        regions: Iterable[str] = (),
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> PullReport:
        self.asked.append(since)
        if progress is not None:
            progress(PullProgress(source, "eu-west-1", 1, len(self.brings), len(self.brings)))
        self._enter("pull", cancelled)
        plan = self.plan_pull(source, since=since, until=until, expression=expression, regions=regions)
        report = self.run_pull(plan, progress=progress, cancelled=cancelled)
        self.brings = []
        return report

    def plan_pull(
        self,
        source: str = "lookup",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        expression: str = "",
        regions: Iterable[str] = (),
        cancelled: Event | None = None,
    ) -> PullPlan:
        self._enter("event_puller.plan", cancelled)
        end = until or self._clock()
        wanted = asked(since or end - timedelta(days=1), end, expression, aliases=dict, now=self._clock())
        return PullPlan(source, wanted, tuple(regions) or ("eu-west-1",))

    def run_pull(
        self,
        plan: PullPlan,
        consent: Consent | None = None,
        *,
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> PullReport:
        self._enter("event_puller.run", cancelled)
        stop_if(cancelled)
        added = self._events.store.add(self.brings)
        if progress is not None:
            progress(PullProgress(plan.source, plan.regions[0], 1, len(self.brings), added.new))
        places = tuple(AccountRegion(ACCOUNT, region) for region in plan.regions)
        if not self.gaps:
            book = PullBook(self._events.store.file)
            window = TimeWindow(seconds(plan.asked.since), seconds(plan.asked.until))
            for place in places:
                run = PullScope(plan.source, place.region, account=place.account)
                book.cover(run, window, seconds(self._clock()))
        return PullReport(
            plan.source,
            places,
            plan.asked.since,
            plan.asked.until,
            pages=1,
            records=len(self.brings),
            new=added.new,
            duplicates=added.duplicates,
            kms=added.kms,
            gaps=self.gaps,
        )
