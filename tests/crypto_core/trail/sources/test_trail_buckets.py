"""Changes of the trails' own buckets: fetched by every source, followed, and told where they are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from console.sandbox.endpoint import EndpointProcess
from crypto_core.trail.columns import seconds
from crypto_core.trail.rules.examination import Examined
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.sources.puller import find_buckets
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import DeliveryBucket, PullBook, PullScope, TimeWindow
from tests.crypto_core.trail.sources.amazon import ACCOUNT, HERE, THERE, Clock, WatchedAws, denying, puller

LIFECYCLE = {
    "Rules": [{"ID": "all", "Status": "Enabled", "Expiration": {"Days": 1}, "Filter": {"Prefix": ""}}]
}
_OURS = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "s3:*", "Resource": "*"}
SHUT = json.dumps({"Version": "2012-10-17", "Statement": [_OURS]})
"""A policy without the statement that lets CloudTrail write."""


@pytest.fixture
def trail(client: Callable[..., Any], bucket: str) -> Any:
    """A trail that delivers to the bucket; it is gone after the test."""
    made = client("cloudtrail")
    made.create_trail(Name=bucket, S3BucketName=bucket, IsMultiRegionTrail=True)
    made.start_logging(Name=bucket)
    yield made
    for one in made.describe_trails()["trailList"]:
        made.delete_trail(Name=one["Name"])


def examined(store: EventStore, clock: Clock, hours: float = 1) -> Examined:
    """What the rules say of the last hours."""
    rules = TrailRules(store, clock=clock)
    return rules.examine_events(clock.ago(hours=hours), clock.now + timedelta(minutes=1))


def rules_told(found: Examined) -> list[str]:
    """The rules about buckets that found something."""
    return sorted({one.rule for one in found.findings if one.rule.startswith("event-trail-bucket-")})


def about(found: Examined, bucket: str) -> list[str]:
    """The gaps about a bucket."""
    return [gap.reason for gap in found.gaps if bucket in gap.reason]


def test_what_an_intruder_does_to_the_bucket_is_found_by_lookup_events_and_in_the_files(
    aws: WatchedAws,
    store: EventStore,
    clock: Clock,
    endpoint: EndpointProcess,
    client: Callable[..., Any],
    trail: Any,
    bucket: str,
) -> None:
    s3 = client("s3")
    other = f"{bucket}-pictures"
    s3.create_bucket(Bucket=other, CreateBucketConfiguration={"LocationConstraint": HERE})
    for name in (bucket, other):
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=LIFECYCLE)
        s3.put_bucket_policy(Bucket=name, Policy=SHUT)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    clock.now += timedelta(minutes=1)
    wanted = ["event-trail-bucket-expiry", "event-trail-bucket-policy", "event-trail-bucket-unprotected"]
    pull = puller(aws, store, clock, regions=(THERE,))
    report = pull.pull_events(since=clock.ago(hours=1))
    assert report.coverage.complete, report.gaps
    found = examined(store, clock)
    assert rules_told(found) == wanted
    assert {one.subject for one in found.findings} == {f"arn:aws:s3:::{bucket}"}
    assert store.summary("source:s3").events == 4  # CreateBucket too; none of the other bucket
    assert about(found, bucket) == []

    endpoint.control.deliver()
    with_files = EventStore(store.file.path.with_name("files.sqlite"))
    puller(aws, with_files, clock).pull_events(f"s3://{bucket}", since=clock.ago(hours=1))
    assert rules_told(examined(with_files, clock)) == wanted
    with_files.close()

    # Trail and bucket are gone: what is followed stays so, and the deletion is found.
    trail.delete_trail(Name=bucket)
    for one in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
        s3.delete_object(Bucket=bucket, Key=one["Key"])
    s3.delete_bucket_policy(Bucket=bucket)
    s3.delete_bucket(Bucket=bucket)
    clock.now += timedelta(minutes=1)
    pull.pull_events()
    assert "event-trail-bucket-deleted" in rules_told(examined(store, clock))


@pytest.mark.deep
def test_a_bucket_that_is_gone_before_the_first_pull_is_looked_for_where_its_trail_is(
    aws: WatchedAws, store: EventStore, clock: Clock, client: Callable[..., Any], trail: Any, bucket: str
) -> None:
    client("s3").delete_bucket(Bucket=bucket)
    clock.now += timedelta(minutes=1)
    report = puller(aws, store, clock).pull_events(since=clock.ago(hours=1))
    (gap,) = report.gaps
    assert gap.startswith(f"Changes of the trail's bucket {bucket} are looked for in {HERE} alone")
    found = examined(store, clock)
    assert "event-trail-bucket-deleted" in rules_told(found)
    assert len(about(found, bucket)) == 1


def test_where_buckets_are_not_known_that_is_a_gap_and_no_silence(
    aws: WatchedAws, store: EventStore, clock: Clock, trail: Any, bucket: str
) -> None:
    pull = puller(aws, store, clock)
    aws.instead.append(denying("GetBucketLocation"))
    assert any("aws:GetBucketLocation is not allowed" in gap for gap in pull.pull_events().gaps)
    (told,) = about(examined(store, clock), bucket)
    assert "were not fetched from" in told
    aws.instead.append(denying("DescribeTrails"))
    (gap, *_) = pull.pull_events().gaps
    assert gap == f"{HERE}: which buckets trails deliver to: aws:DescribeTrails is not allowed."
    aws.instead.clear()
    assert pull.pull_events(since=clock.ago(hours=2)).coverage.complete
    assert about(examined(store, clock), bucket) == []


@pytest.mark.deep
def test_a_pull_of_before_covers_no_change_of_a_bucket(
    aws: WatchedAws, store: EventStore, clock: Clock, trail: Any, bucket: str
) -> None:
    book, now = PullBook(store.file), seconds(clock.now)
    # What an older Keydeck noted of its pulls.
    for scope in ("kms", "EventSource=cloudtrail.amazonaws.com kms"):
        window = TimeWindow(now - 90_000, now - 3_000)
        book.cover(PullScope("lookup", HERE, scope, account=ACCOUNT), window, now)
    pull = puller(aws, store, clock)
    plan = pull.plan_pull()
    assert plan.asked.since == clock.ago(seconds=3_000)
    pull.run_pull(plan)
    (told,) = about(examined(store, clock, hours=24), bucket)
    assert "keydeck events pull --since" in told


def test_buckets_of_the_oldest_regions_and_what_a_pull_is_asked(
    aws: WatchedAws, store: EventStore, clock: Clock, trail: Any, bucket: str
) -> None:
    book = PullBook(store.file)
    for said, region in ((None, "us-east-1"), ("EU", "eu-west-1"), ("us-gov-west-1", "us-gov-west-1")):
        aws.instead = [
            lambda name, *_: {"LocationConstraint": said} if name == "GetBucketLocation" else None  # noqa: B023
        ]
        (found,) = find_buckets(aws, book, [HERE], ACCOUNT, None).known
        assert found == DeliveryBucket(bucket, region, ACCOUNT)
    assert aws.named("GetBucketLocation")[-1]["ExpectedBucketOwner"] == ACCOUNT
    aws.instead = []
    assert [one.name for one in puller(aws, store, clock).plan_pull().asked.buckets] == [bucket]
