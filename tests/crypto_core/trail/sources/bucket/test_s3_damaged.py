"""Files in a bucket that can't be read: each is named, and the others are read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import pytest

from crypto_core.trail.coverage_record import CoverageRecord
from crypto_core.trail.sources.bucket import objects
from crypto_core.trail.sources.bucket.objects import BrokenObjectError, unpacked
from crypto_core.trail.store import EventStore
from tests.crypto_core.trail.records import NOW
from tests.crypto_core.trail.sources.amazon import (
    HERE,
    THERE,
    Clock,
    WatchedAws,
    dated,
    log_file,
    log_key,
    puller,
)

Put = Callable[..., str]


DAMAGED: dict[str, tuple[bytes, str]] = {
    "truncated": (log_file(dated(NOW))[:-9], "truncated gzip."),
    "damaged": (log_file(dated(NOW))[:40] + b"\xff" * 40, "damaged gzip"),
    "no-json": (gzip.compress(b'{"Records": ['), "it is not JSON"),
    "text": (b"<Error>\x1b[31m", "it is not JSON"),
    "empty": (b"", "it is not JSON"),
    "no-records": (b'{"a": 1}', "1 records can't be read."),
    "null": (b"null", "1 records can't be read."),
    "values": (b'{"Records":[{}' + b",{}" * 90_000 + b"]}", "it has more than 100,000 JSON values"),
    "bomb": (gzip.compress(bytes(2_000_000)), "it unpacks to more than 1 MB."),
}


@pytest.mark.deep
@pytest.mark.parametrize("kind", list(DAMAGED))
def test_a_file_that_cannot_be_read_is_named_by_every_pull_and_the_others_are_read(
    aws: WatchedAws,
    store: EventStore,
    clock: Clock,
    bucket: str,
    put: Put,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setattr(objects.unpacked, "__defaults__", (1024 * 1024,))
    then = clock.ago(hours=3)
    body, reason = DAMAGED[kind]
    broken = put(log_key(then), body)
    put(log_key(then), log_file(dated(then)))
    put(log_key(then, region=THERE), log_file(dated(then, awsRegion=THERE)))
    pull = puller(aws, store, clock, regions=(HERE, THERE))
    for new in (2, 0):
        report = pull.pull_events(f"s3://{bucket}", since=clock.ago(hours=4))
        assert report.new == new
        (gap,) = report.gaps
        assert gap.startswith(f"s3://{bucket}/{broken}: {reason}")
        assert "\x1b" not in gap
    covered = CoverageRecord(store, lambda: (HERE, THERE), clock=clock).coverage_of(then, clock.now)
    assert [r.partition(":")[0] for r in covered.reasons] == [HERE]


def test_one_record_that_is_none_leaves_the_rest_of_its_file(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put
) -> None:
    then = clock.ago(hours=3)
    put(log_key(then), gzip.compress(json.dumps({"Records": [dated(then), 7, None, dated(then)]}).encode()))
    report = puller(aws, store, clock).pull_events(f"s3://{bucket}", since=clock.ago(hours=4))
    assert report.new == 2
    assert "2 records can't be read." in report.gaps[0]


def test_an_object_that_is_too_large_is_not_read_whole(
    aws: WatchedAws, store: EventStore, clock: Clock, bucket: str, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "MOST_BYTES", 1024 * 1024)
    put(log_key(clock.now), bytes(3 * 1024 * 1024))
    report = puller(aws, store, clock).pull_events(f"s3://{bucket}", since=clock.ago(hours=4))
    assert "it has more than 1 MB." in report.gaps[0]


def test_gzip_members_one_after_another_are_one_file() -> None:
    assert unpacked(gzip.compress(b"ab") + gzip.compress(b"cd") + bytes(8)) == b"abcd"
    with pytest.raises(BrokenObjectError):
        unpacked(gzip.compress(b"ab") + gzip.compress(b"cd")[:-4])
    with pytest.raises(BrokenObjectError):
        unpacked(gzip.compress(bytes(600)) + gzip.compress(bytes(600)), 1_000)
