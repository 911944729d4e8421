"""Records of a week of normal traffic, and of many attacks in the day behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from crypto_core.trail.rules.configured import Configured
from crypto_core.trail.store.event_questions import Span
from tests.crypto_core.trail.records import KEY, NOW, OTHER_KEY, context, denied, record, role, user
from tests.crypto_core.trail.rules.watching import DAY, FOREIGN, HOUR, change, normal, trail_call

HOSTILE = 'x\'; DROP TABLE "event"; -- \x1b[31m[/red]\u202e'
RETIRED = OTHER_KEY
CONFIGURED = Configured(KEY, (), (RETIRED,))
END = NOW + timedelta(seconds=1)
WINDOW = Span(NOW - timedelta(days=1), NOW - timedelta(seconds=299, microseconds=1))
EVER = Span(None, END)


def refused(name: str, ago: float, who: Mapping[str, Any]) -> Mapping[str, Any]:
    return denied(name, who=who, eventTime=record(ago=ago)["eventTime"])


def attacks() -> Iterator[Mapping[str, Any]]:
    yield from normal(8, context=context("gh-1"))
    thief, prober = role("thief"), role("prober")
    yield from (
        record(ago=5_000 - 2 * n, context=context(f"gh-{n}"), who=thief, sourceIPAddress=f"203.0.113.{n % 9}")
        for n in range(70)
    )
    yield from (record(ago=3_500 - 3 * n, who=user(HOSTILE)) for n in range(230))
    operations = ("Decrypt", "DescribeKey", "ListKeys", "GetKeyPolicy", "ReEncrypt")
    yield from (refused(operations[n % 5], 20_000 - 7 * n, prober) for n in range(25))
    yield from (refused(name, 70_000 - n * HOUR * 3, user("slow")) for n, name in enumerate(operations))
    yield record(ago=60, sourceIPAddress="198.51.100.7", userAgent="curl/8", vpcEndpointId="vpce-1")
    yield record(ago=61, awsRegion="us-east-1", sessionCredentialFromConsole="true")
    yield record(ago=DAY * 3 + 5, errorCode="InvalidCiphertextException")
    yield record(ago=62, errorCode="InvalidCiphertextException")
    yield record("Decrypt", key=RETIRED, ago=63)
    yield record("GenerateDataKey", ago=DAY * 2)
    yield record("GenerateDataKey", key=KEY.replace("111122223333", FOREIGN), ago=64)
    yield record("ListKeys", who={"type": "Root", "arn": "arn:aws:iam::111122223333:root"}, ago=65)
    yield change("DisableKey", {"keyId": KEY}, key=KEY, ago=500)
    yield change("ScheduleKeyDeletion", {"keyId": KEY, "pendingWindowInDays": 7}, key=KEY, ago=400)
    yield trail_call("StopLogging", ago=300)
    yield trail_call("UpdateTrail", {"s3BucketName": "trail-bucket"}, ago=290)
    for n, bucket in enumerate(("trail-bucket", "another")):
        yield change(
            "DeleteBucket", {"bucketName": bucket}, key=None, eventSource="s3.amazonaws.com", ago=280 - n
        )
    yield record(ago=-8 * HOUR)


FOUND = {
    *("event-bulk-tokens", "event-bulk-decrypt", "event-failed-burst", "event-denied-slowly"),
    *("event-context-wrong", "event-context-missing", "event-decrypt-new-principal", "event-retired-key"),
    *("event-decrypt-new-network", "event-decrypt-new-endpoint", "event-decrypt-new-region"),
    *("event-decrypt-new-agent", "event-decrypt-human", "event-console-use", "event-root-use"),
    *("event-wrong-write-key", "event-key-ransom", "event-trail-bucket-deleted"),
}
"""The rules that find something, at least."""
