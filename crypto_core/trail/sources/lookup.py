"""Events by CloudTrail's own API, LookupEvents: nothing to set up, but slow, and 90 days at most.

API reference: LookupEvents. Two requests a second for each account and Region, 50 events a page, one
attribute, the newest first, management events only. A page's token demands identical parameters, so the
window is frozen when it begins. Token and window are kept after every page: a pull that was interrupted, or
killed, goes on where it was, unless a window is asked for that it has brought already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from random import Random
from threading import Event, Lock
from time import monotonic
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.keys.posture.pace import CallerPace
from crypto_core.trail.columns import moment, seconds
from crypto_core.trail.event import CLOUDTRAIL, KMS
from crypto_core.trail.sources.pull_query import PullQuery, Rest, event_in, kept_of, settled
from crypto_core.trail.sources.report import PullRun, PullTally
from crypto_core.trail.sources.source_calls import side_by_side, why
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import DeliveryBucket, PullBook, PullScope, TimeWindow, Unfinished
from crypto_core.values.cancellation import stop_if
from crypto_core.values.errors import KmsError, KmsThrottledError, PageTokenError
from crypto_core.values.key_names import AccountRegion

PER_SECOND = 2.0
PAGE = 50
EVENTS_PER_SECOND = 100
DAYS = 90
_PATIENCE = 8
"""Waits in a row before a Region is given up; its place is kept."""
_LONGEST_WAIT = 20.0
_NOTHING = TimeWindow(1, 0)
_SKEW = timedelta(minutes=1)

Attribute = tuple[str, str]
ATTRIBUTES: tuple[Attribute, ...] = (("EventSource", KMS), ("EventSource", CLOUDTRAIL))
"""What is asked for unless the operator says otherwise, each in a run of its own: AWS takes one at a time."""
ATTRIBUTE_NAMES = (
    "AccessKeyId",
    "EventId",
    "EventName",
    "EventSource",
    "ReadOnly",
    "ResourceName",
    "ResourceType",
    "Username",
)


@dataclass(frozen=True, slots=True)
class _Errand:
    """One Region and one attribute, asked for in the caller's account; `bucket` is that of a trail."""

    region: str
    attribute: Attribute
    account: str
    bucket: DeliveryBucket | None = None

    def scope(self, asked: PullQuery) -> PullScope:
        """How the book knows it. The events of KMS are what coverage is about."""
        if self.bucket is not None:
            of_bucket = self.bucket.scope(self.attribute[1], asked.scope)
            return PullScope("lookup", self.region, of_bucket, account=self.account)
        others = "" if self.attribute == ATTRIBUTES[0] else f"{self.attribute[0]}={self.attribute[1]} "
        return PullScope("lookup", self.region, others + asked.scope, account=self.account)


@dataclass(frozen=True, slots=True)
class _WindowPart:
    """A window to fetch, and where in it to go on. `aside` keeps what another pull is to go on with."""

    window: TimeWindow
    state: Unfinished | None = None
    aside: bool = False


@dataclass(frozen=True, slots=True)
class LookupSource:
    """LookupEvents in several Regions at once. Thread-safe: the pace is shared by all who pull."""

    kms: KmsApi
    store: EventStore
    book: PullBook
    clock: Callable[[], datetime]
    per_second: float
    rest: Rest
    _paces: dict[str, CallerPace] = field(default_factory=dict)
    _accounts: dict[int, str] = field(
        default_factory=dict
    )  # by session: another one may be another account's
    _lock: Lock = field(default_factory=Lock)
    _jitter: Random = field(default_factory=Random)  # it spreads waits, and keeps no secret

    def due(self, region: str, asked: PullQuery, attribute: Attribute) -> int | None:
        """Return where an interrupted pull begins, or the last complete one ended; None without any."""
        run = _Errand(region, attribute, self.account()).scope(asked)
        state = self.book.unfinished(run)
        return state.window.since if state else self.book.covered_until(run)

    def pull_events(
        self, pull: PullRun, regions: Iterable[str], attributes: Iterable[Attribute]
    ) -> tuple[AccountRegion, ...]:
        """Fetch the window from all Regions; what one can't give is a gap. Raises KmsError if none can."""
        account = self.account(pull.tally)
        places = tuple(AccountRegion(account, region) for region in dict.fromkeys(regions))
        oldest = self._oldest()
        if pull.asked.since < oldest:
            pull.tally.gap(
                f"LookupEvents goes back {DAYS} days: nothing from before {oldest:%Y-%m-%d %H:%M} UTC. "
                "Read the trail's bucket for it: --from s3."
            )
            if pull.asked.until < oldest:
                return places
            pull = replace(pull, asked=replace(pull.asked, since=oldest))
        errands = [_Errand(place.region, one, account) for place in places for one in attributes]
        errands += [
            _Errand(bucket.region, ("ResourceName", name), account, bucket)
            for bucket in pull.asked.buckets
            for name in bucket.names
        ]
        failures: list[KmsError] = []
        threads = min(8, len(errands) or 1)
        for errand, failure in side_by_side(
            lambda errand: self._region(errand, pull), errands, threads=threads, cancelled=pull.cancelled
        ):
            if failure is not None:
                failures.append(failure)
                pull.tally.gap(f"{errand.region}: {errand.attribute[1]}: {why(failure)}")
        if errands and len(failures) == len(errands):
            raise failures[0]
        return places

    def account(self, tally: PullTally | None = None) -> str:
        """The account whose events LookupEvents gives, "" where AWS doesn't say: then nothing is covered."""
        session = self.kms.session
        if session not in self._accounts:
            try:
                self._accounts[session] = self.kms.identity().account
            except KmsError as error:
                if tally is not None:
                    tally.note(f"Whose events these are is not known: {why(error)}")
                return ""
        return self._accounts[session]

    def _oldest(self) -> datetime:
        return (self.clock() - timedelta(days=DAYS)).replace(microsecond=0) + timedelta(seconds=1)

    def _region(self, errand: _Errand, pull: PullRun) -> KmsError | None:
        try:
            for part in self._parts(errand.scope(pull.asked), pull):
                self._window(errand, pull, part)
        except KmsError as error:
            return error
        return None

    def _parts(self, run: PullScope, pull: PullRun) -> Iterator[_WindowPart]:
        """What is to be fetched: first what an interrupted pull left, then what is newer."""
        wanted, state = pull.asked.window, self.book.unfinished(run)
        if state is None:
            yield _WindowPart(wanted)
            return
        left, whole = state.window, settled(state.window, moment(state.began)).until
        back = f"{moment(state.reached):%Y-%m-%d %H:%M:%S} UTC back"
        if left.since > wanted.since or left.until < wanted.since:
            pull.tally.note(f"{run.region}: an interrupted pull from {back} is given up for another window.")
            yield _WindowPart(wanted)
            return
        aside = state.reached < wanted.since
        words = "is left for later" if aside else "goes on"
        pull.tally.note(f"{run.region}: an interrupted pull {words}, from {back}.")
        # All that is newer than what came last is stored.
        newer = TimeWindow(state.reached + 1, whole)
        self.book.cover(run, newer, seconds(self.clock()), going_on=True)
        if left.since < seconds(self._oldest()):
            # Its token is for a window that AWS no longer takes.
            left, state = TimeWindow(wanted.since, state.reached), None
        if not aside:
            yield _WindowPart(left, state)
        if whole < wanted.until:
            yield _WindowPart(TimeWindow(max(wanted.since, whole), wanted.until), aside=aside)

    def _window(self, errand: _Errand, pull: PullRun, part: _WindowPart) -> None:
        run, tally = errand.scope(pull.asked), pull.tally
        window, state = part.window, part.state
        token, frozen = (state.token, state.window) if state else ("", window)
        reached = state.reached if state else window.until
        begun, began_at = monotonic(), reached
        latest = moment(state.began) if state else self.clock()
        expired_at: int | None = None
        readable = True
        while True:
            try:
                answer = self._page(errand, frozen, token, pull)
            except PageTokenError:
                if not token or expired_at == reached:
                    raise
                expired_at = reached
                # All that is newer than what came last is stored; the rest is a new window.
                tally.note(
                    f"{errand.region}: the page token had expired; the window is fetched again from "
                    f"{moment(reached):%Y-%m-%d %H:%M:%S} UTC back."
                )
                token, frozen = "", TimeWindow(frozen.since, max(reached, frozen.since))
                continue
            latest = min(latest, self._told_time(answer, tally))
            events = answer.get("Events")
            texts = map(_text, events if isinstance(events, list) else ())
            read = kept_of(map(event_in, texts), pull.asked.wants)
            stop_if(pull.cancelled)
            added = self.store.add(read.kept)
            if read.unreadable:
                readable = False
                tally.gap(f"{errand.region}: {read.unreadable} events of a page can't be read.")
            strangers = {e.account for e in read.kept if e.account} - {errand.account}
            if errand.account and strangers:
                readable = False
                tally.gap(f"{errand.region}: events of account {min(strangers)} came, not {errand.account}.")
            reached = min([reached, *_seconds(events, frozen)])
            following = answer.get("NextToken")
            token = following if isinstance(following, str) else ""
            if token and not part.aside:
                self.book.save(run, Unfinished(frozen, token, reached, seconds(latest)))
            tally.count(
                errand.region,
                pages=1,
                records=read.records,
                added=added,
                reached=moment(reached),
                seconds_left=_left(monotonic() - begun, began_at - reached, reached - frozen.since),
            )
            if not token:
                sure = readable and (errand.bucket is None or errand.bucket.located)
                whole = settled(window, latest) if sure else _NOTHING
                self.book.cover(run, whole, seconds(self.clock()), going_on=part.aside)
                return

    def _page(self, errand: _Errand, window: TimeWindow, token: str, pull: PullRun) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "LookupAttributes": [
                {"AttributeKey": errand.attribute[0], "AttributeValue": errand.attribute[1]}
            ],
            "StartTime": moment(window.since),
            "EndTime": moment(window.until),
            "MaxResults": PAGE,
        } | ({"NextToken": token} if token else {})
        for attempt in range(_PATIENCE + 1):
            self._pace(errand.region).wait(pull.cancelled)
            try:
                return self.kms.read("cloudtrail", "LookupEvents", region=errand.region, **parameters)
            except KmsError as error:
                if isinstance(error, KmsThrottledError):
                    pull.tally.throttled(errand.region)
                if not error.transient or attempt == _PATIENCE:
                    raise
            wait = min(_LONGEST_WAIT, 0.5 * 2**attempt) * (0.5 + self._jitter.random() / 2)
            self.rest(pull.cancelled or Event(), wait)
            stop_if(pull.cancelled)
        raise AssertionError("unreachable")

    def _pace(self, region: str) -> CallerPace:
        with self._lock:
            if region not in self._paces:
                self._paces[region] = CallerPace(self.per_second, rest=self.rest)
            return self._paces[region]

    def _told_time(self, answer: Mapping[str, Any], tally: PullTally) -> datetime:
        """The time by AWS's clock, as far as it tells: up to then events can have happened."""
        here = self.clock()
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        try:
            there = parsedate_to_datetime(str(headers["date"])).astimezone(UTC)
        except (KeyError, ValueError, TypeError):
            return here
        if abs(there - here) > _SKEW:
            tally.note(
                f"This machine's clock is {abs(there - here).total_seconds() / 60:,.0f} minutes "
                f"{'ahead of' if here > there else 'behind'} AWS's: check it before you compare times."
            )
        return there


def _text(event: object) -> object:
    return event.get("CloudTrailEvent") if isinstance(event, Mapping) else None


def _seconds(events: object, window: TimeWindow) -> Iterator[int]:
    """When events happened; pages come the newest first, so the last of them tells how far it is."""
    for event in events if isinstance(events, list) else ():
        at = event.get("EventTime") if isinstance(event, Mapping) else None
        if isinstance(at, datetime):
            yield max(window.since, seconds(at if at.tzinfo else at.replace(tzinfo=UTC)))


def _left(passed: float, done: int, remaining: int) -> float | None:
    return passed * remaining / done if done > 0 and remaining >= 0 else None
