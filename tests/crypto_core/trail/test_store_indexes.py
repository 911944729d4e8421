"""Whatever index answers a filter, the events are the same; and the index that was chosen is used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from crypto_core.lists.paging import Query
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pages import by_index
from crypto_core.trail.store.schema import event as table
from tests.crypto_core.trail.records import NOW, context, denied, event, read, user


@pytest.fixture
def events() -> list[TrailEvent]:
    return [
        event(ago=1, context=context("gh-1")),
        event(ago=2),
        event(ago=3, who=user("intruder"), sourceIPAddress="198.51.100.7"),
        read(denied(who=user("intruder"))),
        event(ago=5, who={"type": "AWSService", "invokedBy": "backup.amazonaws.com"}),
    ]


@pytest.fixture
def store(tmp_path: Path, events: list[TrailEvent]) -> Iterator[EventStore]:
    opened = EventStore(tmp_path / "events.sqlite", clock=lambda: NOW)
    opened.add(events)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ("token:*gh-1", {0}),
        ("token:*", {0}),
        ("-token:*", {1, 2, 3, 4}),
        ("access_key:ASIAEXAMPLE", {0, 1}),
        ("access_key:*", {0, 1, 2, 3}),
        ("session:api-1", {0, 1}),
        ("session:*", {0, 1}),
        ("error:AccessDenied", {3}),
        ("error:*", {3}),
        ("error:* -token:*", {3}),
        ("ip:198.51.100.7", {2}),
        ("principal:user/intruder", {2, 3}),
        ("principal:*", {0, 1, 2, 3, 4}),
        ("principal:user/intruder message:*authorized*", {3}),
        ("message:*", {3}),
        ("token:* ip:10.20.1.17 since:1h", {0}),
    ],
)
def test_pages_counts_and_tallies_agree(
    store: EventStore, events: list[TrailEvent], filter_: str, expected: set[int]
) -> None:
    ids = {events[number].event_id for number in expected}
    for descending in (True, False):
        page = store.page(Query(filter_, "time", descending=descending))
        assert {stored.event.event_id for stored in page.rows} == ids
    assert store.count(Query(filter_)) == len(ids)
    for fields in ((), ("principal",), ("token",), ("session", "name")):
        assert store.tally(fields, filter_).events == len(ids)
    assert sum(day.events for day in store.by_day(filter_)) == len(ids)
    assert {s.event.event_id for s in store.arrivals(filter_).events} == ids


@pytest.mark.parametrize("column", ["token", "at"])
def test_the_index_that_was_chosen_is_the_one_that_is_used(store: EventStore, column: str) -> None:
    chosen = by_index(select(table.c.at).where(table.c[column].in_([1, 2])), f"ix_event_{column}")
    with store.file.reading() as connection:
        plan = str(chosen.compile(connection, compile_kwargs={"literal_binds": True}))
        steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {plan}").all()
        assert f"ix_event_{column}" in str(steps)
        connection.execute(chosen).all()
