"""The trail's bucket: what is read of it, what is not read twice, and what can't be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event
from typing import Any

import pytest

from crypto_core.lists.paging import Query
from crypto_core.trail.coverage_record import CoverageRecord
from crypto_core.trail.sources.bucket.places import place_at
from crypto_core.trail.sources.report import PullProgress
from crypto_core.trail.store import EventStore
from crypto_core.values.errors import (
    InterruptedRunError,
    KmsAccessDeniedError,
    KmsUnreachableError,
    SettingsError,
)
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


def times(store: EventStore) -> list[datetime]:
    """When the events of the store happened, the newest first."""
    return sorted((row.event.time for row in store.page(Query(""), limit=100).rows), reverse=True)


def test_files_of_all_accounts_regions_and_organisations_are_read(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put
) -> None:
    then = clock.ago(hours=3)
    organisation = f"o-abcd1234/{OTHER_ACCOUNT}"
    for account, region in ((ACCOUNT, HERE), (ACCOUNT, THERE), (OTHER_ACCOUNT, HERE), (organisation, HERE)):
        put(log_key(then, account=account, region=region), log_file(dated(then, awsRegion=region)))
    plain = json.dumps({"Records": [dated(then), dated(then)]}).encode()
    put(log_key(then, region="eusc-de-east-1"), plain)
    report = puller(aws, store, clock).pull_events(f"s3://{bucket}", since=clock.ago(hours=4))
    assert (report.pages, report.records, report.new, report.kms) == (5, 6, 6, 6)
    assert report.regions == (HERE, "eusc-de-east-1", THERE)
    assert report.coverage.complete, report.gaps


def test_digests_insights_and_what_is_not_cloudtrails_are_left_alone(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put
) -> None:
    then = clock.ago(hours=3)
    put(log_key(then), log_file(dated(then)))
    for kind in ("CloudTrail-Digest", "CloudTrail-Insight", "Config"):
        put(log_key(then, kind=kind), log_file(dated(then)))
    put("elsewhere/x.json.gz", log_file(dated(then)))
    put(f"AWSLogs/{ACCOUNT}/CloudTrail/{HERE}/{then:%Y/%m/%d}/", b"")
    put(f"AWSLogs/notes/CloudTrail/{HERE}/{then:%Y/%m/%d}/x.json.gz", log_file(dated(then)))
    report = puller(aws, store, clock).pull_events(f"s3://{bucket}", since=clock.ago(hours=4))
    assert (report.pages, report.new, report.gaps) == (1, 1, ())


def test_a_prefix_is_kept_to_however_it_is_written(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put
) -> None:
    then = clock.ago(hours=3)
    put(log_key(then, prefix="audit/one/"), log_file(dated(then)))
    put(log_key(then), log_file(dated(then)))
    for written in ("audit/one", "audit/one/", f"audit/one/AWSLogs/{ACCOUNT}/CloudTrail/"):
        report = puller(aws, store, clock).pull_events(f"s3://{bucket}/{written}", since=clock.ago(hours=4))
        assert report.records == (1 if written == "audit/one" else 0)
    assert store.summary("").events == 1


@pytest.mark.parametrize(
    "address", ["s3://", "s3://B", "s3://a/b\nc".replace("a/", "_/"), "s3://-x/y"], ids=range(4)
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="not an S3 address"):
        place_at(address, HERE)


def test_the_next_pull_reads_new_files_only(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put
) -> None:
    then = clock.ago(hours=3)
    put(log_key(then), log_file(dated(then)))
    pull = puller(aws, store, clock)
    pull.pull_events(f"s3://{bucket}", since=clock.ago(hours=4))
    new = put(log_key(clock.now), log_file(dated(clock.ago(minutes=20))))
    aws.asked.clear()
    plan = pull.plan_pull(f"s3://{bucket}")
    assert plan.asked.since == clock.ago(minutes=15)
    report = pull.run_pull(plan)
    assert (report.new, report.duplicates) == (1, 0)
    assert [p["Key"] for p in aws.named("GetObject")] == [new]
    aws.asked.clear()
    assert pull.pull_events(f"s3://{bucket}", since=clock.ago(hours=4)).pages == 0
    assert aws.named("GetObject") == []


def test_a_file_that_came_late_is_found_in_the_folder_of_an_earlier_day(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put
) -> None:
    pull = puller(aws, store, clock)
    put(log_key(clock.now), log_file(dated(clock.now)))
    pull.pull_events(f"s3://{bucket}", since=clock.ago(hours=1))
    late = clock.ago(days=2)
    put(log_key(late), log_file(dated(late)))
    report = pull.pull_events(f"s3://{bucket}")
    assert report.new == 1
    assert times(store) == [clock.now, late]


def test_a_file_with_another_content_is_another_file(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put
) -> None:
    then = clock.ago(hours=3)
    pull = puller(aws, store, clock)
    key = put(log_key(then), log_file(dated(then)))
    pull.pull_events(f"s3://{bucket}", since=clock.ago(hours=4))
    put(key, log_file(dated(then)))
    assert pull.pull_events(f"s3://{bucket}", since=clock.ago(hours=4)).new == 1


def test_another_filter_reads_the_files_again(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put
) -> None:
    then = clock.ago(hours=3)
    put(log_key(then), log_file(dated(then), dated(then, "Encrypt")))
    pull = puller(aws, store, clock)
    for expression, new in (("name:Encrypt", 1), ("", 1), ("name:Decrypt", 0)):
        report = pull.pull_events(f"s3://{bucket}", since=clock.ago(hours=4), expression=expression)
        assert (report.records, report.new) == (2, new), expression
        covered = CoverageRecord(store, lambda: [HERE], clock=clock).coverage_of(then, clock.now)
        assert covered.complete is (expression != "name:Encrypt")


def test_an_object_that_is_denied_is_a_gap_and_the_rest_is_read(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put
) -> None:
    then = clock.ago(hours=3)
    denied = put(log_key(then), log_file(dated(then)))
    put(log_key(then), log_file(dated(then)))
    aws.instead.append(denying("GetObject", Key=denied))
    pull = puller(aws, store, clock)
    report = pull.pull_events(f"s3://{bucket}", since=clock.ago(hours=4))
    assert (report.new, report.gaps) == (1, (f"s3://{bucket}/{denied}: aws:GetObject is not allowed.",))
    aws.instead.clear()
    assert pull.pull_events(f"s3://{bucket}", since=clock.ago(hours=4)).new == 1


def test_one_folder_that_is_denied_is_a_gap_and_the_others_are_read(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put
) -> None:
    then = clock.ago(hours=3)
    for region in (HERE, THERE):
        put(log_key(then, region=region), log_file(dated(then, awsRegion=region)))
    aws.instead.append(denying("ListObjectsV2", Prefix=f"AWSLogs/{ACCOUNT}/CloudTrail/{HERE}/"))
    report = puller(aws, store, clock).pull_events(f"s3://{bucket}", since=clock.ago(hours=4))
    assert report.new == 1
    assert report.gaps == (f"s3://{bucket}/: {ACCOUNT} {HERE}: aws:ListObjectsV2 is not allowed.",)


def test_a_bucket_that_cannot_be_listed_or_is_not_there_says_so(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str
) -> None:
    pull = puller(aws, store, clock)
    with pytest.raises(Exception, match="There is no such bucket"):
        pull.pull_events("s3://nobody-has-made-this-one")
    report = pull.pull_events(f"s3://{bucket}")
    assert report.gaps == (f"s3://{bucket}/: there are no folders of CloudTrail's below AWSLogs/.",)
    aws.instead.append(denying("ListObjectsV2"))
    with pytest.raises(KmsAccessDeniedError):
        pull.pull_events(f"s3://{bucket}")


@pytest.mark.deep
def test_a_network_that_breaks_down_is_not_tried_for_every_file(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put
) -> None:
    then = clock.ago(hours=3)
    for _ in range(100):
        put(log_key(then), log_file(dated(then)))

    def instead(operation: str, _region: str, _parameters: dict[str, Any]) -> None:
        if operation == "GetObject":
            raise KmsUnreachableError("No answer", operation=operation)

    aws.instead.append(instead)
    report = puller(aws, store, clock).pull_events(f"s3://{bucket}", since=clock.ago(hours=4))
    assert report.new == 0
    assert f"s3://{bucket}/: {ACCOUNT} {HERE}: No answer" in report.gaps
    assert len(aws.named("GetObject")) < 60


@pytest.mark.deep
def test_a_cancelled_pull_keeps_what_it_read_and_reads_it_no_more(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put
) -> None:
    then = clock.ago(hours=3)
    for _ in range(60):
        put(log_key(then), log_file(dated(then)))
    cancelled = Event()

    def told(progress: PullProgress) -> None:
        if progress.pages >= 20:
            cancelled.set()

    pull = puller(aws, store, clock)
    plan = pull.plan_pull(f"s3://{bucket}", since=clock.ago(hours=4))
    with pytest.raises(InterruptedRunError):
        pull.run_pull(plan, progress=told, cancelled=cancelled)
    kept = store.summary("").events
    assert kept >= 20
    report = pull.run_pull(plan)
    assert (report.new, report.pages) == (60 - kept, 60 - kept)
    assert report.coverage.complete


def test_a_window_of_years_is_listed_in_a_few_questions(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put
) -> None:
    old = clock.ago(days=900)
    put(log_key(old), log_file(dated(old)))
    put(log_key(clock.now), log_file(dated(clock.now)))
    pull = puller(aws, store, clock)
    report = pull.pull_events(f"s3://{bucket}", since=datetime.fromisoformat("0001-01-01T00:00:00Z"))
    assert report.since.year == 2013
    assert report.new == 2
    assert len(aws.named("ListObjectsV2")) < 10


def test_days_that_were_not_asked_for_are_not_read(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put
) -> None:
    # By its name of another day, whenever it was written.
    for days in (30, 12, 5):
        put(log_key(clock.ago(days=days)), log_file(dated(clock.ago(days=days))))
    report = puller(aws, store, clock).pull_events(
        f"s3://{bucket}", since=clock.ago(days=13), until=clock.ago(days=11)
    )
    assert (report.pages, report.new) == (1, 1)
    assert times(store) == [clock.ago(days=12)]


def test_only_the_regions_that_are_named_are_read(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put
) -> None:
    then = clock.ago(hours=3)
    for region in (HERE, THERE):
        put(log_key(then, region=region), log_file(dated(then, awsRegion=region)))
    report = puller(aws, store, clock).pull_events(
        f"s3://{bucket}", since=clock.ago(hours=4), regions=[THERE, "eu-north-1"]
    )
    assert (report.new, report.regions) == (1, (THERE,))
    assert report.gaps == ("eu-north-1: no bucket has a folder of this Region.",)
    assert timedelta(0) == clock.now - report.until


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("s3://logs", ""),
        ("s3://logs/", ""),
        ("s3://logs/AWSLogs", ""),
        ("s3://logs/audit/AWSLogs/123456789012/CloudTrail", "audit/"),
        ("s3://logs/audit//x/", "audit//x/"),
        ("s3://logs/myAWSLogs/x", "myAWSLogs/x/"),
    ],
    ids=range(6),
)
def test_an_address_ends_where_cloudtrails_folders_begin(address: str, prefix: str) -> None:
    place = place_at(address, HERE)
    assert (place.bucket, place.prefix) == ("logs", prefix)
