"""LookupEvents interrupted: what had come is kept, and what is missing is fetched by the next pull."""

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

from console.sandbox.endpoint import EndpointProcess
from crypto_core.trail.columns import seconds
from crypto_core.trail.coverage_record import CoverageRecord
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import PullBook, PullScope, TimeWindow, Unfinished
from crypto_core.values.errors import InterruptedRunError, KmsThrottledError, PageTokenError
from crypto_core.values.key_names import AccountRegion
from tests.crypto_core.trail.sources.amazon import (
    ACCOUNT,
    HERE,
    Clock,
    WatchedAws,
    day_of,
    pages,
    puller,
    stopping_after,
    window_of,
)


@pytest.mark.deep
def test_a_cancelled_pull_goes_on_by_its_token_and_asks_for_no_page_twice(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(240)
    cancelled = Event()
    pull = puller(aws, store, clock)
    with pytest.raises(InterruptedRunError):
        pull.run_pull(
            pull.plan_pull(**day_of(first)), progress=stopping_after(3, cancelled), cancelled=cancelled
        )
    came = len(pages(aws))
    kept = store.summary("").events
    assert 50 <= kept < 240
    assert not CoverageRecord(store, lambda: [HERE], clock=clock).coverage_of(**day_of(first)).complete
    clock.now += timedelta(hours=3)
    aws.asked.clear()
    report = puller(aws, store, clock).pull_events(**day_of(first))
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
        pull.run_pull(
            pull.plan_pull(**day_of(first)), progress=stopping_after(2, cancelled), cancelled=cancelled
        )
    plan = puller(aws, store, clock).plan_pull()
    assert plan.asked.since == day_of(first)["since"]
    pull.run_pull(plan)
    assert store.summary("name:Decrypt", cancelled=None).events >= 240


@pytest.mark.deep
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
from crypto_core.aws.kms import KmsApi
from crypto_core.trail.sources.puller import EventPuller
from crypto_core.trail.store import EventStore

def told(progress):
    if progress.pages == 3:
        os.kill(os.getpid(), signal.SIGKILL)

kms = KmsApi(("{HERE}",), endpoint_url="{endpoint.url}")
store = EventStore(Path({str(store.file.path)!r}))
pull = EventPuller(kms, store, regions=lambda: ("{HERE}",), rest=lambda *_: None)
since, until = "{day["since"].isoformat()}", "{day["until"].isoformat()}"
plan = pull.plan_pull(since=datetime.fromisoformat(since), until=datetime.fromisoformat(until))
pull.run_pull(plan, progress=told)
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
    report = puller(aws, store, clock).pull_events(**day)
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
    run = PullScope("lookup", HERE, account=ACCOUNT)
    reached = min(seconds(e["EventTime"].astimezone(UTC)) for e in answer["Events"])
    book.save(run, Unfinished(window, answer["NextToken"], reached, began=window.until))

    def instead(_operation: str, _region: str, parameters: dict[str, Any]) -> None:
        asked = parameters.get("LookupAttributes") or [{}]
        if asked[0].get("AttributeValue") == "kms.amazonaws.com" and "NextToken" not in parameters:
            raise KmsThrottledError("not available here")

    aws.instead.append(instead)
    assert not puller(aws, store, clock).pull_events(**day_of(first)).coverage.complete
    assert book.covered_until(run) == window.until - 15 * 60
    aws.instead.clear()
    aws.asked.clear()
    puller(aws, store, clock).pull_events(until=day_of(first)["until"])
    assert book.covered_until(run) == window.until
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
    book.save(
        PullScope("lookup", HERE, account=ACCOUNT),
        Unfinished(window, "made up", reached, began=seconds(clock.now)),
    )
    report = puller(aws, store, clock).pull_events(**day_of(first))
    # What is newer than where it stood had come before.
    assert report.new == 101
    assert any("token had expired" in note for note in report.notes)
    assert report.coverage.complete
    assert book.covered()[AccountRegion(ACCOUNT, HERE)] == [window]


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
        puller(aws, store, clock).pull_events(**day_of(first))
    assert len(pages(aws)) <= 6


@pytest.mark.deep
def test_a_short_window_is_not_kept_waiting_by_a_long_interrupted_one(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(240)
    cancelled = Event()
    pull = puller(aws, store, clock)
    with pytest.raises(InterruptedRunError):
        pull.run_pull(
            pull.plan_pull(**day_of(first)), progress=stopping_after(2, cancelled), cancelled=cancelled
        )
    book = PullBook(store.file)
    state = book.unfinished(PullScope("lookup", HERE, account=ACCOUNT))
    assert state is not None
    aws.asked.clear()
    late = datetime.fromtimestamp(state.reached, UTC) + timedelta(minutes=1)
    report = pull.pull_events(since=late, until=first + timedelta(hours=23, minutes=30))
    assert any("left for later" in note for note in report.notes)
    assert all("NextToken" not in page for page in pages(aws))
    assert all(page["StartTime"] >= day_of(first)["until"] for page in pages(aws))
    here = CoverageRecord(store, lambda: [HERE], clock=clock)
    assert here.coverage_of(late, first + timedelta(hours=23, minutes=30)).complete
    assert book.unfinished(PullScope("lookup", HERE, account=ACCOUNT)) == state
    pull.pull_events(until=first + timedelta(hours=23, minutes=30))
    assert store.summary("").events == 240
    assert here.coverage_of(first, first + timedelta(hours=23, minutes=30)).complete


def test_an_interrupted_pull_whose_window_has_become_too_old_goes_on_without_its_token(
    aws: WatchedAws, store: EventStore, clock: Clock
) -> None:
    """LookupEvents takes no start of more than 90 days ago, and a token demands the same one."""
    window = TimeWindow(seconds(clock.ago(days=91)), seconds(clock.ago(days=1)))
    reached = seconds(clock.ago(days=88))
    book, run = PullBook(store.file), PullScope("lookup", HERE, account=ACCOUNT)
    book.save(run, Unfinished(window, "of yesterday", reached, began=seconds(clock.now)))
    puller(aws, store, clock).pull_events()
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
        pull.run_pull(
            pull.plan_pull(**day_of(first)), progress=stopping_after(2, cancelled), cancelled=cancelled
        )
    report = pull.pull_events(since=first - timedelta(hours=1), until=first + timedelta(hours=23))
    assert any("given up" in note for note in report.notes)
    assert store.summary("").events == 240


def test_a_region_that_never_stops_throttling_is_a_gap_and_its_place_is_kept(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(120)

    def instead(operation: str, _region: str, parameters: dict[str, Any]) -> None:
        if "NextToken" in parameters:
            raise KmsThrottledError("slower", operation=operation)

    aws.instead.append(instead)
    report = puller(aws, store, clock).pull_events(**day_of(first))
    assert report.new == 50
    assert report.throttled == 9
    assert report.gaps == (f"{HERE}: kms.amazonaws.com: slower",)
    aws.instead.clear()
    assert puller(aws, store, clock).pull_events(**day_of(first)).new == 70
