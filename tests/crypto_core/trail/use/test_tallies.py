"""Counts by several columns, days, and arrivals: the same as counting the events one by one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from crypto_core.trail.event import UNDATED, TrailEvent
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.arrivals import BEGINNING
from crypto_core.values.errors import KeydeckError
from tests.crypto_core.trail.records import KEY, NOW, OTHER_KEY, context, denied, event, read, role, user


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    opened = EventStore(tmp_path / "events.sqlite", clock=lambda: NOW)
    yield opened
    opened.close()


def many(count: int = 400) -> list[TrailEvent]:
    draw = random.Random(5)
    made = []
    for n in range(count):
        ago = draw.uniform(0, 5 * 86_400)
        who = draw.choice((role("platform"), user("intruder"), role("ops", "ana")))
        if n % 10 == 0:
            at = (NOW - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
            made.append(read(denied(who=user(), eventTime=at)))
        else:
            name = draw.choice(("Decrypt", "GenerateDataKey"))
            made.append(event(name, ago=ago, who=who, key=draw.choice((KEY, OTHER_KEY))))
    return made


@pytest.mark.parametrize("fields", [("principal",), ("name", "error"), ("principal", "key", "material"), ()])
@pytest.mark.parametrize("filter_", ["", "since:50h", "principal:*intruder* until:3h"])
def test_groups_are_those_of_the_events_with_exact_ends(
    store: EventStore, fields: tuple[str, ...], filter_: str
) -> None:
    events = many()
    store.add(events)
    since, until = (50, 0) if "50h" in filter_ else (10_000, 3 if filter_ else 0)
    of = {
        "principal": lambda e: e.principal.arn,
        "name": lambda e: e.name,
        "error": lambda e: e.error_code,
        "key": lambda e: " ".join(e.key_arns),
        "material": lambda e: " ".join(e.material_ids),
    }
    expected: dict[tuple[str, ...], list[TrailEvent]] = {}
    for one in events:
        if not NOW - timedelta(hours=since) <= one.time <= NOW - timedelta(hours=until):
            continue
        if "intruder" in filter_ and "intruder" not in one.principal.arn:
            continue
        expected.setdefault(tuple(of[f](one) for f in fields), []).append(one)
    found = store.tally(fields, filter_)
    assert {row.texts for row in found.rows} == set(expected)
    for row in found.rows:
        alike = expected[row.texts]
        assert row.events == len(alike)
        assert row.failed == row.denied == sum(e.denied for e in alike)
        assert (row.first, row.last) == (min(e.time for e in alike), max(e.time for e in alike))


def test_what_is_over_the_limit_is_counted_not_dropped(store: EventStore) -> None:
    store.add([event(who=role(f"r{n}")) for n in range(5)] + [event(who=role("r0"))])
    found = store.tally(("principal",), limit=2)
    assert [row.events for row in found.rows] == [2, 1]
    assert (found.others, found.rest, found.events) == (3, 3, 6)


def test_days_are_those_of_utc_also_before_1970(store: EventStore) -> None:
    events = [*many(), event(eventTime="1969-12-31T23:00:00Z"), event(eventTime=None)]
    store.add(events)
    assert {d.day: d.events for d in store.by_day()} == Counter(e.time.date() for e in events)
    assert store.by_day()[0].day == UNDATED.date()


def test_an_unknown_field_is_refused(store: EventStore) -> None:
    with pytest.raises(KeydeckError, match="no order"):
        store.tally(("body",))


def test_a_star_alone_asks_whether_there_is_any_value(store: EventStore) -> None:
    store.add([event(context=context("gh-1")), event(context=context("gh-2")), event()])
    assert store.tally((), "token:*").events == 2
    assert store.tally((), "-token:*").events == 1
    assert store.tally((), "token:*,x").events == 2
    assert store.tally((), 'token:"*"').events == 0


def test_arrivals_come_in_the_order_of_coming_whatever_their_date(store: EventStore) -> None:
    early, late, other = event(ago=10), event(ago=9_000), event(ago=5, key=OTHER_KEY)
    store.add([early])
    first = store.arrivals(f"key:{KEY}")
    assert [s.event.event_id for s in first.events] == [early.event_id]
    store.add([other, late])
    second = store.arrivals(f"key:{KEY}", first.reached)
    assert [s.event.event_id for s in second.events] == [late.event_id]
    assert store.arrivals(f"key:{KEY}", second.reached).events == ()


def test_arrivals_come_in_portions(store: EventStore) -> None:
    events = [event(ago=n) for n in range(7)]
    store.add(events)
    seen: list[str] = []
    reached, more = BEGINNING, True
    while more:
        portion = store.arrivals("", reached, limit=3)
        seen += [s.event.event_id for s in portion.events]
        reached, more = portion.reached, portion.more
    assert seen == [e.event_id for e in events]


def test_arrivals_begin_anew_once_the_newest_were_forgotten(store: EventStore) -> None:
    store.add([event(ago=timedelta(days=1)), event(ago=timedelta(days=500))])
    reached = store.arrivals().reached
    store.forget_before(400)
    again = event(ago=3)
    store.add([again])  # it is given the number of the one that was forgotten
    found = store.arrivals("", reached)
    assert again.event_id in {s.event.event_id for s in found.events}
