"""What of a window the pulls so far covered: gaps, overlaps, what is too new to say, what nobody fetched."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.trail.columns import moment, seconds
from crypto_core.trail.coverage_record import CoverageRecord
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import PullBook, PullScope, TimeWindow, unfetched
from crypto_core.values.key_names import AccountRegion
from tests.crypto_core.trail.records import NOW

HERE, THERE = "eu-west-1", "us-east-1"
Cover = Callable[..., None]


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


@pytest.fixture
def cover(store: EventStore) -> Cover:
    """Note a window as fetched, from and to so many minutes ago."""
    book = PullBook(store.file)

    def note(begin: float, end: float, region: str = HERE, **run: str) -> None:
        window = TimeWindow(seconds(ago(begin)), seconds(ago(end)))
        book.cover(PullScope(run.pop("source", "lookup"), region, **run), window, seconds(NOW))

    return note


@pytest.fixture
def record(store: EventStore) -> CoverageRecord:
    return CoverageRecord(store, lambda: (HERE, HERE), clock=lambda: NOW)


@pytest.fixture
def both(store: EventStore) -> CoverageRecord:
    return CoverageRecord(store, lambda: (HERE, THERE), clock=lambda: NOW)


def test_a_window_that_pulls_cover_together_is_covered(record: CoverageRecord, cover: Cover) -> None:
    cover(600, 400)
    cover(450, 300, source="s3", place="s3://b/")
    cover(300 - 1 / 60, 100)
    assert record.regions() == (HERE,)
    assert record.coverage_of(ago(600), ago(100)).complete
    assert record.coverage_of(ago(500), ago(350)).complete
    assert not record.coverage_of(ago(601), ago(100)).complete
    assert not record.coverage_of(ago(600), ago(99)).complete


def test_a_gap_between_two_pulls_is_named(record: CoverageRecord, cover: Cover) -> None:
    cover(600, 400)
    cover(300, 100)
    (reason,) = record.coverage_of(ago(600), ago(100)).reasons
    # From the first second that is missing to the last one.
    begin, end = ago(400) + timedelta(seconds=1), ago(300) - timedelta(seconds=1)
    assert reason == f"{HERE}: not fetched from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC."


def test_each_region_is_told_by_itself(both: CoverageRecord, cover: Cover) -> None:
    cover(600, 100)
    reasons = both.coverage_of(ago(600), ago(100)).reasons
    assert [r.partition(":")[0] for r in reasons] == [THERE]


def test_what_a_filter_an_attribute_or_a_table_brought_covers_nothing(
    record: CoverageRecord, cover: Cover
) -> None:
    cover(600, 0, scope="filter name:Decrypt")
    cover(600, 0, scope="EventName=Decrypt kms")
    cover(600, 0, region="", source="athena", place="a.b")
    assert not record.coverage_of(ago(500), ago(100)).complete
    assert record.between(None, None).reasons == (f"{HERE}: nothing was fetched yet.",)


def test_a_store_that_is_up_to_date_says_nothing_of_the_last_hour(
    record: CoverageRecord, cover: Cover
) -> None:
    cover(600, 74)
    assert record.coverage_of(ago(600), NOW).complete
    # Also of a window that lies in it as a whole.
    assert record.coverage_of(ago(20), NOW).complete


def test_a_store_that_is_not_up_to_date_does(record: CoverageRecord, cover: Cover) -> None:
    cover(600, 76)
    (reason,) = record.coverage_of(ago(600), NOW).reasons
    assert f"to {NOW:%Y-%m-%d %H:%M} UTC" in reason
    assert not record.coverage_of(ago(20), NOW).complete


def test_of_a_store_that_nobody_filled_no_window_is_covered(record: CoverageRecord) -> None:
    for begin, end in ((600, 100), (30, 0), (0, 0)):
        assert not record.coverage_of(ago(begin), ago(end)).complete
    assert not record.between(None, None).complete
    assert not record.between(ago(10), None).complete


def test_an_open_period_begins_with_the_first_pull_of_these_regions(
    both: CoverageRecord, cover: Cover
) -> None:
    cover(9_000, 0, region="ap-south-1")
    cover(600, 0)
    (reason,) = both.between(None, None).reasons
    assert reason.startswith(f"{THERE}: not fetched from {ago(600):%Y-%m-%d %H:%M}")
    cover(300, 0, region=THERE)
    (reason,) = both.between(None, None).reasons
    assert reason.startswith(f"{THERE}: not fetched from {ago(600):%Y-%m-%d %H:%M}")
    assert both.between(ago(300), None).complete
    assert both.between(ago(300), ago(200)).complete


def test_an_account_vouches_for_itself_alone(store: EventStore, cover: Cover) -> None:
    mine, other = "111122223333", "999988887777"
    record = CoverageRecord(store, lambda: (HERE,), accounts=lambda: (mine,), clock=lambda: NOW)
    cover(600, 0, account=other)
    (reason,) = record.coverage_of(ago(600), NOW).reasons
    assert reason.startswith(f"{mine} {HERE}: not fetched")
    assert record.reached(ago(600), [AccountRegion(mine, HERE)]).until is None
    assert record.between(None, None).reasons == (f"{mine} {HERE}: nothing was fetched yet.",)
    cover(600, 0, account=mine)
    assert record.coverage_of(ago(600), NOW).complete
    assert record.reached(ago(600), [AccountRegion(mine, HERE)]).until == NOW


def test_where_no_account_is_known_all_that_were_fetched_from_count(
    record: CoverageRecord, cover: Cover
) -> None:
    cover(600, 0, account="111122223333")
    assert record.coverage_of(ago(600), NOW).complete
    cover(300, 0, account="999988887777")
    (reason,) = record.coverage_of(ago(600), NOW).reasons
    assert reason.startswith(f"999988887777 {HERE}: not fetched from {ago(600):%Y-%m-%d %H:%M}")


WINDOWS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 15)).map(lambda t: TimeWindow(t[0], t[0] + t[1]))
)


@given(WINDOWS, st.integers(0, 50), st.integers(0, 50))
def test_what_is_missing_is_what_no_window_holds(windows: list[TimeWindow], since: int, until: int) -> None:
    held = {second for w in windows for second in range(w.since, w.until + 1)}
    absent = [second for second in range(since, until + 1) if second not in held]
    gaps = unfetched(windows, since, until)
    assert [second for gap in gaps for second in range(gap.since, gap.until + 1)] == absent


def test_a_second_is_a_moment_again() -> None:
    assert moment(seconds(NOW)) == NOW
