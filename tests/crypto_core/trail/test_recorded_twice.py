"""One call that CloudTrail records twice counts once, and the record that tells more of it counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import permutations
from typing import Any

import pytest

from crypto_core.lists.paging import Query
from crypto_core.trail.columns import EventProperty
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.schema import VERSION
from tests.crypto_core.trail.records import ACCOUNT, NOW, denied, read, record, role
from tests.crypto_core.trail.test_store_upgrade import make_older

SHARED, REQUEST = "0ed5a7cc-8b6c-4b0f-9a5c-5f1f6a1b7c11", "7d9f2f2e-1d7f-4a55-8f7c-2d6f0f6b9f10"
OTHER_ACCOUNT = "999988887777"
STRANGER = {"type": "AWSAccount", "principalId": "AROAEXAMPLE", "accountId": OTHER_ACCOUNT}

CALLERS = record(ago=60, who=role("reader"), eventID="callers", sharedEventID=SHARED)
"""What the caller's account recorded of a call under another account's key."""
OWNERS = record(
    ago=60, who=STRANGER, eventID="owners", sharedEventID=SHARED, recipientAccountId=OTHER_ACCOUNT
)
CALL = record(ago=30, eventID="call", requestID=REQUEST, vpcEndpointId="vpce-1")
WAY = {**CALL, "eventID": "way", "eventType": "AwsVpceEvent", "eventCategory": "NetworkActivity"}
ALONE = record(ago=10, eventID="alone", requestID=SHARED)


def add(store: EventStore, records: Sequence[Mapping[str, Any]], *, together: bool) -> None:
    events = [read(one) for one in records]
    for batch in [events] if together else [[one] for one in events]:
        store.add(batch)


def ids(store: EventStore, expression: str = "") -> set[str]:
    return {row.event.event_id for row in store.page(Query(filter=expression)).rows}


def by_hour(store: EventStore) -> tuple[list[Any], list[Any]]:
    """The hours' counts, as they are kept and as they are counted anew."""
    anew = "SELECT at / 3600 AS hour, profile, count(*) FROM event GROUP BY hour, profile"
    with closing(sqlite3.connect(store.file.path)) as file:
        kept = file.execute("SELECT hour, profile, events FROM rollup").fetchall()
        return sorted(kept), sorted(file.execute(anew).fetchall())


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
@pytest.mark.parametrize("order", list(permutations((CALLERS, OWNERS, CALL, WAY, ALONE), 5))[::17])
def test_in_whatever_order_the_records_come_each_call_counts_once(
    store: EventStore, order: tuple[Mapping[str, Any], ...], together: bool
) -> None:
    add(store, order, together=together)
    assert ids(store) == {"callers", "call", "alone"}
    assert ids(store, "twin") == {"owners", "way"}
    assert store.summary("").events == store.count(Query()) == 3
    assert sum(v.events for v in store.pivot("principal").values) == 3
    assert store.tally(("principal",), "").events == 3
    assert len(store.arrivals().events) == 3
    kept, counted = by_hour(store)
    assert kept == counted
    # Both are kept, and found by their ids.
    for one in ("owners", "way"):
        assert store.event(one).event.event_id == one
        assert ids(store, f"id:{one}") == {one}
    add(store, order, together=together)
    assert store.count(Query()) == 3


def test_a_store_of_before_twins_tells_them_as_if_it_always_had(store: EventStore) -> None:
    forged = {**CALLERS, "eventID": "forged", "eventName": "ScheduleKeyDeletion"}
    late = {**CALLERS, "eventID": "late", "eventTime": record(ago=3_600)["eventTime"]}
    every = [WAY, forged, OWNERS, ALONE, CALL, late, CALLERS]
    add(store, every, together=False)
    with closing(sqlite3.connect(store.file.path)) as file:
        before = sorted(file.execute("SELECT key, id, detail FROM twin"))
    make_older(store, (), VERSION - 1)
    with closing(sqlite3.connect(store.file.path)) as file:
        file.executescript(f"UPDATE event SET marks = marks & ~{int(EventProperty.TWIN)}; DROP TABLE twin;")
    assert ids(store) == {"callers", "call", "alone", "forged", "late"}
    assert ids(store, "twin") == {"owners", "way"}
    assert sum(v.events for v in store.pivot("principal").values) == 5
    with closing(sqlite3.connect(store.file.path)) as file:
        after = sorted(file.execute("SELECT key, id, detail FROM twin"))
    assert {key for key, *_ in after} == {key for key, *_ in before}
    # A record that comes later still finds its call.
    add(store, [{**WAY, "eventID": "third"}], together=True)
    assert ids(store, "twin") == {"owners", "way", "third"}


def test_a_way_without_a_call_counts(store: EventStore) -> None:
    refused = {**denied(), **{k: WAY[k] for k in ("eventType", "requestID", "vpcEndpointId")}}
    add(store, [{**refused, "errorCode": "VpceAccessDenied", "eventID": "refused"}], together=True)
    assert ids(store, "denied") == {"refused"}


@pytest.mark.parametrize(
    "other",
    [
        {**CALLERS, "eventID": "forged", "eventName": "ScheduleKeyDeletion"},
        {**CALLERS, "eventID": "forged", "eventTime": record(ago=3_600)["eventTime"]},
    ],
    ids=["another operation", "another time"],
)
def test_another_call_is_not_hidden_by_an_id_that_it_has_too(
    store: EventStore, other: Mapping[str, Any]
) -> None:
    for order in ([CALLERS, other], [other, CALLERS]):
        add(store, order, together=False)
    assert ids(store) == {"callers", "forged"}
    assert ids(store, "twin") == set()


def test_what_is_forgotten_is_forgotten_whole(store: EventStore) -> None:
    add(store, [CALLERS, OWNERS, CALL, WAY], together=True)
    store._clock = lambda: NOW.replace(year=NOW.year + 1)
    store.forget_before(30)
    with closing(sqlite3.connect(store.file.path)) as file:
        assert file.execute("SELECT count(*) FROM twin").fetchone() == (0,)
    # What is read again is counted again.
    add(store, [OWNERS, CALLERS], together=False)
    assert ids(store) == {"callers"}
    assert read(CALLERS).account == ACCOUNT
