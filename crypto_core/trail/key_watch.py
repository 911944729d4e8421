"""One watch over keys: fetches new events, reports each use once, and tracks the coverage.

CloudTrail delivers late and out of order (User Guide, "How CloudTrail works": on average within 5 minutes of
a call). So events are told in the order in which they come, whatever their date, and quiet is claimed only up
to `LATE` before the last look, by AWS's clock, and only where that was covered in all Regions of the keys.
Where this machine's clock differs from AWS's by more than `MOST_SKEW`, nothing is claimed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from threading import Event
from typing import TYPE_CHECKING

from crypto_core.keys.key_uses import USES
from crypto_core.lists.coverage import Coverage
from crypto_core.trail.event import MOST_SKEW, TrailEvent
from crypto_core.trail.own_calls import made_by
from crypto_core.trail.query import Aliases
from crypto_core.trail.sources.pull_query import LATE
from crypto_core.trail.sources.report import PullReport
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.arrivals import BEGINNING, ArrivalMark
from crypto_core.trail.use.filter_builder import NamedKeys, named_keys, term
from crypto_core.trail.use.keys import known_keys
from crypto_core.trail.use.reach import Reaches, reached_nothing
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KmsError, TrailError
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.key_names import AccountRegion, homes_of, is_multi_region

if TYPE_CHECKING:
    from crypto_core.trail.sources.puller import EventPuller


class UseKind(StrEnum):
    USE = "use"
    FAILED = "failed"
    """A permitted call that failed: its caller still needs the key."""
    DENIED = "denied"
    CHANGE = "change"


@dataclass(frozen=True, slots=True)
class KeyUse(JsonRecord):
    """One use. `own` is Keydeck's, by whoever watches; `late` is dated before one of an earlier look.

    `own` goes by user agent and identity: who has the operator's credentials can pass for Keydeck.
    """

    event: TrailEvent
    kind: UseKind
    own: bool = False
    late: bool = False

    json_shape = shape("... *event")

    @property
    def breaks_quiet(self) -> bool:
        return not self.own and self.kind in (UseKind.USE, UseKind.FAILED)


@dataclass(frozen=True, slots=True)
class WatchStatus(JsonRecord):
    """What a watch knows at one moment. `uses` are those not told before, the oldest first.

    `counts` are all so far by kind, but for Keydeck's `own`. `covered_until` is up to when all is known, the
    time that CloudTrail takes to deliver taken off; None where nothing is. `gaps` say what is not known.
    """

    at: datetime
    uses: tuple[KeyUse, ...]
    more: bool
    """True if further uses are there already: they come with the next look."""
    counts: Mapping[str, int]
    own: int
    since: datetime
    last_use: datetime | None
    covered_until: datetime | None
    regions: tuple[str, ...]
    gaps: tuple[str, ...] = ()

    json_shape = shape(
        "at since counts last_use? quiet_since quiet_seconds covered_until? regions coverage",
        counts=lambda record: {**record.counts, "own": record.own},
        quiet_seconds=lambda record: int(record.quiet_for.total_seconds()),
        coverage=lambda record: Coverage(record.gaps),
    )

    @property
    def used(self) -> bool:
        """True if another caller used the key, or was permitted and failed."""
        return self.last_use is not None

    @property
    def quiet_since(self) -> datetime:
        return self.since if self.last_use is None else max(self.since, self.last_use)

    @property
    def quiet_for(self) -> timedelta:
        """For how long there was provably no use; nothing where that is not covered."""
        if self.covered_until is None or self.gaps or self.more:
            return timedelta(0)
        return max(timedelta(0), self.covered_until - self.quiet_since)

    def is_quiet(self, period: timedelta) -> bool:
        """True if there was no use for so long, and that is known of all Regions of the key."""
        return self.covered_until is not None and not self.gaps and not self.more and self.quiet_for >= period


def kind_of(event: TrailEvent) -> UseKind:
    if event.denied:
        return UseKind.DENIED
    if event.failed:
        return UseKind.FAILED
    return UseKind.USE if event.name in USES else UseKind.CHANGE


AT_ONCE = 500
"""Uses of one look at most; further ones come with the next one, at once."""
_REMEMBERED = 100_000
"""Uses that are known again where the store was vacuumed meanwhile; of earlier ones one may be told twice."""
_READS = "-name:Describe*,Get*,List*"


@dataclass(slots=True, eq=False)
class KeyWatch:
    """One watch, used by one thread at a time; `gaps` are never known, `note` is for the operator."""

    keys: NamedKeys
    since: datetime
    store: EventStore
    puller: EventPuller | None
    reaches: Reaches
    clock: Callable[[], datetime]
    skew: Callable[[], float | None]
    gaps: Sequence[str]
    caller: str
    note: str
    _gaps: tuple[str, ...] = ()
    _anchor: ArrivalMark = BEGINNING
    _told: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _newest: datetime | None = None
    _coming: datetime | None = None
    _counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*UseKind, "own"), 0))
    _broken: datetime | None = None
    _covered: datetime | None = None
    _more: bool = False

    @property
    def _filter(self) -> str:
        named = term("key", *self.keys.ids, *self.keys.aliases)
        return f"{named} since:{self.since.isoformat()} {_READS}"

    @property
    def places(self) -> tuple[AccountRegion, ...]:
        return homes_of(self.keys.arns)

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(place.region for place in self.places))

    def look_for_uses(self, *, cancelled: Event | None = None) -> WatchStatus:
        """Return the uses not reported yet. Raises EventStoreError, InterruptedRunError."""
        now = self.clock()
        if not self._more:
            self._cover(now, cancelled)
        arrivals = self.store.arrivals(self._filter, self._anchor, limit=AT_ONCE, cancelled=cancelled)
        self._anchor, self._more = arrivals.reached, arrivals.more
        uses = []
        for stored in arrivals.events:
            event = stored.event
            about = any(map(self.keys.includes, event.key_arns)) or (
                not event.key_arns and event.alias in self.keys.aliases
            )
            if about and event.event_id not in self._told:
                own = made_by(event, self.caller)
                late = self._newest is not None and event.time < self._newest
                uses.append(KeyUse(event, kind_of(event), own=own, late=late))
        uses.sort(key=lambda use: use.event.time)
        for use in uses:
            self._count(use)
        if not self._more:
            self._newest = self._coming
        return WatchStatus(
            at=now,
            uses=tuple(uses),
            more=self._more,
            counts={kind.value: self._counts[kind] for kind in UseKind},
            own=self._counts["own"],
            since=self.since,
            last_use=self._broken,
            covered_until=self._covered,
            regions=self.regions,
            gaps=self._gaps,
        )

    def _count(self, use: KeyUse) -> None:
        self._told[use.event.event_id] = None
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        time = use.event.time
        self._coming = time if self._coming is None else max(self._coming, time)
        self._counts["own" if use.own else use.kind] += 1
        if use.breaks_quiet:
            self._broken = time if self._broken is None else max(self._broken, time)

    def _cover(self, now: datetime, cancelled: Event | None) -> None:
        gaps, covered = [*self.gaps], self._covered
        if self.puller is None:
            reached = self.reaches(self.since, self.places)
            gaps += reached.gaps
            covered = reached.until
        else:
            # From the beginning of its time: nothing that was noted earlier is relied on.
            begin = self.since if self._covered is None else self._covered
            try:
                report = self.puller.pull_events(
                    since=begin, until=now, regions=self.regions, cancelled=cancelled
                )
            except (KmsError, TrailError) as error:
                gaps.append(f"Events could not be fetched: {error}")
            else:
                missing = _missing(report, begin, self.places)
                gaps += missing
                if not missing:
                    covered = max(begin, report.until - LATE)
        skew = timedelta(seconds=self.skew() or 0.0)
        if abs(skew) > MOST_SKEW:
            gaps.append(clocks_differ("This machine's clock", -skew))
        elif covered is not None:
            # Never past what AWS can have delivered by now, but no less than what was covered before.
            latest = min(covered, now + min(skew, timedelta(0)) - LATE)
            self._covered = latest if self.puller is None else max(self._covered or begin, latest)
        self._gaps = tuple(dict.fromkeys(clean(gap, 500) for gap in gaps))


def clocks_differ(clock: str, ahead: timedelta) -> str:
    hours, minutes = divmod(int(abs(ahead).total_seconds() // 60), 60)
    by = f"{hours:,} h {minutes} min" if hours else f"{minutes} min"
    side = "ahead of" if ahead > timedelta(0) else "behind"
    return f"{clock} is {by} {side} AWS's: no quiet is claimed while they differ by more than 5 minutes"


def _missing(report: PullReport, begin: datetime, places: Sequence[AccountRegion]) -> list[str]:
    """What a pull left out of the time from `begin` on. Another account's events say nothing of a key."""
    missing = list(report.gaps)
    missing += [f"Not read: {place}" for place in places if place not in report.places]
    if report.since > begin:
        missing.append(f"Not read: from {begin.isoformat()} to {report.since.isoformat()}")
    return missing


SHORTEST_SECONDS = 5.0
"""Between two looks: LookupEvents answers twice a second, for the whole account."""

Replicas = Callable[[str], Sequence[str]]
"""The ARNs of all replicas of a multi-Region key, its own among them. Raises KmsError."""


@dataclass(frozen=True, slots=True)
class KeyMonitor:
    """Watches keys over the store, and fetches what is new before each look where there is a puller.

    `identity` gives the ARN of who works with Keydeck; it may raise KmsError. `reaches` says how far the
    store is covered; it counts where nothing is pulled. `skew` is how many seconds AWS's clock is ahead of
    `clock`, None where that is not known.
    """

    store: EventStore
    aliases: Aliases = dict
    puller: EventPuller | None = None
    replicas: Replicas | None = None
    identity: Callable[[], str] | None = None
    reaches: Reaches = reached_nothing
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    skew: Callable[[], float | None] = lambda: None

    def aws_now(self) -> datetime:
        """Return the time by AWS's clock, by `clock` where the difference is not known."""
        return self.clock() + timedelta(seconds=self.skew() or 0.0)

    def begin_watch(
        self, keys: Sequence[str], since: datetime, *, pull: bool = True, cancelled: Event | None = None
    ) -> KeyWatch:
        """Watch keys. Raises SettingsError, KeyNotFoundError, EventStoreError, InterruptedRunError."""
        known = known_keys(self.store, cancelled=cancelled)
        arns: dict[str, None] = {}
        gaps = []
        named = named_keys(keys, self.aliases, known)
        for arn in named.arns:
            arns[arn] = None
            if not is_multi_region(arn):
                continue
            try:
                if self.replicas is None:
                    gaps.append(f"The Regions of {arn} are not known: AWS is not asked")
                else:
                    arns |= dict.fromkeys(self.replicas(arn))
            except KmsError as error:
                gaps.append(f"The Regions of {arn} are not known: {error}")
        if not arns:
            gaps.append(f"The Region of {named.name} is not known: name it by its ARN")
        whole = NamedKeys(named.name, named.ids, tuple(arns), named.aliases)
        caller, note = "", ""
        try:
            caller = self.identity() if self.identity is not None else ""
        except KmsError as error:
            note = clean(f"Which uses are Keydeck's own is not known: {error.message}", 300)
        return KeyWatch(
            whole,
            since.replace(microsecond=0),  # as events have it: none of the first second is left out
            store=self.store,
            puller=self.puller if pull else None,
            reaches=self.reaches,
            clock=self.clock,
            skew=self.skew,
            gaps=gaps,
            caller=caller,
            note=note,
        )
