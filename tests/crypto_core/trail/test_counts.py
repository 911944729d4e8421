"""Counts, histograms and pivots are exactly those of a page's events, however they are counted."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from crypto_core.lists.paging import Query
from crypto_core.trail.columns import seconds
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import PIVOTS
from crypto_core.trail.store import EventStore
from tests.benchmarks.trail_store import fill
from tests.crypto_core.trail.records import NOW, context, denied, event, read, role, user

FILTERS = (
    *("", "-service", "human", "error:*", "since:30h", "since:30h until:50m", "hour:0..9", "weekday:mon,sat"),
    *(
        "session:api-1",
        "-session:api-1",
        "session:*",
        "-session:*",
        "-token:*gh-1",
        "-token:*",
        "token:*gh-*",
    ),
    *("session:api-1 OR human", "-session:api-1 -session:api-2 since:3d", "-(session:api-1 human)"),
    *("(session:api-1 token:*) OR (principal:*ana* -token:*gh-2)", "-(session:api-2 OR error:*) hour:3..20"),
    *("-reviewed", "reviewed", "reviewed OR session:api-1", "-message:*authorized*", "-access_key:*EXAMPLE*"),
    *("-id:event-3", "-(time:>2020-01-01 session:api-2)", "-receipt:nothing", "-session:api-*"),
    # Most of the texts that there are: all but a few events are counted before.
    *("session:*pi-1,*pi-2,*pi-3", "-session:*pi-1,*pi-2,*pi-3 since:2h", "message:*authorized* OR human"),
    *(
        "-(session:*pi-1,*pi-2,*pi-3 error:*) hour:3..20",
        "session:*pi-1,*pi-2,*pi-3 OR -access_key:*EXAMPLE*",
    ),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventStore]:
    opened = EventStore(tmp_path_factory.mktemp("counts") / "events.sqlite", clock=lambda: NOW)
    events: list[TrailEvent] = []
    for n in range(240):
        about = {"context": context(f"gh-{n % 5}")} if n % 3 else {}
        who = user("ana") if n % 7 == 0 else role("platform", f"api-{n % 4}")
        events.append(event(ago=(n * n * 37) % 11_000, who=who, eventID=f"event-{n}", **about))
        if n % 11 == 0:
            events.append(read(denied(ago=n * 43, who=who)))
    for start in (120, 0, 200, 60):  # late, out of order, and again
        opened.add(events[start : start + 90])
    opened.review(["event-5", "event-9"], "ana")
    yield opened
    opened.close()


def shown(store: EventStore, expression: str) -> list[TrailEvent]:
    return [row.event for row in store.page(Query(expression, "time"), limit=1_000).rows]


@pytest.mark.parametrize("expression", FILTERS)
def test_whatever_is_counted_agrees_with_the_events_of_the_filter(store: EventStore, expression: str) -> None:
    events = shown(store, expression)
    times = [one.time for one in events]
    summary = store.summary(expression)
    assert (summary.events, summary.first, summary.last) == (
        len(events),
        min(times, default=None),
        max(times, default=None),
    )
    assert store.count(Query(expression)) == len(events)
    for bars in (5, 2_000):
        histogram = store.histogram(expression, bars=bars)
        counted = [(bar.events, bar.failed) for bar in histogram.bars] if histogram else []
        assert sum(number for number, _ in counted) == len(events)
        assert sum(failed for _, failed in counted) == sum(one.failed for one in events)
        for bar in histogram.bars if histogram and bars == 5 else ():
            within = [at for at in map(seconds, times) if bar.at <= at < bar.at + histogram.seconds]
            assert bar.events == len(within)


OF = {
    "principal": lambda one: [one.principal.arn],
    "error": lambda one: [one.error_code],
    "key": lambda one: list(one.key_arns),
    "token": lambda one: [str(one.token_ref or "")],
    "session": lambda one: [one.principal.session],
}


@pytest.mark.parametrize("expression", FILTERS)
def test_each_value_has_its_events_and_its_first_and_last(store: EventStore, expression: str) -> None:
    events = shown(store, expression)
    for field, texts in OF.items():
        times: dict[str, list[int]] = defaultdict(list)
        for one in events:
            for text in filter(None, texts(one)):
                times[text].append(seconds(one.time))
        expected = {text: (len(at), min(at), max(at)) for text, at in times.items()}
        found = store.pivot(field, expression)
        assert {v.text: (v.events, v.first, v.last) for v in found.values} == expected, field
        assert [v.events for v in found.values] == sorted((n for n, *_ in expected.values()), reverse=True)


AGAIN = """
SELECT at / {0}, profile, count(*), min(at % {0}), max(at % {0}) FROM event GROUP BY 1, 2 ORDER BY 1, 2
"""
SAME = "FROM event JOIN identity ON event = event.id AND identity.at = event.at AND day = event.at / 86400"
UNKNOWN = "SELECT DISTINCT session, at / 3600 FROM event WHERE session EXCEPT SELECT text, hour FROM presence"


def test_the_benchmarks_store_is_what_an_import_makes(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    fill(path, 6_000, processes=0)
    with closing(sqlite3.connect(path)) as file:
        for table, name, width in (("rollup", "hour", 3_600), ("daily", "day", 86_400)):
            kept = file.execute(f"SELECT {name}, profile, events, begins, ends FROM {table} ORDER BY 1, 2")
            again = file.execute(AGAIN.format(width))
            assert kept.fetchall() == again.fetchall()
        for counted in (f"SELECT count(*) {SAME}", "SELECT count(DISTINCT event) FROM identity"):
            assert file.execute(counted).fetchone() == (6_000,)
        assert file.execute(UNKNOWN).fetchall() == []
    with closing(EventStore(path)) as opened:
        assert opened.count(Query("token:*")) == sum(
            v.events for v in opened.pivot("token", limit=9_999).values
        )
        span = opened.summary("")
        assert span.events == 6_000
        assert span.first is not None
        assert span.last is not None
        assert timedelta(days=29) < span.last - span.first < timedelta(days=31)
        assert len(opened.page(Query("", "time"), limit=50).rows) == 50
        assert all(opened.pivot(name).values for name in PIVOTS)
