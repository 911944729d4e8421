"""Receipts that are kept in a list, and the records that CloudTrail has of the same calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from console.sandbox.sandbox import Sandbox
from crypto_core.aws.receipts.receipt import OPERATIONS, LostReceipts, Receipt
from crypto_core.aws.receipts.recorder import ReceiptRecorder


class Kept:
    """A sink of the caller's own: a function that takes a batch."""

    def __init__(self) -> None:
        self.all: list[Receipt | LostReceipts] = []

    def __call__(self, batch: Sequence[Receipt | LostReceipts]) -> None:
        self.all += batch

    @property
    def receipts(self) -> list[Receipt]:
        return [one for one in self.all if isinstance(one, Receipt)]


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def recorder(kept: Kept) -> Iterator[ReceiptRecorder]:
    recorder = ReceiptRecorder(kept, service="tests", linger=0.0)
    yield recorder
    recorder.close()


@pytest.fixture
def records(sandbox: Sandbox) -> Callable[[str], dict[str, dict[str, Any]]]:
    """CloudTrail's records about a key that opened, made or rewrapped something, by request id."""
    trail = sandbox.client("cloudtrail")

    def look_up(key: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        by_key = [{"AttributeKey": "ResourceName", "AttributeValue": key}]
        for page in trail.get_paginator("lookup_events").paginate(LookupAttributes=by_key):
            for event in page["Events"]:
                record = json.loads(event["CloudTrailEvent"])
                if record["eventName"] in OPERATIONS and "errorCode" not in record:
                    found[record["requestID"]] = record
        return found

    return look_up
