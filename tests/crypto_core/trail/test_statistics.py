"""Groups of events by fields and by the clock: as counted one by one in memory."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crypto_core.lists.filter_language import HOURS, WEEKDAYS, passes
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.query import parse, values
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.statistics import FIELDS, GroupsQuestion, Threshold, threshold
from crypto_core.trail.store.tallies import Tallies
from crypto_core.values.errors import KeydeckError
from tests.crypto_core.trail.records import NOW, context, denied, event, read, role, user
from tests.lanes import examples

SIGNS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "=": operator.eq}


def _sample() -> Iterator[TrailEvent]:
    people = (role(), role("platform", "api-2"), user("ana"), user("\x1b[31m[/red]"))
    for n in range(60):
        ago = timedelta(minutes=37 * n, seconds=n * 7)
        who = people[n % 3 if n % 7 else 3]
        yield event(("Decrypt", "Encrypt")[n % 2], who=who, ago=ago, context=context(f"gh-{n % 5}"))
        if n % 4 == 0:
            yield read(denied(who=who, ago=ago))
    yield event(ago=NOW - NOW.replace(hour=0) + timedelta(hours=12))
    yield event(eventTime="never")
    yield event(eventTime="1969-12-28T23:59:59Z")


SAMPLE = [replace(one, event_id=f"{n:08d}-aaaa-bbbb-cccc-0123456789ab") for n, one in enumerate(_sample())]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventStore]:
    store = EventStore(tmp_path_factory.mktemp("events") / "events.sqlite", clock=lambda: NOW)
    store.add(SAMPLE)
    yield store
    store.close()


def _value(one: TrailEvent, field: str) -> str:
    if field in EVENT_FIELDS:
        return EVENT_FIELDS[field].text(one)
    if not one.dated:
        return ""
    clock = {"hour": HOURS[one.time.hour], "weekday": WEEKDAYS[one.time.weekday()]}
    return clock.get(field, one.time.date().isoformat())


def expected(
    fields: list[str], expression: str, distinct: str, thresholds: list[Threshold]
) -> dict[tuple[str, ...], tuple[object, ...]]:
    clauses = parse(expression, NOW)
    groups: dict[tuple[str, ...], list[TrailEvent]] = defaultdict(list)
    for one in SAMPLE:
        if passes(clauses, lambda field, one=one: values(one, field, {})):  # type: ignore[misc]
            groups[tuple(_value(one, field) for field in fields)].append(one)
    found = {}
    for key, events in groups.items():
        measures = {
            "count": len(events),
            "failed": sum(one.failed for one in events),
            "denied": sum(one.denied for one in events),
            "distinct": len({_value(one, distinct) for one in events} - {""}) if distinct else None,
        }
        if all(SIGNS[one.sign](measures[one.measure], one.number) for one in thresholds):
            times = [one.time for one in events]
            found[key] = (*measures.values(), min(times), max(times))
    return found


def _told(found: Tallies) -> dict[tuple[str, ...], tuple[object, ...]]:
    return {
        row.texts: (row.events, row.failed, row.denied, row.distinct, row.first, row.last)
        for row in found.rows
    }


_FILTERS = st.sampled_from(
    ["", "-failed", "since:7h", "since:390m until:95m", "hour:22..06", "token:gh-1 OR failed", "name:Nothing"]
)
_THRESHOLDS = st.builds(
    Threshold,
    st.sampled_from(["count", "failed", "denied"]),
    st.sampled_from(sorted(SIGNS)),
    st.integers(0, 6),
)


@given(
    st.lists(st.sampled_from(FIELDS), unique=True, max_size=3),
    _FILTERS,
    st.sampled_from(["", "token", "ip", "day", "hour", "principal"]),
    st.lists(_THRESHOLDS, max_size=2),
)
@example(["principal", "hour"], "since:390m until:95m", "token", [Threshold("count", ">", 1)])
@example(["day"], "", "day", [])
@example([], "name:Nothing", "", [])
@settings(max_examples=examples(200))
def test_groups_are_those_of_the_events_one_by_one(
    filled: EventStore, fields: list[str], expression: str, distinct: str, thresholds: list[Threshold]
) -> None:
    question = GroupsQuestion(tuple(fields), distinct, tuple(thresholds), 1_000)
    found = filled.groups(question, expression)
    assert _told(found) == expected(fields, expression, distinct, thresholds)
    assert (found.others, found.rest) == (0, 0)
    sizes = [row.events for row in found.rows]
    assert sizes == sorted(sizes, reverse=True)
    few = filled.groups(replace(question, limit=2), expression)
    assert few.rows == found.rows[:2]
    assert (few.others, few.rest) == (max(len(sizes) - 2, 0), sum(sizes[2:]))


def test_what_is_different_is_counted_without_those_that_have_nothing(filled: EventStore) -> None:
    (row,) = filled.groups(GroupsQuestion((), "token", (Threshold("distinct", "=", 5),))).rows
    assert row.distinct == 5
    assert filled.groups(GroupsQuestion((), "token", (Threshold("distinct", ">", 5),))).rows == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("count>100", Threshold("count", ">", 100)),
        (" distinct >= 5 ", Threshold("distinct", ">=", 5)),
        ("failed=0", Threshold("failed", "=", 0)),
        ("count", None),
        ("events>5", None),
        ("count>x", None),
        ("count>5 or 1=1", None),
    ],
)
def test_a_threshold_is_written_so(text: str, found: Threshold | None) -> None:
    assert threshold(text) == found


def test_a_field_that_there_is_not_is_named(filled: EventStore) -> None:
    with pytest.raises(KeydeckError, match="nme"):
        filled.tally(["nme"])
