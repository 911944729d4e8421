"""Fetches events into the store, from every source that AWS has; a pull is planned first, with its cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Protocol

from crypto_core.aws.kms import KmsApi
from crypto_core.guard.consent import Consent, Danger, require
from crypto_core.keys.posture.trails import describe_trails
from crypto_core.trail.columns import moment, seconds
from crypto_core.trail.query import Aliases
from crypto_core.trail.sources.bucket.digests import DigestValidator, Validation
from crypto_core.trail.sources.bucket.places import TrailBucket, is_address, place_at, places_of_trails
from crypto_core.trail.sources.bucket.s3 import BucketSource
from crypto_core.trail.sources.lookup import (
    ATTRIBUTE_NAMES,
    ATTRIBUTES,
    DAYS,
    EVENTS_PER_SECOND,
    PER_SECOND,
    Attribute,
    LookupSource,
)
from crypto_core.trail.sources.plan import PullPlan
from crypto_core.trail.sources.pull_query import PullQuery, Rest, asked
from crypto_core.trail.sources.report import Progress, PullReport, PullRun, PullTally, ReceiptReport
from crypto_core.trail.sources.source_calls import why
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.own_callers import note_caller
from crypto_core.trail.store.pulls import DeliveryBucket, PullBook
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KmsError, SettingsError
from crypto_core.values.key_names import AccountRegion

_NOT_NAMED = {"": "us-east-1", "EU": "eu-west-1"}


@dataclass(frozen=True, slots=True)
class DeliveryBuckets:
    known: tuple[DeliveryBucket, ...] = ()
    gaps: tuple[str, ...] = ()


def find_buckets(
    kms: KmsApi, book: PullBook, regions: Iterable[str], account: str, cancelled: Event | None
) -> DeliveryBuckets:
    """Return the buckets of the trails that cover these Regions, and those that are followed already.

    A bucket that a trail delivered to is followed when the trail is gone: its files are still evidence.
    `account` is the caller's, "" if that isn't known. Raises InterruptedRunError, EventStoreError. API
    reference: DescribeTrails, GetBucketLocation.
    """
    before = {bucket.name: bucket for bucket, windows in book.followed().items() if any(windows.values())}
    described = describe_trails(kms, regions, cancelled=cancelled)
    gaps = [
        f"{region}: which buckets trails deliver to: {why(error)}"
        for region, error in described.failures.items()
    ]
    found = dict(before)
    homes = {
        str(raw["S3BucketName"]): str(raw.get("HomeRegion") or min(covered))
        for raw, covered in described.trails.values()
        if raw.get("S3BucketName")
    }
    for name, home in homes.items():
        stop_if(cancelled)
        try:
            found[name] = DeliveryBucket(name, _region_of(kms, name, home, account), account)
        except KmsError as error:
            if name in before:
                continue
            found[name] = DeliveryBucket(name, home, account, located=False)
            gaps.append(
                f"Changes of the trail's bucket {clean(name, 63)} are looked for in {clean(home, 40)} alone: "
                f"where and whose it is, is not known: {why(error)}"
            )
    return DeliveryBuckets(tuple(found.values()), tuple(gaps))


def _region_of(kms: KmsApi, name: str, home: str, account: str) -> str:
    """The Region of a bucket of the account's. Raises KmsError, also for a bucket of another account."""
    owner = {"ExpectedBucketOwner": account} if account else {}
    answer = kms.read("s3", "GetBucketLocation", region=home, Bucket=name, **owner)
    region = clean(answer.get("LocationConstraint"), 40)
    return _NOT_NAMED.get(region, region)


ReceiptIntake = Callable[[Event | None], ReceiptReport]
"""Takes new receipts into the store. Raises EventStoreError, InterruptedRunError."""


class EngineSource(Protocol):
    """A query engine as a source of events. What a query may cost is limited, and said before it runs."""

    def covered_until(self, scope: str) -> int | None: ...

    def plan_query(
        self, asked: PullQuery, regions: tuple[str, ...], *, most: int | None, cancelled: Event | None
    ) -> PullPlan: ...

    def pull_events(self, plan: PullPlan, pull: PullRun) -> tuple[str, ...]: ...


EngineMaker = Callable[[KmsApi, EventStore, PullBook, Callable[[], datetime], Rest], EngineSource]
BEGINNING = datetime(2013, 11, 1, tzinfo=UTC)
"""Nothing is older: CloudTrail began that month."""
FIRST_WINDOW = timedelta(hours=24)
_LONG = timedelta(days=2)


class EventPuller:
    """Thread-safe; blocks. Raises KmsError, EventStoreError, InvalidFilterError, SettingsError."""

    def __init__(
        self,
        kms: KmsApi,
        store: EventStore,
        *,
        regions: Callable[[], Sequence[str]],
        aliases: Aliases = dict,
        engines: Mapping[str, EngineMaker] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        rest: Rest = Event.wait,
        per_second: float = PER_SECOND,
        receipts: ReceiptIntake | None = None,
    ) -> None:
        """`regions` gives those in which the operator has keys, the default first.

        `receipts` takes new receipts into the same store, after each pull; `engines` are further sources.
        `rest` waits between two questions; `per_second` is LookupEvents' quota in a Region.
        """
        self._kms = kms
        self._regions = regions
        self._aliases = aliases
        self._clock = clock
        self._file = store.file
        self._receipts = receipts
        self._book = book = PullBook(store.file)
        self._lookup = LookupSource(kms, store, book, clock, per_second, rest)
        self._bucket = BucketSource(kms, store, book, clock)
        self._engines = {name: make(kms, store, book, clock, rest) for name, make in (engines or {}).items()}

    def plan_pull(
        self,
        source: str = "lookup",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        expression: str = "",
        regions: Iterable[str] = (),
        attribute: Attribute | None = None,
        max_bytes: int | None = None,
        cancelled: Event | None = None,
    ) -> PullPlan:
        """Return what would be fetched. `source` is lookup, s3, s3://bucket/prefix or an engine.

        Without `since` it is where the last complete pull of this kind ended, or where an interrupted one
        begins, else 24 hours ago. `attribute` is one of LookupEvents', such as ("EventName", "Decrypt").
        `max_bytes` limits what a query may scan.
        """
        now = self._clock()
        if attribute is not None and attribute[0] not in ATTRIBUTE_NAMES:
            raise SettingsError(
                f"LookupEvents knows no attribute {clean(attribute[0], 60)!r}.",
                remedy=f"Attributes: {', '.join(ATTRIBUTE_NAMES)}.",
            )
        place = place_at(source, self._regions()[0]) if is_address(source) else None
        kind = "s3" if place else source
        sources = ("lookup", "s3", *self._engines)
        if kind not in sources:
            raise SettingsError(
                f"There is no source {clean(source, 60)!r}.",
                remedy=f"Sources: {', '.join(sources)}, s3://bucket/prefix.",
            )
        if attribute is not None and kind != "lookup":
            raise SettingsError(f"Only LookupEvents takes an attribute, not {kind}.", remedy="Use a filter.")
        if max_bytes is not None and kind not in self._engines:
            raise SettingsError(f"Only a query is limited by what it scans, not {kind}.")
        only = tuple(dict.fromkeys(regions))
        if kind == "lookup" and not only:
            only = tuple(dict.fromkeys(self._regions()))
        attributes = (attribute,) if attribute else ATTRIBUTES
        if since is None:
            anything = asked(now, now, expression, aliases=self._aliases, now=now)
            due = self._due(kind, only or tuple(self._regions()), anything, place, attributes)
            first = now - FIRST_WINDOW
            since = min((first if at is None else moment(at) for at in due), default=first)
        since, until = max(since, BEGINNING), min(until or now, now)
        if since > until:
            raise SettingsError("The window ends before it begins.", remedy="Give --since before --until.")
        buckets = DeliveryBuckets() if attribute else self._buckets(only, cancelled)
        wanted = asked(since, until, expression, aliases=self._aliases, now=now).about(buckets.known)
        if kind in self._engines:
            plan = self._engines[kind].plan_query(wanted, only, most=max_bytes, cancelled=cancelled)
            return replace(plan, gaps=buckets.gaps)
        return PullPlan(
            kind,
            wanted,
            only,
            place=place,
            attributes=attributes,
            remarks=tuple(_remarks(wanted, now)) if kind == "lookup" else (),
            gaps=buckets.gaps,
        )

    def run_pull(
        self,
        plan: PullPlan,
        consent: Consent | None = None,
        *,
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> PullReport:
        """Fetch what the plan says; what came is kept if cancelled. Raises NotConfirmedError."""
        if plan.danger is not Danger.NONE:
            require(consent, plan)
        pull = PullRun(plan.asked, PullTally(plan.source, progress), cancelled)
        for gap in plan.gaps:
            pull.tally.gap(gap)
        self._book.follow(plan.asked.buckets, seconds(self._clock()))
        self._note_caller()
        if plan.source == "lookup":
            places = self._lookup.pull_events(pull, plan.regions, plan.attributes)
        elif plan.source == "s3":
            places = self._pull_buckets(plan, pull)
        else:
            read = self._engines[plan.source].pull_events(plan, pull)
            places = tuple(AccountRegion("", region) for region in read)
        taken = self._receipts(cancelled) if self._receipts is not None else None
        for gap in taken.gaps if taken is not None else ():
            pull.tally.gap(gap)
        return replace(pull.tally.report(places, plan.asked.since, plan.asked.until), receipts=taken)

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
        plan = self.plan_pull(
            source, since=since, until=until, expression=expression, regions=regions, cancelled=cancelled
        )
        return self.run_pull(plan, progress=progress, cancelled=cancelled)

    def _note_caller(self) -> None:
        """Whose calls with Keydeck's user agent are its own; unknown, they are shown like any other."""
        with suppress(KmsError):
            note_caller(self._file, self._kms.identity().arn)

    def validate(self, plan: PullPlan, *, cancelled: Event | None = None) -> Validation:
        """Return whether the files of a plan's window are as CloudTrail delivered them. Changes nothing."""
        result, only, now = Validation(), frozenset(plan.regions), self._clock()
        places = self._places(plan, PullRun(plan.asked, PullTally(plan.source), cancelled))
        if not places:
            return result.but("There is no bucket whose files could be validated.")
        for place in places:
            try:
                result += DigestValidator(self._kms, plan.asked, place, only, now, cancelled).validate()
            except KmsError as error:
                result = result.but(f"{place}: {why(error)}")
        return result

    def _buckets(self, only: Sequence[str], cancelled: Event | None) -> DeliveryBuckets:
        regions = dict.fromkeys((*self._regions(), *only))
        return find_buckets(self._kms, self._book, regions, self._lookup.account(), cancelled)

    def _places(self, plan: PullPlan, pull: PullRun) -> Sequence[TrailBucket]:
        if plan.place:
            return (plan.place,)
        regions = dict.fromkeys((*self._regions(), *plan.regions))
        places = places_of_trails(self._kms, regions, pull)
        if not places:
            pull.tally.gap("No trail delivers to a bucket here. Name one: --from s3://bucket/prefix.")
        return places

    def _pull_buckets(self, plan: PullPlan, pull: PullRun) -> tuple[AccountRegion, ...]:
        """Read every bucket that can be read; what another one holds back is a gap."""
        found: dict[AccountRegion, None] = {}
        places, failures = self._places(plan, pull), []
        for place in places:
            try:
                read = self._bucket.pull_events(pull, place, plan.regions)
            except KmsError as error:
                failures.append(error)
                pull.tally.gap(f"{place}: {why(error)}")
            else:
                found |= dict.fromkeys(read)
        if failures and len(failures) == len(places):
            raise failures[0]
        there = {place.region for place in found}
        for region in plan.regions:
            if region not in there:
                pull.tally.gap(f"{region}: no bucket has a folder of this Region.")
        return tuple(found)

    def _due(
        self,
        kind: str,
        regions: Sequence[str],
        asked: PullQuery,
        place: TrailBucket | None,
        attributes: Sequence[Attribute],
    ) -> list[int | None]:
        """From when on each Region's events are still to be fetched; None for one of which none ever were."""
        if kind == "lookup":
            return [self._lookup.due(region, asked, one) for region in regions for one in attributes]
        if kind == "s3":
            where = str(place) if place else None
            return [self._bucket.covered_until(region, asked.scope, where) for region in regions]
        return [self._engines[kind].covered_until(asked.scope)]


def _remarks(wanted: PullQuery, now: datetime) -> Iterable[str]:
    if wanted.until - wanted.since > _LONG:
        yield (
            f"LookupEvents gives about {EVENTS_PER_SECOND} events a second and Region at best: 100,000 take "
            f"{100_000 / EVENTS_PER_SECOND / 60:.0f} minutes, 1,000,000 "
            f"{1_000_000 / EVENTS_PER_SECOND / 3_600:.1f} hours. The trail's bucket is quicker: --from s3."
        )
    if now - wanted.since > timedelta(days=DAYS):
        yield f"LookupEvents goes back {DAYS} days."
