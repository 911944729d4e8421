"""LookupEvents: what comes, what comes next time, and what happens when it is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.sandbox.endpoint import ON_CALL, EndpointProcess, Fault, PastCall
from crypto_core.aws.kms import Identity
from crypto_core.trail.columns import seconds
from crypto_core.trail.coverage_record import CoverageRecord
from crypto_core.trail.sources.report import PullProgress
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import PullBook, PullScope
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KmsAccessDeniedError, KmsUnreachableError, SettingsError
from crypto_core.values.key_names import AccountRegion
from tests.crypto_core.trail.sources.amazon import (
    ACCOUNT,
    BOTH,
    HERE,
    OTHER_ACCOUNT,
    THERE,
    Clock,
    Rests,
    WatchedAws,
    day_of,
    denying,
    pages,
    puller,
)


def test_all_pages_of_all_regions_are_fetched_and_the_window_is_covered(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(120)
    happened(60, THERE, at=first)
    told: list[PullProgress] = []
    pull = puller(aws, store, clock, regions=BOTH)
    report = pull.run_pull(pull.plan_pull(**day_of(first)), progress=told.append)
    assert (report.records, report.new, report.kms, report.duplicates) == (180, 180, 180, 0)
    assert report.pages == 3 + 2 + 2  # and one each of CloudTrail's own, where nothing is
    assert (report.source, report.regions, report.throttled) == ("lookup", BOTH, 0)
    assert report.coverage.complete, report.gaps
    assert CoverageRecord(store, lambda: BOTH, clock=clock).coverage_of(**day_of(first)).complete
    assert told[-1].records == 180
    assert told[-1].new == 180
    assert {p.where for p in told} == set(BOTH)
    assert all(p.reached is not None and p.reached >= day_of(first)["since"] for p in told)


def test_what_was_fetched_covers_the_callers_account_alone(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    day = day_of(happened(3))
    report = puller(aws, store, clock).pull_events(**day)
    assert report.as_json()["accounts"] == [ACCOUNT]

    def covered(account: str) -> bool:
        record = CoverageRecord(store, lambda: [HERE], accounts=lambda: [account], clock=clock)
        return record.coverage_of(**day).complete

    assert covered(ACCOUNT)
    assert not covered(OTHER_ACCOUNT)


def test_where_aws_does_not_say_whose_events_come_they_cover_nobodys_keys(
    aws: WatchedAws,
    store: EventStore,
    clock: Clock,
    happened: Callable[..., datetime],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody() -> Identity:
        raise KmsAccessDeniedError("no", operation="GetCallerIdentity", action="sts:GetCallerIdentity")

    monkeypatch.setattr(aws, "identity", nobody)
    day = day_of(happened(3))
    report = puller(aws, store, clock).pull_events(**day)
    assert any("Whose events these are is not known" in note for note in report.notes)
    (place,) = report.places
    assert place == AccountRegion("", HERE)
    record = CoverageRecord(store, lambda: [HERE], accounts=lambda: [ACCOUNT], clock=clock)
    assert not record.coverage_of(**day).complete


def test_events_of_another_account_than_the_callers_cover_nothing(
    aws: WatchedAws,
    store: EventStore,
    clock: Clock,
    happened: Callable[..., datetime],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aws, "identity", lambda: Identity(clean(OTHER_ACCOUNT), clean("arn")))
    day = day_of(happened(3))
    report = puller(aws, store, clock).pull_events(**day)
    assert f"{HERE}: events of account {ACCOUNT} came, not {OTHER_ACCOUNT}." in report.gaps
    assert not CoverageRecord(store, lambda: [HERE], clock=clock).coverage_of(**day).complete


def test_every_question_keeps_to_what_lookup_events_allows(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(120)
    puller(aws, store, clock).pull_events(**day_of(first))
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
            PastCall(first, ON_CALL, "StopLogging", service="cloudtrail", parameters={"name": "t"}),
            PastCall(first, ON_CALL, "CreateBucket", service="s3"),
        ]
    )
    report = puller(aws, store, clock).pull_events(**day_of(first))
    assert (report.new, report.kms) == (2, 1)
    assert [v.text for v in store.pivot("name", "source:cloudtrail").values] == ["StopLogging"]


def test_the_next_pull_begins_where_the_last_one_ended_and_brings_what_is_new(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(70)
    since = first - timedelta(minutes=5)
    until = first + timedelta(hours=5)
    puller(aws, store, clock).pull_events(since=since, until=until)
    happened(3, at=first + timedelta(hours=6))
    pull = puller(aws, store, clock)
    plan = pull.plan_pull(until=first + timedelta(hours=23))
    assert plan.asked.since == until
    report = pull.run_pull(plan)
    assert (report.new, report.duplicates) == (3, 0)
    assert store.summary("name:Decrypt").events == 73


def test_the_last_quarter_of_an_hour_is_not_covered_and_is_fetched_again(
    aws: WatchedAws, store: EventStore, clock: Clock
) -> None:
    pull = puller(aws, store, clock)
    pull.pull_events(since=clock.ago(hours=1))
    again = pull.plan_pull()
    assert again.asked.since == clock.ago(minutes=15)
    assert again.asked.until == clock.now


def test_a_region_that_was_never_fetched_makes_no_hole_in_the_others(
    aws: WatchedAws, store: EventStore, clock: Clock
) -> None:
    aws.instead.append(denying("LookupEvents", THERE))
    three_days = clock.ago(days=3)
    with_denied = puller(aws, store, clock, regions=BOTH)
    with_denied.pull_events(since=clock.ago(days=4), until=three_days)
    assert with_denied.plan_pull().asked.since == three_days
    only_here = puller(aws, store, clock)
    only_here.pull_events(until=clock.now)
    assert with_denied.plan_pull().asked.since == clock.ago(hours=24)


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
    plan = pull.plan_pull(**day_of(first), attribute=("EventSource", "kms.amazonaws.com"))
    report = pull.run_pull(plan, progress=told.append)
    assert (report.throttled, report.new) == (5, 70)
    assert report.coverage.complete
    waits = [s for s in rests.seconds if s >= 0.25]
    # Each wait is between a half and all of twice the one before.
    assert len(waits) == 5
    assert all(0.25 * 2**n <= wait <= 0.5 * 2**n for n, wait in enumerate(waits))
    assert max(p.throttled for p in told) == 5


def test_the_pace_is_kept_in_each_region_whoever_pulls(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(120)
    rests = Rests()
    # A question in a thousand seconds: but for the first, every page is waited for.
    pull = puller(aws, store, clock, rest=rests, per_second=0.001)
    pull.pull_events(**day_of(first))
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
    report = puller(aws, store, clock, regions=BOTH).pull_events(**day_of(first))
    assert report.new == 10
    assert set(report.gaps) == {
        f"{THERE}: {source}.amazonaws.com: aws:LookupEvents is not allowed."
        for source in ("kms", "cloudtrail")
    }
    covered = CoverageRecord(store, lambda: BOTH, clock=clock).coverage_of(**day_of(first))
    assert [reason.partition(":")[0] for reason in covered.reasons] == [THERE]
    with pytest.raises(KmsAccessDeniedError):
        puller(aws, store, clock, regions=[THERE]).pull_events(**day_of(first))


def test_a_network_that_is_down_ends_the_pull_with_what_is_wrong(
    aws: WatchedAws, store: EventStore, clock: Clock
) -> None:
    def instead(operation: str, _region: str, _parameters: dict[str, Any]) -> None:
        raise KmsUnreachableError("No answer", operation=operation)

    aws.instead.append(instead)
    with pytest.raises(KmsUnreachableError):
        puller(aws, store, clock).pull_events(since=clock.ago(hours=1))


def test_more_than_90_days_are_refused_by_saying_so(aws: WatchedAws, store: EventStore, clock: Clock) -> None:
    pull = puller(aws, store, clock)
    plan = pull.plan_pull(since=clock.ago(days=120))
    assert any("90 days" in remark for remark in plan.remarks)
    assert any("100 events a second" in remark for remark in plan.remarks)
    report = pull.run_pull(plan)
    assert any("LookupEvents goes back 90 days" in gap and "--from s3" in gap for gap in report.gaps)
    assert all(p["StartTime"] > clock.ago(days=90) for p in aws.named("LookupEvents"))
    covered = CoverageRecord(store, lambda: [HERE], clock=clock)
    assert not covered.coverage_of(clock.ago(days=120), clock.now).complete
    assert covered.coverage_of(clock.ago(days=89), clock.now).complete


def test_a_window_that_lookup_events_no_longer_has_is_not_asked_for(
    aws: WatchedAws, store: EventStore, clock: Clock
) -> None:
    report = puller(aws, store, clock).pull_events(since=clock.ago(days=120), until=clock.ago(days=100))
    assert len(report.gaps) == 1
    assert aws.named("LookupEvents") == []


def test_a_filter_keeps_what_passes_and_covers_nothing_of_all(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(10)
    happened(3, at=first + timedelta(hours=1), source_ip="198.51.100.7")
    pull = puller(aws, store, clock)
    # "kms" is also what the store calls all of KMS's events.
    for expression, new in (("ip:198.51.100.7", 3), ("kms", 10)):
        report = pull.pull_events(**day_of(first), expression=expression)
        assert (report.records, report.new) == (13, new)
        covered = CoverageRecord(store, lambda: [HERE], clock=clock).coverage_of(**day_of(first))
        assert not covered.complete
    assert pull.plan_pull(expression="ip:198.51.100.7").asked.since == day_of(first)["until"]
    assert pull.plan_pull().asked.since == clock.ago(hours=24)


def test_a_filter_that_counts_back_from_now_is_another_one_each_time(
    aws: WatchedAws, store: EventStore, clock: Clock
) -> None:
    pull = puller(aws, store, clock)
    before = pull.plan_pull(expression="until:1h").asked.scope
    clock.now += timedelta(hours=1)
    assert pull.plan_pull(expression="until:1h").asked.scope != before
    same = pull.plan_pull(expression="until:2026-01-01").asked.scope
    clock.now += timedelta(hours=1)
    assert pull.plan_pull(expression="until:2026-01-01").asked.scope == same


def test_an_attribute_of_the_operators_is_asked_for_and_has_its_own_account(
    aws: WatchedAws, store: EventStore, clock: Clock, happened: Callable[..., datetime]
) -> None:
    first = happened(3)
    pull = puller(aws, store, clock)
    report = pull.run_pull(pull.plan_pull(**day_of(first), attribute=("EventName", "Decrypt")))
    assert report.new == 3
    assert aws.named("LookupEvents")[0]["LookupAttributes"] == [
        {"AttributeKey": "EventName", "AttributeValue": "Decrypt"}
    ]
    assert not CoverageRecord(store, lambda: [HERE], clock=clock).coverage_of(**day_of(first)).complete
    assert pull.plan_pull(attribute=("EventName", "Decrypt")).asked.since == day_of(first)["until"]
    assert pull.plan_pull(attribute=("EventName", "Encrypt")).asked.since == clock.ago(hours=24)
    with pytest.raises(SettingsError, match="no attribute 'ErrorCode'"):
        pull.plan_pull(attribute=("ErrorCode", "AccessDenied"))


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
    report = puller(aws, store, clock).pull_events(**day_of(first))
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
    report = puller(aws, store, clock).pull_events(since=clock.ago(hours=1))
    assert report.new == 0


def test_a_clock_that_is_wrong_is_told_and_covers_nothing_that_has_not_happened(
    aws: WatchedAws, store: EventStore, clock: Clock
) -> None:
    real = clock.now
    clock.now += timedelta(days=1)
    report = puller(aws, store, clock).pull_events(since=real - timedelta(hours=2))
    assert any("1,440 minutes ahead of AWS's" in note for note in report.notes)
    last = PullBook(store.file).covered_until(PullScope("lookup", HERE, account=ACCOUNT))
    assert last is not None
    assert last <= seconds(datetime.now(UTC)) - 15 * 60
