"""Days, tokens that are there at all, and arrivals: as the events are counted one by one."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from crypto_core.trail.event import UNDATED
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.new_since import BEGINNING
from tests.crypto_core.trail.records import KEY, OTHER_KEY, context, event


def test_days_are_those_of_utc_also_before_1970(store: EventStore) -> None:
    events = [
        *(event(ago=n * 4_321) for n in range(100)),
        event(eventTime="1969-12-31T23:00:00Z"),
        event(eventTime=None),
    ]
    store.add(events)
    assert {d.day: d.events for d in store.by_day()} == Counter(e.time.date() for e in events)
    assert store.by_day()[0].day == UNDATED.date()


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
