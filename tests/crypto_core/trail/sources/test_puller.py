"""Plans of pulls, the counts of what came, and work side by side."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Event, current_thread

import pytest

from crypto_core.guard.consent import Danger
from crypto_core.trail.sources.puller import EventPuller
from crypto_core.trail.sources.report import MOST_GAPS, PullProgress, PullTally
from crypto_core.trail.sources.source_calls import side_by_side
from crypto_core.trail.store import Added, EventStore, pulls
from crypto_core.values.errors import InterruptedRunError, InvalidFilterError, KmsError, SettingsError
from crypto_core.values.key_names import AccountRegion
from tests.crypto_core.trail.sources.amazon import HERE, THERE, Clock, WatchedAws, puller


@pytest.fixture
def pull(store: EventStore, clock: Clock) -> EventPuller:
    return puller(
        WatchedAws((HERE, THERE), endpoint_url="http://127.0.0.1:9"), store, clock, regions=(HERE, THERE)
    )


def test_a_first_pull_is_of_the_last_day_in_all_regions(pull: EventPuller, clock: Clock) -> None:
    plan = pull.plan_pull()
    assert (plan.source, plan.regions) == ("lookup", (HERE, THERE))
    assert (plan.asked.since, plan.asked.until) == (clock.ago(hours=24), clock.now)
    assert (plan.danger, plan.remarks, plan.statement) == (Danger.NONE, (), "")


def test_a_window_is_kept_to_what_can_have_happened(pull: EventPuller, clock: Clock) -> None:
    plan = pull.plan_pull(since=clock.ago(days=30_000), until=clock.now + timedelta(days=9))
    assert (plan.asked.since.year, plan.asked.until) == (2013, clock.now)
    for since, until in (
        (clock.ago(days=1), clock.ago(days=2)),
        (clock.now + timedelta(days=1), None),
        (None, clock.ago(days=9)),
    ):
        with pytest.raises(SettingsError, match="ends before it begins"):
            pull.plan_pull(since=since, until=until)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("look\x1b[31mup", r"There is no source 'look\[31mup'"),
        ("", "There is no source ''"),
        ("S3", "no source"),
        ("s3://", "not an S3 address"),
        ("athena", "There is no source 'athena'"),
    ],
    ids=range(5),
)
def test_a_source_that_is_none_is_refused(pull: EventPuller, source: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as raised:
        pull.plan_pull(source)
    assert raised.value.remedy


def test_what_a_source_does_not_take_is_not_quietly_left_out(pull: EventPuller) -> None:
    with pytest.raises(SettingsError, match="Only LookupEvents takes an attribute, not s3"):
        pull.plan_pull("s3", attribute=("EventName", "Decrypt"))
    with pytest.raises(SettingsError, match="limited by what it scans, not lookup"):
        pull.plan_pull(max_bytes=7)
    with pytest.raises(InvalidFilterError):
        pull.plan_pull(expression="nome:x")


def test_another_pull_has_another_digest(pull: EventPuller, clock: Clock) -> None:
    plans = [
        pull.plan_pull(),
        pull.plan_pull("s3"),
        pull.plan_pull("s3://bucket/x"),
        pull.plan_pull(since=clock.ago(hours=1)),
        pull.plan_pull(until=clock.ago(minutes=1)),
        pull.plan_pull(expression="name:Decrypt"),
        pull.plan_pull(regions=[HERE]),
    ]
    assert len({plan.digest for plan in plans}) == len(plans)
    assert pull.plan_pull().digest == plans[0].digest


def test_a_report_counts_tells_and_bounds_what_is_missing() -> None:
    told: list[PullProgress] = []
    tally = PullTally("lookup", told.append)
    tally.count(HERE, pages=1, records=5, added=Added(3, 2, 3))
    tally.throttled(THERE)
    for n in range(MOST_GAPS + 7):
        tally.gap(f"\x1b[31mgap {n}")
        tally.gap(f"\x1b[31mgap {n}")
    tally.note("one\ntwo")
    now = datetime.fromisoformat("2026-11-25T12:00:00Z")
    report = tally.report([AccountRegion("123456789012", HERE), AccountRegion("", HERE)], now, now)
    # Each of those that are not named counts as often as it is told.
    assert (len(report.gaps), report.gaps[-1]) == (MOST_GAPS + 1, "14 further gaps.")
    assert report.gaps[0] == "[31mgap 0"
    assert (report.new, report.duplicates, report.kms, report.throttled) == (3, 2, 3, 1)
    assert [(p.where, p.throttled) for p in told] == [(HERE, 0), (THERE, 1)]
    document = report.as_json()
    assert document["coverage"] == {"complete": False, "reasons": list(report.gaps)}
    assert document["notes"] == ["one two"]
    assert (document["regions"], document["accounts"]) == ([HERE], ["123456789012"])
    assert not report.coverage.complete


def test_work_side_by_side_brings_all_and_an_error_as_a_result_is_one() -> None:
    error = KmsError("x")
    found = dict(side_by_side(lambda n: error if n == 7 else n * n, range(100), threads=4))
    assert found[7] is error
    assert sum(n for n in found.values() if isinstance(n, int)) == sum(n * n for n in range(100)) - 49
    assert dict(side_by_side(lambda n: n, [], threads=4)) == {}


def test_an_error_of_the_work_is_raised_where_it_is_consumed() -> None:
    def work(n: int) -> int:
        if n == 3:
            raise ValueError(f"{n} in {current_thread().daemon}")
        return n

    with pytest.raises(ValueError, match="3 in True"):
        list(side_by_side(work, range(10), threads=2))


def test_items_are_taken_up_only_as_they_are_consumed() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for n in range(10_000):
            taken.append(n)
            yield n

    results = side_by_side(lambda n: n, items(), threads=3)
    for _ in range(5):
        next(results)
    assert len(taken) <= 5 + 2 * 3
    results.close()  # type: ignore[attr-defined]


def test_whoever_cancels_never_waits_for_a_call_that_hangs() -> None:
    cancelled, hanging, let_go = Event(), Event(), Event()

    def work(_n: int) -> None:
        hanging.set()
        let_go.wait(60)

    def items() -> Iterator[int]:
        yield 1
        hanging.wait(60)
        cancelled.set()
        yield 2

    with pytest.raises(InterruptedRunError):
        list(side_by_side(work, items(), threads=2, cancelled=cancelled))
    assert not let_go.is_set()
    let_go.set()


@pytest.fixture
def book(store: EventStore) -> pulls.PullBook:
    return pulls.PullBook(store.file)


RUN = pulls.PullScope("lookup", HERE)
IT = AccountRegion("", HERE)


def test_windows_that_touch_become_one(book: pulls.PullBook) -> None:
    for since, until in ((100, 200), (400, 500), (201, 300), (450, 600), (50, 120)):
        book.cover(RUN, pulls.TimeWindow(since, until), 1)
    assert book.covered() == {IT: [pulls.TimeWindow(50, 300), pulls.TimeWindow(400, 600)]}
    book.cover(RUN, pulls.TimeWindow(10, 1_000), 1)
    assert book.covered() == {IT: [pulls.TimeWindow(10, 1_000)]}
    assert book.covered_until(RUN) == 1_000


def test_an_empty_window_covers_nothing_and_ends_what_was_under_way(book: pulls.PullBook) -> None:
    book.save(RUN, pulls.Unfinished(pulls.TimeWindow(1, 9), "token", 5, began=9))
    book.cover(RUN, pulls.TimeWindow(9, 8), 1)
    assert book.covered() == {}
    assert book.unfinished(RUN) is None


def test_sources_places_and_scopes_are_kept_apart(book: pulls.PullBook) -> None:
    book.cover(RUN, pulls.TimeWindow(0, 100), 1)
    book.cover(pulls.PullScope("s3", HERE, place="a"), pulls.TimeWindow(0, 300), 1)
    book.cover(pulls.PullScope("s3", HERE, place="b"), pulls.TimeWindow(0, 200), 1)
    book.cover(pulls.PullScope("lookup", HERE, "filter name:x"), pulls.TimeWindow(0, 900), 1)
    assert book.covered_until(RUN) == 100
    assert book.covered_until(pulls.PullScope("s3", HERE, place="a")) == 300
    # Of all places, the one that is furthest behind.
    assert book.covered_until(pulls.PullScope("s3", HERE), whichever=("place",)) == 200
    assert book.covered_until(pulls.PullScope("s3", THERE), whichever=("place",)) is None
    assert book.covered() == {
        IT: [pulls.TimeWindow(0, 100), pulls.TimeWindow(0, 300), pulls.TimeWindow(0, 200)]
    }


def test_what_was_under_way_is_kept_until_it_is_whole(book: pulls.PullBook, store: EventStore) -> None:
    state = pulls.Unfinished(pulls.TimeWindow(1, 9), "t" * 5_000, 5, began=8)
    book.save(RUN, pulls.Unfinished(pulls.TimeWindow(1, 9), "first", 7, began=8))
    book.save(RUN, state)
    assert pulls.PullBook(store.file).unfinished(RUN) == state
    assert book.unfinished(pulls.PullScope("lookup", THERE)) is None
    book.cover(RUN, pulls.TimeWindow(6, 9), 1, going_on=True)
    assert book.unfinished(RUN) == state
    book.cover(RUN, pulls.TimeWindow(1, 9), 1)
    assert book.unfinished(RUN) is None


def test_what_is_forgotten_is_fetched_again(book: pulls.PullBook, store: EventStore) -> None:
    book.cover(RUN, pulls.TimeWindow(0, 100), 1)
    book.cover(RUN, pulls.TimeWindow(200, 300), 1)
    old, new = (pulls.object_name("kms", "b", key, "e") for key in ("old", "new"))
    book.remember([(old, 100), (new, 260), (new, 260)])
    assert book.known([old, new]) == {old, new}
    with store.file.writing() as connection:
        pulls.forget_pulls_before(connection, 250)
    assert book.covered() == {IT: [pulls.TimeWindow(250, 300)]}
    assert book.known([old, new]) == {new}


def test_an_objects_name_tells_its_parts_apart() -> None:
    names = {
        pulls.object_name(*parts)
        for parts in (
            ("a", "b", "c", "d"),
            ("ab", "", "c", "d"),
            ("a", "bc", "", "d"),
            ("a", "b", "cd", ""),
            ("a", "b", "c\ud800", "d"),
        )
    }
    assert len(names) == 5
