"""LookupEvents: what comes, what comes next time, and what happens when it is interrupted or refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from console.sandbox.endpoint import ONCALL, PLATFORM, EndpointProcess, Fault, PastCall
from crypto_core.errors import (
    InterruptedRunError,
    KmsAccessDeniedError,
    KmsThrottledError,
    KmsUnreachableError,
    PageTokenError,
    SettingsError,
)
from crypto_core.trail.coverage_record import CoverageRecord
from crypto_core.trail.sources.report import PullProgress
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.conditions import seconds
from crypto_core.trail.store.pulls import PullBook, Run, Unfinished, Window
from tests.crypto_core.trail.sources.amazon import HERE, THERE, Clock, Rests, WatchedAws, denying, puller

BOTH = (HERE, THERE)


@pytest.fixture(scope="module")
def keys(endpoint: EndpointProcess) -> dict[str, str]:
    """A key in each Region."""
    import boto3

    return {
        region: boto3.client(
            "kms",
            endpoint_url=endpoint.url,
            region_name=region,
            aws_access_key_id=PLATFORM,
            aws_secret_access_key="unchecked",
        ).create_key()["KeyMetadata"]["Arn"]
        for region in BOTH
    }


@pytest.fixture
def happened(endpoint: EndpointProcess, keys: dict[str, str]) -> Callable[..., datetime]:
    """Let calls happen, a minute apart; returns when the first one did. No two tests share a day."""
    days = iter(range(_DAYS[0], 90, 2))

    def past(count: int, region: str = HERE, at: datetime | None = None, **more: Any) -> datetime:
        first = at or (datetime.now(UTC) - timedelta(days=next(days))).replace(microsecond=0)
        _DAYS[0] += 2
        calls = [
            PastCall(first + timedelta(minutes=n), PLATFORM, "Decrypt", keys[region], region=region, **more)
            for n in range(count)
        ]
        endpoint.control.history(calls)
        return first

    return past


_DAYS = [3]


def day_of(first: datetime) -> dict[str, datetime]:
    """The window of a day, and a little more, around what happened."""
    return {"since": first - timedelta(minutes=5), "until": first + timedelta(hours=23)}


def window_of(first: datetime) -> Window:
    day = day_of(first)
    return Window(seconds(day["since"]), seconds(day["until"]))


def pages(aws: WatchedAws, source: str = "kms.amazonaws.com", region: str = HERE) -> list[dict[str, Any]]:
    """The parameters of the pages that were asked for."""
    return [
        p for p in aws.named("LookupEvents", region) if p["LookupAttributes"][0]["AttributeValue"] == source
    ]


def stopping_after(count: int, cancelled: Event) -> Callable[[PullProgress], None]:
    def told(progress: PullProgress) -> None:
        if progress.pages >= count:
            cancelled.set()

    return told


def test_all_pages_of_all_regions_are_fetched_and_the_window_is_covered(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(120)
    happened(60, THERE, at=first)
    told: list[PullProgress] = []
    pull = puller(aws, store, clock, regions=BOTH)
    report = pull.run(pull.plan(**day_of(first)), progress=told.append)
    assert (report.records, report.new, report.kms, report.duplicates) == (180, 180, 180, 0)
    assert report.pages == 3 + 2 + 2  # and one each of CloudTrail's own, where nothing is
    assert (report.source, report.regions, report.throttled) == ("lookup", BOTH, 0)
    assert report.coverage.complete, report.gaps
    assert CoverageRecord(store, lambda: BOTH, clock=clock).coverage_of(**day_of(first)).complete
    assert told[-1].records == 180
    assert told[-1].new == 180
    assert {p.where for p in told} == set(BOTH)
    assert all(p.reached is not None and p.reached >= day_of(first)["since"] for p in told)


def test_every_question_keeps_to_what_lookup_events_allows(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(120)
    puller(aws, store, clock).pull(**day_of(first))
    asked = pages(aws)
    assert len(asked) == 3
    assert all(len(p["LookupAttributes"]) == 1 and p["MaxResults"] == 50 for p in asked)
    # A token demands the very same parameters.
    assert len({(p["StartTime"], p["EndTime"]) for p in asked}) == 1
    assert [("NextToken" in p) for p in asked] == [False, True, True]


def test_what_cloudtrail_itself_did_is_fetched_too(
    aws: WatchedAws, store: EventStore, clock: Clock, endpoint: EndpointProcess, happened: Callable[..., Any]
) -> None:
    first = happened(1)
    endpoint.control.history(
        [
            PastCall(first, ONCALL, "StopLogging", service="cloudtrail", parameters={"name": "t"}),
            PastCall(first, ONCALL, "CreateBucket", service="s3"),
        ]
    )
    report = puller(aws, store, clock).pull(**day_of(first))
    assert (report.new, report.kms) == (2, 1)
    assert [v.text for v in store.pivot("name", "source:cloudtrail").values] == ["StopLogging"]


def test_the_next_pull_begins_where_the_last_one_ended_and_brings_what_is_new(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(70)
    since = first - timedelta(minutes=5)
    until = first + timedelta(hours=5)
    puller(aws, store, clock).pull(since=since, until=until)
    happened(3, at=first + timedelta(hours=6))
    pull = puller(aws, store, clock)
    plan = pull.plan(until=first + timedelta(hours=23))
    assert plan.asked.since == until
    report = pull.run(plan)
    assert (report.new, report.duplicates) == (3, 0)
    assert store.summary("name:Decrypt").events == 73


def test_the_last_quarter_of_an_hour_is_not_covered_and_is_fetched_again(
    aws: WatchedAws, store: EventStore, clock: Clock
) -> None:
    pull = puller(aws, store, clock)
    pull.pull(since=clock.ago(hours=1))
    again = pull.plan()
    assert again.asked.since == clock.ago(minutes=15)
    assert again.asked.until == clock.now


def test_a_region_that_was_never_fetched_makes_no_hole_in_the_others(
    aws: WatchedAws, store: EventStore, clock: Clock
) -> None:
    aws.instead.append(denying("LookupEvents", THERE))
    three_days = clock.ago(days=3)
    with_denied = puller(aws, store, clock, regions=BOTH)
    with_denied.pull(since=clock.ago(days=4), until=three_days)
    assert with_denied.plan().asked.since == three_days
    only_here = puller(aws, store, clock)
    only_here.pull(until=clock.now)
    assert with_denied.plan().asked.since == clock.ago(hours=24)


def test_a_cancelled_pull_goes_on_by_its_token_and_asks_for_no_page_twice(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(240)
    cancelled = Event()
    pull = puller(aws, store, clock)
    with pytest.raises(InterruptedRunError):
        pull.run(pull.plan(**day_of(first)), progress=stopping_after(3, cancelled), cancelled=cancelled)
    came = len(pages(aws))
    kept = store.summary("").events
    assert 50 <= kept < 240
    assert not CoverageRecord(store, lambda: [HERE], clock=clock).coverage_of(**day_of(first)).complete
    clock.now += timedelta(hours=3)
    aws.asked.clear()
    report = puller(aws, store, clock).pull(**day_of(first))
    left = pages(aws)
    assert "NextToken" in left[0]
    # A page that had come when it was stopped, but was not stored, is asked for again.
    assert 5 <= came + len(left) <= 6
    assert report.new == 240 - kept
    assert store.summary("").events == 240
    assert any("goes on, from" in note for note in report.notes)
    assert CoverageRecord(store, lambda: [HERE], clock=clock).coverage_of(**day_of(first)).complete


def test_a_pull_without_since_takes_up_the_interrupted_one_however_old(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(240)
    cancelled = Event()
    pull = puller(aws, store, clock)
    with pytest.raises(InterruptedRunError):
        pull.run(pull.plan(**day_of(first)), progress=stopping_after(2, cancelled), cancelled=cancelled)
    plan = puller(aws, store, clock).plan()
    assert plan.asked.since == day_of(first)["since"]
    pull.run(plan)
    assert store.summary("name:Decrypt", cancelled=None).events >= 240


def test_a_killed_process_loses_no_page_that_it_had_stored(
    aws: WatchedAws,
    store: EventStore,
    clock: Clock,
    endpoint: EndpointProcess,
    happened: Callable[..., datetime],
) -> None:
    first = happened(240)
    day = day_of(first)
    script = f"""
import os, signal
from datetime import datetime
from pathlib import Path
from crypto_core.kms import KmsApi
from crypto_core.trail.sources.puller import EventPuller
from crypto_core.trail.store import EventStore

def told(progress):
    if progress.pages == 3:
        os.kill(os.getpid(), signal.SIGKILL)

kms = KmsApi(("{HERE}",), endpoint_url="{endpoint.url}")
store = EventStore(Path({str(store.path)!r}))
pull = EventPuller(kms, store, regions=lambda: ("{HERE}",), rest=lambda *_: None)
since, until = "{day["since"].isoformat()}", "{day["until"].isoformat()}"
plan = pull.plan(since=datetime.fromisoformat(since), until=datetime.fromisoformat(until))
pull.run(plan, progress=told)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    kept = store.summary("").events
    assert 100 <= kept <= 150
    report = puller(aws, store, clock).pull(**day)
    assert report.new == 240 - kept
    assert len(pages(aws)) == 5 - kept // 50


def test_what_was_under_way_when_a_pull_was_interrupted_counts_as_missing(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    """Its newest page was asked for at the window's very end: what was delivered later is not in it."""
    first = happened(120)
    window = window_of(first)
    answer = aws.read(
        "cloudtrail",
        "LookupEvents",
        region=HERE,
        LookupAttributes=[{"AttributeKey": "EventSource", "AttributeValue": "kms.amazonaws.com"}],
        StartTime=datetime.fromtimestamp(window.since, UTC),
        EndTime=datetime.fromtimestamp(window.until, UTC),
        MaxResults=50,
    )
    book = PullBook(store.file)
    run = Run("lookup", HERE)
    reached = min(seconds(e["EventTime"].astimezone(UTC)) for e in answer["Events"])
    book.save(run, Unfinished(window, answer["NextToken"], reached, began=window.until))
    puller(aws, store, clock).pull(**day_of(first))
    assert book.last(run) == window.until
    asked = pages(aws)
    assert asked[-1]["StartTime"] == datetime.fromtimestamp(window.until - 15 * 60, UTC)
    assert "NextToken" not in asked[-1]


def test_a_token_that_has_expired_costs_no_event(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(120)
    window = window_of(first)
    reached = seconds(first + timedelta(minutes=100))
    book = PullBook(store.file)
    book.save(Run("lookup", HERE), Unfinished(window, "made up", reached, began=seconds(clock.now)))
    report = puller(aws, store, clock).pull(**day_of(first))
    # What is newer than where it stood had come before.
    assert report.new == 101
    assert any("token had expired" in note for note in report.notes)
    assert report.coverage.complete
    assert book.covered()[HERE] == [window]


def test_tokens_that_are_never_taken_end_in_an_error_not_in_a_circle(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(1)
    event = {"CloudTrailEvent": "{}", "EventTime": first}

    def instead(operation: str, _region: str, parameters: dict[str, Any]) -> Mapping[str, Any] | None:
        if "NextToken" in parameters:
            raise PageTokenError("no such page")
        return {"Events": [event] * 50, "NextToken": "next"}

    aws.instead.append(instead)
    with pytest.raises(PageTokenError):
        puller(aws, store, clock).pull(**day_of(first))
    assert len(pages(aws)) <= 6


def test_a_short_window_is_not_kept_waiting_by_a_long_interrupted_one(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(240)
    cancelled = Event()
    pull = puller(aws, store, clock)
    with pytest.raises(InterruptedRunError):
        pull.run(pull.plan(**day_of(first)), progress=stopping_after(2, cancelled), cancelled=cancelled)
    book = PullBook(store.file)
    state = book.unfinished(Run("lookup", HERE))
    assert state is not None
    aws.asked.clear()
    late = datetime.fromtimestamp(state.reached, UTC) + timedelta(minutes=1)
    report = pull.pull(since=late, until=first + timedelta(hours=23, minutes=30))
    assert any("left for later" in note for note in report.notes)
    assert all("NextToken" not in page for page in pages(aws))
    assert all(page["StartTime"] >= day_of(first)["until"] for page in pages(aws))
    here = CoverageRecord(store, lambda: [HERE], clock=clock)
    assert here.coverage_of(late, first + timedelta(hours=23, minutes=30)).complete
    assert book.unfinished(Run("lookup", HERE)) == state
    pull.pull(until=first + timedelta(hours=23, minutes=30))
    assert store.summary("").events == 240
    assert here.coverage_of(first, first + timedelta(hours=23, minutes=30)).complete


def test_an_interrupted_pull_whose_window_has_become_too_old_goes_on_without_its_token(
    aws: WatchedAws, store: EventStore, clock: Clock
) -> None:
    """LookupEvents takes no start of more than 90 days ago, and a token demands the same one."""
    window = Window(seconds(clock.ago(days=91)), seconds(clock.ago(days=1)))
    reached = seconds(clock.ago(days=88))
    book, run = PullBook(store.file), Run("lookup", HERE)
    book.save(run, Unfinished(window, "of yesterday", reached, began=seconds(clock.now)))
    puller(aws, store, clock).pull()
    asked = pages(aws)
    assert not any("NextToken" in page and page["NextToken"] == "of yesterday" for page in asked)
    assert all(page["StartTime"] > clock.ago(days=90) for page in asked)
    assert book.unfinished(run) is None
    covered = CoverageRecord(store, lambda: [HERE], clock=clock)
    assert covered.coverage_of(clock.ago(days=89), clock.now).complete


def test_another_window_gives_an_interrupted_pull_up_and_says_so(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(240)
    cancelled = Event()
    pull = puller(aws, store, clock)
    with pytest.raises(InterruptedRunError):
        pull.run(pull.plan(**day_of(first)), progress=stopping_after(2, cancelled), cancelled=cancelled)
    report = pull.pull(since=first - timedelta(hours=1), until=first + timedelta(hours=23))
    assert any("given up" in note for note in report.notes)
    assert store.summary("").events == 240


def test_throttling_is_waited_out_counted_and_told(
    aws: WatchedAws,
    store: EventStore,
    clock: Clock,
    endpoint: EndpointProcess,
    happened: Callable[..., datetime],
) -> None:
    first = happened(70)
    endpoint.control.add_fault(Fault("LookupEvents", "ThrottlingException", count=5))
    rests, told = Rests(), list[PullProgress]()
    pull = puller(aws, store, clock, rest=rests)
    plan = pull.plan(**day_of(first), attribute=("EventSource", "kms.amazonaws.com"))
    report = pull.run(plan, progress=told.append)
    assert (report.throttled, report.new) == (5, 70)
    assert report.coverage.complete
    waits = [s for s in rests.seconds if s >= 0.25]
    # Each wait is between a half and all of twice the one before.
    assert len(waits) == 5
    assert all(0.25 * 2**n <= wait <= 0.5 * 2**n for n, wait in enumerate(waits))
    assert max(p.throttled for p in told) == 5


def test_a_region_that_never_stops_throttling_is_a_gap_and_its_place_is_kept(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(120)

    def instead(operation: str, _region: str, parameters: dict[str, Any]) -> None:
        if "NextToken" in parameters:
            raise KmsThrottledError("slower", operation=operation)

    aws.instead.append(instead)
    report = puller(aws, store, clock).pull(**day_of(first))
    assert report.new == 50
    assert report.throttled == 9
    assert report.gaps == (f"{HERE}: kms.amazonaws.com: slower",)
    aws.instead.clear()
    assert puller(aws, store, clock).pull(**day_of(first)).new == 70


def test_the_pace_is_kept_in_each_region_whoever_pulls(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(120)
    rests = Rests()
    # A question in a thousand seconds: but for the first, every page is waited for.
    pull = puller(aws, store, clock, rest=rests, per_second=0.001)
    pull.pull(**day_of(first))
    asked = len(aws.named("LookupEvents", HERE))
    assert asked == 4
    assert len(rests.seconds) == asked - 1
    assert all(wait > 500 for wait in rests.seconds)


def test_one_region_that_is_denied_is_a_gap_and_the_rest_is_fetched(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(10)
    happened(5, THERE, at=first)
    aws.instead.append(denying("LookupEvents", THERE))
    report = puller(aws, store, clock, regions=BOTH).pull(**day_of(first))
    assert report.new == 10
    assert set(report.gaps) == {
        f"{THERE}: {source}.amazonaws.com: aws:LookupEvents is not allowed."
        for source in ("kms", "cloudtrail")
    }
    covered = CoverageRecord(store, lambda: BOTH, clock=clock).coverage_of(**day_of(first))
    assert [reason.partition(":")[0] for reason in covered.reasons] == [THERE]
    with pytest.raises(KmsAccessDeniedError):
        puller(aws, store, clock, regions=[THERE]).pull(**day_of(first))


def test_a_network_that_is_down_ends_the_pull_with_what_is_wrong(
    aws: WatchedAws, store: EventStore, clock: Clock
) -> None:
    def instead(operation: str, _region: str, _parameters: dict[str, Any]) -> None:
        raise KmsUnreachableError("No answer", operation=operation)

    aws.instead.append(instead)
    with pytest.raises(KmsUnreachableError):
        puller(aws, store, clock).pull(since=clock.ago(hours=1))


def test_more_than_90_days_are_refused_by_saying_so(aws: WatchedAws, store: EventStore, clock: Clock) -> None:
    pull = puller(aws, store, clock)
    plan = pull.plan(since=clock.ago(days=120))
    assert any("90 days" in remark for remark in plan.remarks)
    assert any("100 events a second" in remark for remark in plan.remarks)
    report = pull.run(plan)
    assert any("LookupEvents goes back 90 days" in gap and "--from s3" in gap for gap in report.gaps)
    assert all(p["StartTime"] > clock.ago(days=90) for p in aws.named("LookupEvents"))
    covered = CoverageRecord(store, lambda: [HERE], clock=clock)
    assert not covered.coverage_of(clock.ago(days=120), clock.now).complete
    assert covered.coverage_of(clock.ago(days=89), clock.now).complete


def test_a_window_that_lookup_events_no_longer_has_is_not_asked_for(
    aws: WatchedAws, store: EventStore, clock: Clock
) -> None:
    report = puller(aws, store, clock).pull(since=clock.ago(days=120), until=clock.ago(days=100))
    assert len(report.gaps) == 1
    assert aws.asked == []


def test_a_filter_keeps_what_passes_and_covers_nothing_of_all(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(10)
    happened(3, at=first + timedelta(hours=1), source_ip="198.51.100.7")
    pull = puller(aws, store, clock)
    # "kms" is also what the store calls all of KMS's events.
    for expression, new in (("ip:198.51.100.7", 3), ("kms", 10)):
        report = pull.pull(**day_of(first), expression=expression)
        assert (report.records, report.new) == (13, new)
        covered = CoverageRecord(store, lambda: [HERE], clock=clock).coverage_of(**day_of(first))
        assert not covered.complete
    assert pull.plan(expression="ip:198.51.100.7").asked.since == day_of(first)["until"]
    assert pull.plan().asked.since == clock.ago(hours=24)


def test_a_filter_that_counts_back_from_now_is_another_one_each_time(
    aws: WatchedAws, store: EventStore, clock: Clock
) -> None:
    pull = puller(aws, store, clock)
    before = pull.plan(expression="until:1h").asked.scope
    clock.now += timedelta(hours=1)
    assert pull.plan(expression="until:1h").asked.scope != before
    same = pull.plan(expression="until:2026-01-01").asked.scope
    clock.now += timedelta(hours=1)
    assert pull.plan(expression="until:2026-01-01").asked.scope == same


def test_an_attribute_of_the_operators_is_asked_for_and_has_its_own_account(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(3)
    pull = puller(aws, store, clock)
    report = pull.run(pull.plan(**day_of(first), attribute=("EventName", "Decrypt")))
    assert report.new == 3
    assert aws.named("LookupEvents")[0]["LookupAttributes"] == [
        {"AttributeKey": "EventName", "AttributeValue": "Decrypt"}
    ]
    assert not CoverageRecord(store, lambda: [HERE], clock=clock).coverage_of(**day_of(first)).complete
    assert pull.plan(attribute=("EventName", "Decrypt")).asked.since == day_of(first)["until"]
    assert pull.plan(attribute=("EventName", "Encrypt")).asked.since == clock.ago(hours=24)
    with pytest.raises(SettingsError, match="no attribute 'ErrorCode'"):
        pull.plan(attribute=("ErrorCode", "AccessDenied"))


@pytest.mark.parametrize(
    "text", [None, 7, "", "{", "[]", '"text"', "{}", "\ud800", "[" * 100_000, '{"a": 1}'], ids=range(10)
)
def test_an_event_that_cannot_be_read_is_a_gap_and_the_others_are_kept(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime], text: object
) -> None:
    first = happened(3)

    def after(operation: str, answer: dict[str, Any]) -> None:
        if answer.get("Events"):
            answer["Events"].append({"CloudTrailEvent": text, "EventTime": first})

    aws.after = after
    report = puller(aws, store, clock).pull(**day_of(first))
    assert report.new == 3
    assert report.gaps == (f"{HERE}: 1 events of a page can't be read.",)
    assert not CoverageRecord(store, lambda: [HERE], clock=clock).coverage_of(**day_of(first)).complete


@pytest.mark.parametrize(
    "answer", [{}, {"Events": None}, {"Events": "x"}, {"Events": [None, 3, []]}], ids=range(4)
)
def test_an_answer_without_events_is_survived(
    aws: WatchedAws, store: EventStore, clock: Clock, answer: dict[str, Any]
) -> None:
    aws.instead.append(lambda _operation, _region, _parameters: answer)
    report = puller(aws, store, clock).pull(since=clock.ago(hours=1))
    assert report.new == 0


def test_a_clock_that_is_wrong_is_told_and_covers_nothing_that_has_not_happened(
    aws: WatchedAws, store: EventStore, clock: Clock
) -> None:
    real = clock.now
    clock.now += timedelta(days=1)
    report = puller(aws, store, clock).pull(since=real - timedelta(hours=2))
    assert any("1,440 minutes ahead of AWS's" in note for note in report.notes)
    last = PullBook(store.file).last(Run("lookup", HERE))
    assert last is not None
    assert last <= seconds(datetime.now(UTC)) - 15 * 60
