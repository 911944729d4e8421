"""Events made ready for the store: with some left out, they are as if those had never been given."""

from __future__ import annotations

import pickle
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto_core.trail.columns import stored_id
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_columns import Prepared, prepare
from crypto_core.trail.record_compression import unpack
from crypto_core.trail.record_reader import read_record
from tests.crypto_core.trail.records import record
from tests.lanes import examples

IDS = st.sampled_from([f"id-{n}" for n in range(12)])


@st.composite
def events(draw: st.DrawFn) -> TrailEvent:
    """An event; one id in twelve."""
    name = draw(st.sampled_from(["Decrypt", "Encrypt", "ListBuckets"]))
    source = "kms.amazonaws.com" if name != "ListBuckets" else "s3.amazonaws.com"
    found = read_record(
        record(name, eventID=draw(IDS), eventSource=source, awsRegion=draw(st.text(max_size=3)))
    )
    assert found is not None
    return replace(found, raw=draw(st.sampled_from([b"{}", b"{\n}", b"x" * 40_000, found.raw])))


def records(prepared: Prepared) -> list[bytes]:
    return [one for _, block in prepared.blocks for one in unpack(block)]


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events(), max_size=40), st.sets(IDS))
def test_without_some_events_is_as_if_they_had_not_been_given(
    found: list[TrailEvent], gone: set[str]
) -> None:
    whole = prepare(found)
    left = whole.of([one not in set(map(stored_id, gone)) for one in whole.ids])
    alone = prepare([event for event in found if event.event_id not in gone])
    assert (left.ids, left.at, left.marks) == (alone.ids, alone.at, alone.marks)
    assert (left.kinds, left.common, left.columns) == (alone.kinds, alone.common, alone.columns)
    assert records(left) == records(alone)
    assert (left.given, left.kms, left.kms_given) == (whole.given, whole.kms, whole.kms_given)


@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events(), max_size=40))
def test_the_first_of_a_kind_stays_and_all_are_counted(found: list[TrailEvent]) -> None:
    first: dict[str, TrailEvent] = {}
    for event in found:
        first.setdefault(event.event_id, event)
    prepared = pickle.loads(pickle.dumps(prepare(found)))
    assert prepared == prepare(found)
    assert prepared.ids == [stored_id(one) for one in first]
    assert records(prepared) == [event.raw for event in first.values()]
    assert prepared.given == len(found)
    assert prepared.kms_given == sum(event.is_kms for event in found)
    assert prepared.kms == sum(event.is_kms for event in first.values())
    region = prepared.common["region"]
    assert [region.texts[region.places[kind]] for kind in prepared.kinds] == [
        event.region for event in first.values()
    ]
