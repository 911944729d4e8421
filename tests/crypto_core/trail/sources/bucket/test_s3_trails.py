"""The buckets of the account's trails: which they are, and what a trail does not deliver."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from console.sandbox.endpoint import ANALYST, EndpointProcess, PastCall
from crypto_core.trail.coverage_record import CoverageRecord
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import PullBook
from crypto_core.values.errors import KmsAccessDeniedError
from tests.crypto_core.trail.sources.amazon import (
    ACCOUNT,
    HERE,
    OTHER_ACCOUNT,
    THERE,
    Clock,
    WatchedAws,
    dated,
    denying,
    log_file,
    log_key,
    puller,
)

Put = Callable[..., str]


@pytest.fixture
def trail(client: Callable[..., Any], bucket: str) -> Any:
    """A trail that delivers to the bucket; its name is the bucket's. It is gone after the test."""
    made = client("cloudtrail")
    made.create_trail(Name=bucket, S3BucketName=bucket, S3KeyPrefix="audit", IsMultiRegionTrail=True)
    made.start_logging(Name=bucket)
    yield made
    for one in made.describe_trails()["trailList"]:
        made.delete_trail(Name=one["Name"])


@pytest.fixture
def key(client: Callable[..., Any]) -> str:
    """A key's ARN."""
    return str(client("kms").create_key()["KeyMetadata"]["Arn"])


def test_the_trails_tell_which_bucket_to_read(
    aws: WatchedAws,
    store: EventStore,
    clock: Clock,
    endpoint: EndpointProcess,
    trail: Any,
    key: str,
) -> None:
    then = clock.ago(hours=30)
    endpoint.control.history([PastCall(then, ANALYST, "Decrypt", key) for _ in range(3)])
    endpoint.control.deliver()
    pull = puller(aws, store, clock, regions=(HERE, THERE))
    report = pull.pull_events("s3", since=clock.ago(hours=20))
    assert report.coverage.complete, report.gaps
    assert report.regions == (HERE, THERE)
    report = pull.pull_events("s3", since=clock.ago(hours=40))
    assert store.summary("name:Decrypt").events == 3
    # A Region of the trail's in which nothing happened is covered as well.
    assert CoverageRecord(store, lambda: (HERE, THERE), clock=clock).coverage_of(then, clock.now).complete
    assert pull.plan_pull("s3").asked.since == clock.ago(minutes=15)


def test_a_trail_covers_its_own_account_and_no_other_that_delivers_to_its_bucket(
    aws: WatchedAws, store: EventStore, clock: Clock, trail: Any, put: Put
) -> None:
    clock.now += timedelta(hours=3)  # of before it was switched on, a trail covers nothing
    at = clock.ago(hours=1)
    for account in (ACCOUNT, OTHER_ACCOUNT):
        put(log_key(at, prefix="audit/", account=account), log_file(dated(at, recipientAccountId=account)))
    puller(aws, store, clock).pull_events("s3", since=clock.ago(hours=2))
    assert {place.account for place in PullBook(store.file).covered()} == {ACCOUNT}
    assert store.summary("").events == 2


def test_a_trail_that_leaves_kms_out_is_a_gap_and_covers_nothing(
    aws: WatchedAws,
    store: EventStore,
    clock: Clock,
    trail: Any,
    bucket: str,
    endpoint: EndpointProcess,
    put: Put,
    key: str,
) -> None:
    selectors = [
        {
            "ReadWriteType": "All",
            "IncludeManagementEvents": True,
            "ExcludeManagementEventSources": ["kms.amazonaws.com"],
        }
    ]
    endpoint.control.history([PastCall(clock.ago(days=3), ANALYST, "Decrypt", key)])
    endpoint.control.deliver()
    trail.put_event_selectors(TrailName=bucket, EventSelectors=selectors)
    put(log_key(clock.ago(hours=2), prefix="audit/"), log_file(dated(clock.ago(hours=2))))
    report = puller(aws, store, clock).pull_events("s3", since=clock.ago(hours=4))
    assert any("leaves out events of KMS" in gap for gap in report.gaps)
    covered = CoverageRecord(store, lambda: [HERE], clock=clock)
    assert not covered.coverage_of(clock.ago(hours=3), clock.ago(hours=2)).complete


def test_another_trail_that_has_all_makes_of_it_a_remark(
    aws: WatchedAws,
    store: EventStore,
    clock: Clock,
    trail: Any,
    bucket: str,
    client: Callable[..., Any],
    endpoint: EndpointProcess,
    key: str,
) -> None:
    trail.stop_logging(Name=bucket)
    other = f"{bucket}-2"
    client("s3").create_bucket(Bucket=other, CreateBucketConfiguration={"LocationConstraint": HERE})
    trail.create_trail(Name=other, S3BucketName=other, IsMultiRegionTrail=True)
    trail.start_logging(Name=other)
    endpoint.control.history([PastCall(clock.ago(days=3), ANALYST, "Decrypt", key)])
    endpoint.control.deliver()
    report = puller(aws, store, clock).pull_events("s3", since=clock.ago(hours=1))
    assert any("is switched off" in note for note in report.notes)
    assert report.coverage.complete, report.gaps
    covered = CoverageRecord(store, lambda: [HERE], clock=clock)
    assert covered.coverage_of(clock.ago(hours=1), clock.now).complete


def test_a_trail_that_is_switched_off_or_was_covers_nothing(
    aws: WatchedAws, store: EventStore, clock: Clock, trail: Any, bucket: str
) -> None:
    pull = puller(aws, store, clock)
    covered = CoverageRecord(store, lambda: [HERE], clock=clock)
    report = pull.pull_events("s3", since=clock.ago(hours=1))
    assert any("was switched on at" in gap for gap in report.gaps)
    trail.stop_logging(Name=bucket)
    report = pull.pull_events("s3", since=clock.ago(hours=1))
    assert any("is switched off" in gap for gap in report.gaps)
    assert not covered.coverage_of(clock.ago(hours=1), clock.now).complete


@pytest.mark.parametrize(
    ("operation", "said"),
    [("GetEventSelectors", "may leave out events of KMS"), ("GetTrailStatus", "may be switched off")],
)
def test_what_is_not_known_of_a_trail_is_a_gap(
    aws: WatchedAws, store: EventStore, clock: Clock, trail: Any, operation: str, said: str
) -> None:
    aws.instead.append(denying(operation))
    report = puller(aws, store, clock).pull_events("s3", since=clock.ago(minutes=0))
    assert any(f"{said}: aws:{operation} is not allowed." in gap for gap in report.gaps)


@pytest.mark.deep
def test_a_trail_of_which_cloudtrail_does_not_say_whether_it_logs_is_a_gap(
    aws: WatchedAws, store: EventStore, clock: Clock, trail: Any
) -> None:
    def after(operation: str, answer: dict[str, Any]) -> None:
        if operation == "GetTrailStatus":
            del answer["IsLogging"]

    aws.after = after
    report = puller(aws, store, clock).pull_events("s3", since=clock.ago(minutes=0))
    assert any("may be switched off: CloudTrail does not say." in gap for gap in report.gaps)


@pytest.mark.deep
def test_a_delivery_that_fails_is_a_gap(aws: WatchedAws, store: EventStore, clock: Clock, trail: Any) -> None:
    def after(operation: str, answer: dict[str, Any]) -> None:
        if operation == "GetTrailStatus":
            answer["LatestDeliveryError"] = "NoSuch\x1b[31mBucket"

    aws.after = after
    report = puller(aws, store, clock).pull_events("s3", since=clock.now)
    assert any("can't deliver to its bucket (NoSuch[31mBucket)" in gap for gap in report.gaps)


def test_one_bucket_that_is_denied_is_a_gap_and_the_other_is_read(
    aws: WatchedAws,
    store: EventStore,
    clock: Clock,
    trail: Any,
    bucket: str,
    put: Put,
    client: Callable[..., Any],
) -> None:
    other = f"{bucket}-2"
    client("s3").create_bucket(Bucket=other, CreateBucketConfiguration={"LocationConstraint": HERE})
    trail.create_trail(Name=other, S3BucketName=other)
    trail.start_logging(Name=other)
    then = clock.ago(hours=3)
    put(log_key(then, prefix="audit/"), log_file(dated(then)))
    aws.instead.append(denying("ListObjectsV2", Bucket=other))
    pull = puller(aws, store, clock)
    report = pull.pull_events("s3", since=clock.ago(hours=4))
    assert report.new == 1
    assert f"s3://{other}/: aws:ListObjectsV2 is not allowed." in report.gaps
    aws.instead.append(denying("ListObjectsV2"))
    with pytest.raises(KmsAccessDeniedError):
        pull.pull_events("s3", since=clock.ago(hours=4))


def test_without_a_trail_the_operator_is_told_what_to_do(
    aws: WatchedAws, store: EventStore, clock: Clock
) -> None:
    pull = puller(aws, store, clock)
    report = pull.pull_events("s3")
    found = pull.validate(pull.plan_pull("s3"))
    assert (found.well, found.problems) == (False, ("There is no bucket whose files could be validated.",))
    assert report.gaps == ("No trail delivers to a bucket here. Name one: --from s3://bucket/prefix.",)


def test_a_region_in_which_trails_cannot_be_asked_is_a_gap(
    aws: WatchedAws, store: EventStore, clock: Clock, trail: Any
) -> None:
    aws.instead.append(denying("DescribeTrails", THERE))
    pull = puller(aws, store, clock, regions=(HERE, THERE))
    report = pull.pull_events("s3", since=clock.ago(minutes=0))
    assert f"{THERE}: trails: aws:DescribeTrails is not allowed." in report.gaps
    aws.instead.append(denying("DescribeTrails"))
    with pytest.raises(KmsAccessDeniedError):
        pull.pull_events("s3")
