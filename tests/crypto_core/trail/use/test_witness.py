"""The store as a witness that an old key was used, or was not."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from crypto_core.trail.coverage_record import CoverageRecord
from crypto_core.trail.sources.pull_query import LATE, seconds
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import PullBook, PullScope, TimeWindow
from crypto_core.trail.use.witness import StoreWitness
from tests.crypto_core.trail.records import (
    ACCOUNT,
    KEY,
    NOW,
    OTHER_KEY,
    REGION,
    denied,
    event,
    read,
    role,
    user,
)

BEGIN = NOW - timedelta(hours=6)
HOUR = 3600


@pytest.fixture
def record(store: EventStore) -> CoverageRecord:
    return CoverageRecord(store, lambda: (REGION,), clock=lambda: NOW)


@pytest.fixture
def witness(store: EventStore, record: CoverageRecord) -> StoreWitness:
    return StoreWitness(store, record.reached, clock=lambda: NOW)


def cover(
    store: EventStore, since: datetime, until: datetime, region: str = REGION, account: str = ACCOUNT
) -> None:
    """Note that all KMS events of a time were fetched."""
    run, window = PullScope("lookup", region, account=account), TimeWindow(seconds(since), seconds(until))
    PullBook(store.file).cover(run, window, int(NOW.timestamp()))


def test_no_event_proves_nothing_where_nothing_was_fetched(witness: StoreWitness) -> None:
    seen = witness.uses([KEY], BEGIN)
    assert not seen.proves_no_use
    assert seen.covered_until is None
    assert "nothing was fetched" in str(seen)
    assert "proves nothing" in str(seen)


def test_no_use_is_claimed_as_far_as_was_fetched(store: EventStore, witness: StoreWitness) -> None:
    cover(store, BEGIN - timedelta(hours=1), NOW - timedelta(hours=2))
    seen = witness.uses([KEY], BEGIN)
    assert seen.proves_no_use
    assert seen.covered_until == NOW - timedelta(hours=2)
    assert "not used from 2026-11-25 06:00:00 UTC to 2026-11-25 10:00:00 UTC" in str(seen)


def test_what_cloudtrail_may_still_deliver_is_not_claimed(store: EventStore, witness: StoreWitness) -> None:
    cover(store, BEGIN, NOW + timedelta(days=1))
    assert witness.uses([KEY], BEGIN).covered_until == NOW - LATE


def test_a_hole_is_named_and_proves_nothing(store: EventStore, witness: StoreWitness) -> None:
    cover(store, BEGIN, BEGIN + timedelta(hours=1))
    cover(store, BEGIN + timedelta(hours=3), NOW)
    seen = witness.uses([KEY], BEGIN)
    assert not seen.proves_no_use
    assert seen.gaps == (f"{ACCOUNT} {REGION}: not fetched from 2026-11-25 07:00 to 2026-11-25 09:00 UTC.",)


def test_what_another_account_s_trail_holds_says_nothing_of_a_key(
    store: EventStore, witness: StoreWitness
) -> None:
    for account in ("999988887777", ""):
        cover(store, BEGIN, NOW, account=account)
    seen = witness.uses([KEY], BEGIN)
    assert not seen.proves_no_use
    assert any(gap.startswith(f"{ACCOUNT} {REGION}: nothing was fetched") for gap in seen.gaps)
    cover(store, BEGIN, NOW)
    assert witness.uses([KEY], BEGIN).proves_no_use


def test_every_region_of_the_key_counts_whatever_is_configured(
    store: EventStore, witness: StoreWitness
) -> None:
    elsewhere = KEY.replace(REGION, "us-east-1")
    cover(store, BEGIN, NOW)
    assert witness.uses([KEY], BEGIN).proves_no_use
    seen = witness.uses([KEY, elsewhere], BEGIN)
    assert not seen.proves_no_use
    assert any("us-east-1" in gap for gap in seen.gaps)
    cover(store, BEGIN, NOW - timedelta(hours=3), "us-east-1")
    assert witness.uses([KEY, elsewhere], BEGIN).covered_until == NOW - timedelta(hours=3)


def test_uses_and_what_was_sealed_are_counted_by_whom(store: EventStore, witness: StoreWitness) -> None:
    cover(store, BEGIN, NOW)
    store.add(
        [
            event("GenerateDataKey", ago=2 * HOUR),
            event("Decrypt", ago=HOUR),
            event("Decrypt", ago=HOUR + 60, who=role("batch", "b-1")),
            event("Decrypt", ago=7 * HOUR),  # before
            event("Decrypt", ago=HOUR, key=OTHER_KEY),
            event("DescribeKey", ago=HOUR),
            read(denied(who=user())),
        ]
    )
    seen = witness.uses([KEY], BEGIN)
    assert (seen.uses, seen.seals) == (3, 1)
    assert seen.last_at == NOW - timedelta(hours=1)
    assert seen.last_seal_at == NOW - timedelta(hours=2)
    assert [name.rsplit("/", 1)[-1] for name in seen.by] == ["platform", "batch"]
    assert not seen.proves_no_use
    assert "3 uses since" in str(seen)


@pytest.mark.parametrize(("old_first", "seals"), [(True, 0), (False, 1)], ids=["away", "into"])
def test_a_reencrypt_away_from_the_old_key_seals_nothing_under_it(
    store: EventStore, witness: StoreWitness, *, old_first: bool, seals: int
) -> None:
    ends = (KEY, OTHER_KEY) if old_first else (OTHER_KEY, KEY)
    resources = [{"accountId": "1", "type": "AWS::KMS::Key", "ARN": arn} for arn in ends]
    store.add([event("ReEncrypt", ago=HOUR, resources=resources)])
    seen = witness.uses([KEY], BEGIN)
    assert (seen.uses, seen.seals) == (1, seals)
