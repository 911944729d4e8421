"""The watch over an old key: each use once, whatever its date; quiet only where it is proven."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from crypto_core.trail.event import TrailEvent
from crypto_core.trail.key_watch import KeyMonitor, UseKind
from crypto_core.trail.sources.pull_query import LATE
from crypto_core.trail.sources.report import PullReport
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.reach import Reached
from crypto_core.values.errors import InterruptedRunError, KeyNotFoundError, KmsThrottledError
from crypto_core.values.key_names import AccountRegion
from tests.crypto_core.trail.records import (
    ACCOUNT,
    KEY,
    NOW,
    OTHER_KEY,
    REGION,
    denied,
    event,
    read,
    role,
    user,
)

REPLICATED = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/mrk-1234abcd12ab34cd56ef1234567890ab"
REPLICA = REPLICATED.replace("eu-west-1", "us-east-1")
OWN = "Boto3/1.40.0 md/Botocore#1.40.0 app/keydeck"
CALLER = f"arn:aws:sts::{ACCOUNT}:assumed-role/oncall/ana"


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Trail:
    """What CloudTrail would deliver: events come when a test says so. It is a puller."""

    store: EventStore
    clock: Clock
    waiting: list[TrailEvent] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    gaps: tuple[str, ...] = ()
    regions: tuple[str, ...] | None = None
    account: str = ACCOUNT
    error: Exception | None = None

    def pull_events(self, **asked: Any) -> PullReport:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error
        self.store.add(self.waiting)
        self.waiting = []
        regions = self.regions if self.regions is not None else asked["regions"]
        places = tuple(AccountRegion(self.account, region) for region in regions)
        return PullReport("lookup", places, asked["since"], asked["until"], gaps=self.gaps)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trail(store: EventStore, clock: Clock) -> Trail:
    return Trail(store, clock)


Make = Callable[..., KeyMonitor]


@pytest.fixture
def monitor(store: EventStore, clock: Clock, trail: Trail) -> KeyMonitor:
    return KeyMonitor(
        store,
        aliases=lambda: {KEY: ("alias/old",)},
        puller=trail,
        replicas=lambda arn: (REPLICATED, REPLICA),
        identity=lambda: CALLER,
        clock=clock,
    )


def ids(uses: Sequence[Any]) -> list[str]:
    return [use.event.event_id for use in uses]


def test_each_use_is_told_once_also_one_that_comes_late_and_is_dated_earlier(
    monitor: KeyMonitor, trail: Trail, clock: Clock
) -> None:
    watch = monitor.begin_watch([KEY], NOW - timedelta(hours=1))
    first, late = event(ago=60), event(ago=1_200)
    trail.waiting = [first, event(ago=5, key=OTHER_KEY)]
    assert ids(watch.look_for_uses().uses) == [first.event_id]
    trail.waiting = [late, first, first]
    clock.now += timedelta(minutes=1)
    again = watch.look_for_uses()
    assert ids(again.uses) == [late.event_id]
    assert again.uses[0].late
    clock.now += timedelta(minutes=1)
    assert watch.look_for_uses().uses == ()
    assert again.counts["use"] == 2
    assert again.last_use == first.time


def test_what_was_before_the_time_asked_for_is_not_told(monitor: KeyMonitor, trail: Trail) -> None:
    trail.waiting = [event(ago=3_700), event(ago=3_500)]
    assert len(monitor.begin_watch([KEY], NOW - timedelta(hours=1)).look_for_uses().uses) == 1


def test_kinds_are_told_apart_and_reads_are_no_use(monitor: KeyMonitor, trail: Trail) -> None:
    failed = event(errorCode="DisabledException", errorMessage=f"{KEY} is disabled.")
    changed = event("PutKeyPolicy", readOnly=False)
    trail.waiting = [
        event(),
        read(denied()),
        failed,
        changed,
        event("DescribeKey"),
        event("GetKeyPolicy"),
        event("ListGrants"),
    ]
    look = monitor.begin_watch([KEY], NOW - timedelta(hours=1)).look_for_uses()
    assert [use.kind for use in look.uses] == [UseKind.USE, UseKind.DENIED, UseKind.FAILED, UseKind.CHANGE]


def test_a_key_is_watched_by_alias_id_and_arn(monitor: KeyMonitor, trail: Trail) -> None:
    use = event()
    trail.waiting = [use]
    for name in ("alias/old", KEY.rsplit("/", 1)[-1], KEY):
        assert ids(monitor.begin_watch([name], NOW - timedelta(hours=1)).look_for_uses().uses) == [
            use.event_id
        ]
    with pytest.raises(KeyNotFoundError):
        monitor.begin_watch(["alias/unheard-of"], NOW)


def test_an_attempt_that_names_the_alias_alone_is_told(monitor: KeyMonitor, trail: Trail) -> None:
    attempt = event(
        key=None,
        requestParameters={"keyId": "alias/old"},
        errorCode="NotFoundException",
        additionalEventData=None,
    )
    trail.waiting = [attempt]
    assert ids(monitor.begin_watch([KEY], NOW - timedelta(hours=1)).look_for_uses().uses) == [
        attempt.event_id
    ]


def test_all_replicas_are_watched_and_their_regions_asked_for(monitor: KeyMonitor, trail: Trail) -> None:
    there = event(key=REPLICA, awsRegion="us-east-1")
    trail.waiting = [there]
    look = monitor.begin_watch([REPLICATED], NOW - timedelta(hours=1)).look_for_uses()
    assert ids(look.uses) == [there.event_id]
    assert trail.asked[0]["regions"] == ("eu-west-1", "us-east-1")


def test_quiet_is_claimed_after_the_period_and_the_delay_of_delivery(
    monitor: KeyMonitor, clock: Clock
) -> None:
    watch = monitor.begin_watch([KEY], NOW)
    hour = timedelta(hours=1)
    assert not watch.look_for_uses().is_quiet(hour)
    clock.now = NOW + hour
    look = watch.look_for_uses()
    assert look.quiet_for == hour - LATE
    assert not look.is_quiet(hour)
    clock.now = NOW + hour + LATE
    look = watch.look_for_uses()
    assert look.covered_until == NOW + hour
    assert look.is_quiet(hour)


@pytest.mark.parametrize(("hours", "words"), [(48, "48 h 0 min ahead of"), (-3, "3 h 0 min behind")])
def test_where_clocks_differ_no_quiet_is_claimed_and_nothing_past_awss_time(
    monitor: KeyMonitor, clock: Clock, hours: int, words: str
) -> None:
    """`clock` is this machine's, and so many hours ahead of AWS's."""
    wrong = replace(monitor, skew=lambda: -hours * 3_600.0)
    watch = wrong.begin_watch([KEY], NOW - timedelta(hours=2))
    look = watch.look_for_uses()
    assert f"This machine's clock is {words} AWS's: no quiet is claimed" in look.gaps[0]
    assert look.covered_until is None
    assert not look.is_quiet(timedelta(minutes=1))
    assert wrong.aws_now() == NOW - timedelta(hours=hours)


def test_a_clock_that_is_a_little_ahead_proves_quiet_by_awss(monitor: KeyMonitor, clock: Clock) -> None:
    watch = replace(monitor, skew=lambda: -240.0).begin_watch([KEY], NOW)
    clock.now = NOW + timedelta(hours=1) + LATE
    look = watch.look_for_uses()
    assert look.covered_until == NOW + timedelta(minutes=56)
    assert not look.is_quiet(timedelta(hours=1))
    clock.now += timedelta(minutes=4)
    assert watch.look_for_uses().is_quiet(timedelta(hours=1))


def test_a_use_that_comes_late_takes_the_quiet_back(monitor: KeyMonitor, trail: Trail, clock: Clock) -> None:
    watch = monitor.begin_watch([KEY], NOW)
    clock.now = NOW + timedelta(hours=2)
    assert watch.look_for_uses().is_quiet(timedelta(hours=1))
    trail.waiting = [event(ago=-3_600)]
    clock.now += timedelta(minutes=1)
    look = watch.look_for_uses()
    assert look.quiet_since == NOW + timedelta(hours=1)
    assert not look.is_quiet(timedelta(hours=1))


def test_a_region_that_is_not_read_leaves_quiet_unclaimed(
    monitor: KeyMonitor, trail: Trail, clock: Clock
) -> None:
    trail.regions = ("eu-west-1",)
    watch = monitor.begin_watch([REPLICATED], NOW)
    clock.now = NOW + timedelta(days=1)
    look = watch.look_for_uses()
    assert look.gaps == (f"Not read: {ACCOUNT} us-east-1",)
    assert not look.is_quiet(timedelta(hours=1))
    trail.regions = None
    clock.now += timedelta(minutes=1)
    assert watch.look_for_uses().is_quiet(timedelta(hours=1))
    assert trail.asked[-1]["since"] == NOW  # what was not covered is asked for again


def test_a_gap_of_the_source_leaves_quiet_unclaimed(monitor: KeyMonitor, trail: Trail, clock: Clock) -> None:
    trail.gaps = ("LookupEvents was throttled",)
    watch = monitor.begin_watch([KEY], NOW)
    clock.now = NOW + timedelta(days=1)
    assert not watch.look_for_uses().is_quiet(timedelta(hours=1))


def test_a_fetch_that_fails_is_a_gap_and_the_store_is_told_all_the_same(
    monitor: KeyMonitor, trail: Trail, store: EventStore, clock: Clock
) -> None:
    trail.error = KmsThrottledError("Rate exceeded", operation="LookupEvents")
    store.add([event(ago=-60)])
    watch = monitor.begin_watch([KEY], NOW)
    clock.now = NOW + timedelta(hours=3)
    look = watch.look_for_uses()
    assert len(look.uses) == 1
    assert "could not be fetched" in look.gaps[0]
    assert look.quiet_for == timedelta(0)
    trail.error = None
    clock.now += timedelta(minutes=1)
    assert watch.look_for_uses().is_quiet(timedelta(hours=1))


def test_what_is_fetched_begins_with_the_time_asked_about_whatever_earlier_pulls_covered(
    monitor: KeyMonitor, trail: Trail
) -> None:
    covered = replace(monitor, reaches=lambda _since, _regions: Reached(NOW))
    covered.begin_watch([KEY], NOW - timedelta(hours=2)).look_for_uses()
    assert [asked["since"] for asked in trail.asked] == [NOW - timedelta(hours=2)]


def test_what_was_fetched_from_another_account_is_no_quiet(
    monitor: KeyMonitor, trail: Trail, clock: Clock
) -> None:
    trail.account = "999988887777"
    clock.now = NOW + timedelta(hours=3)
    look = monitor.begin_watch([KEY], NOW).look_for_uses()
    assert look.gaps == (f"Not read: {ACCOUNT} {REGION}",)
    assert not look.is_quiet(timedelta(hours=1))
    trail.account = ACCOUNT
    assert monitor.begin_watch([KEY], NOW).look_for_uses().is_quiet(timedelta(hours=1))


def test_without_a_puller_the_recorded_coverage_decides(store: EventStore, clock: Clock) -> None:
    clock.now = NOW + timedelta(hours=3)
    unknown = KeyMonitor(store, clock=clock).begin_watch([KEY], NOW).look_for_uses()
    assert not unknown.is_quiet(timedelta(hours=1))
    assert "not recorded" in unknown.gaps[0]
    known = KeyMonitor(store, clock=clock, reaches=lambda _since, _regions: Reached(clock.now))
    assert known.begin_watch([KEY], NOW).look_for_uses().is_quiet(timedelta(hours=1))


def test_a_store_that_is_behind_proves_quiet_only_as_far_as_it_reaches(
    store: EventStore, clock: Clock
) -> None:
    clock.now = NOW + timedelta(hours=9)
    monitor = KeyMonitor(store, clock=clock, reaches=lambda since, _: Reached(since + timedelta(hours=1)))
    look = monitor.begin_watch([KEY], NOW).look_for_uses()
    assert look.covered_until == NOW + timedelta(hours=1)
    assert look.is_quiet(timedelta(hours=1))
    assert not look.is_quiet(timedelta(hours=2))


def test_replicas_that_cannot_be_asked_for_leave_quiet_unclaimed(store: EventStore, clock: Clock) -> None:
    clock.now = NOW + timedelta(hours=3)
    monitor = KeyMonitor(store, clock=clock, reaches=lambda _since, _regions: Reached(clock.now))
    look = monitor.begin_watch([REPLICATED], NOW).look_for_uses()
    assert not look.is_quiet(timedelta(hours=1))
    assert "Regions" in look.gaps[0]


def test_keydecks_own_uses_are_told_apart_and_break_no_quiet(
    monitor: KeyMonitor, trail: Trail, clock: Clock
) -> None:
    trail.waiting = [event(ago=-60, who=role("oncall", "ana"), userAgent=OWN)]
    watch = monitor.begin_watch([KEY], NOW)
    clock.now = NOW + timedelta(hours=2)
    look = watch.look_for_uses()
    assert [use.own for use in look.uses] == [True]
    assert look.own == 1
    assert look.is_quiet(timedelta(hours=1))


@pytest.mark.parametrize(
    ("who", "agent"),
    [
        (user(), OWN),
        (role("oncall", "ben"), OWN),
        (role("oncall", "ana"), "Boto3/1.40.0 not-app/keydeck"),
        (role("oncall2", "ana"), OWN),
    ],
)
def test_who_only_calls_itself_keydeck_breaks_the_quiet(
    monitor: KeyMonitor, trail: Trail, clock: Clock, who: Any, agent: str
) -> None:
    trail.waiting = [event(ago=-60, who=who, userAgent=agent)]
    watch = monitor.begin_watch([KEY], NOW)
    clock.now = NOW + timedelta(minutes=90)
    look = watch.look_for_uses()
    assert not look.uses[0].own
    assert look.used
    assert look.quiet_since == NOW + timedelta(seconds=60)


def test_denied_attempts_break_no_quiet_failed_ones_do(monitor: KeyMonitor, trail: Trail) -> None:
    trail.waiting = [read(denied())]
    watch = monitor.begin_watch([KEY], NOW - timedelta(hours=1))
    assert not watch.look_for_uses().used
    trail.waiting = [event(errorCode="DisabledException", errorMessage=f"{KEY} is disabled.")]
    assert watch.look_for_uses().used


def test_many_uses_come_in_portions_without_a_fetch_between(monitor: KeyMonitor, trail: Trail) -> None:
    trail.waiting = [event(ago=n) for n in range(1_200)]
    watch = monitor.begin_watch([KEY], NOW - timedelta(hours=1))
    looks = [watch.look_for_uses()]
    while looks[-1].more:
        assert not looks[-1].is_quiet(timedelta(0))
        looks.append(watch.look_for_uses())
    assert len({use for look in looks for use in ids(look.uses)}) == 1_200
    assert len(trail.asked) == 1
    assert not any(use.late for look in looks for use in look.uses)


def test_nothing_is_told_twice_after_a_vacuum(monitor: KeyMonitor, trail: Trail, store: EventStore) -> None:
    watch = monitor.begin_watch([KEY], NOW - timedelta(days=600))
    kept, old = event(ago=10), event(ago=timedelta(days=500))
    trail.waiting = [kept, old]
    assert len(watch.look_for_uses().uses) == 2
    store.forget_before(400)
    again = event(ago=5)
    trail.waiting = [again]
    assert ids(watch.look_for_uses().uses) == [again.event_id]


def test_the_watch_looks_until_it_is_cancelled(monitor: KeyMonitor, trail: Trail) -> None:
    cancelled = threading.Event()
    watch = monitor.begin_watch([KEY], NOW - timedelta(hours=1), cancelled=cancelled)
    trail.waiting = [event()]
    assert len(watch.look_for_uses(cancelled=cancelled).uses) == 1
    cancelled.set()
    with pytest.raises(InterruptedRunError):
        watch.look_for_uses(cancelled=cancelled)


def test_region_of_the_records_is_what_is_watched(monitor: KeyMonitor) -> None:
    assert monitor.begin_watch([KEY], NOW).regions == (REGION,)
