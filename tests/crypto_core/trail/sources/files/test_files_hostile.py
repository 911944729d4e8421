"""Hostile events harm neither the store nor what reads from it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto_core.lists.paging import Query
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import PIVOTS
from crypto_core.trail.record_compression import pack, unpack
from crypto_core.trail.record_reader import as_raw, load, read_record, read_records
from crypto_core.trail.sources.files.event_files import FileImport
from crypto_core.trail.sources.files.packed_logs import UnreadableError
from crypto_core.trail.sources.files.record_shapes import records_of
from crypto_core.trail.store import EventStore
from tests.crypto_core.trail.records import record
from tests.crypto_core.trail.sources.hostile import hostile, nested
from tests.lanes import examples

FIELDS = (
    *("eventName", "eventSource", "awsRegion", "eventID", "eventType", "sourceIPAddress", "userAgent"),
    *("errorCode", "errorMessage", "requestID", "eventTime", "userIdentity", "requestParameters"),
    *("responseElements", "resources", "additionalEventData", "serviceEventDetails", "recipientAccountId"),
    *("readOnly", "sessionCredentialFromConsole", "Records", "Events", "CloudTrailEvent", "type", "arn"),
    *("accountId", "accessKeyId", "invokedBy", "userName", "sessionContext", "sessionIssuer", "attributes"),
    *("mfaAuthenticated", "encryptionContext", "keyId", "keyMaterialId", "aliasName", "ARN"),
    *("keydeck:table", "keydeck:column", "keydeck:id"),
)
SESSION = "arn:aws:sts::111122223333:assumed-role/a/b"
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text(st.characters(codec=None))
    | st.sampled_from(["kms.amazonaws.com", "Decrypt", "2026-11-25T12:00:00Z", SESSION]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), inner, max_size=8)
    ),
    max_leaves=20,
)


def texts(event: TrailEvent) -> list[str]:
    """All texts of an event that are shown."""
    who = event.principal
    return [
        *(event.event_id, event.name, event.source, event.region, event.account, event.event_type),
        *(event.source_ip, event.user_agent, event.error_code, event.error_message, event.alias),
        *(event.request_id, *event.key_arns, *event.material_ids, str(event.token_ref or "")),
        *(*event.encryption_context, *event.encryption_context.values()),
        *(who.kind, who.arn, who.session, who.account, who.access_key_id, who.invoked_by, who.name),
    ]


def assert_clean(event: TrailEvent) -> None:
    for text in texts(event):
        assert len(text) <= 1_024
        assert not {unicodedata.category(c) for c in text} & {"Cc", "Cf", "Cs", "Zl", "Zp"}, ascii(text)


@pytest.mark.deep
def test_hostile_events_are_stored_and_come_out_clean(store: EventStore, folder: Path) -> None:
    records = hostile()
    ids = {event.event_id for one in records if (event := read_record(one)) is not None}
    (folder / "hostile.json").write_text(json.dumps({"Records": records}))
    (folder / "sound.json").write_text(json.dumps(record()))
    report = FileImport(store).import_files([folder])
    assert report.failed == ()
    assert (report.records, report.new) == (len(records) + 1, len(ids) + 1)
    page = store.page(Query(), limit=1_000)
    assert len(page.rows) == report.new
    for row in page.rows:
        assert_clean(row.event)
        assert load(row.event.raw)
        json.dumps(row.as_json())
        assert store.event(row.event.event_id).number == row.number
    for field in PIVOTS:
        store.pivot(field)
    assert store.histogram() is not None
    assert FileImport(store).import_files([folder], again=True).new == 0


def test_what_is_nested_too_deeply_to_be_written_is_left_out_of_the_record_alone() -> None:
    deep = record(requestParameters=nested(5_000), eventID="deep")
    raw = as_raw(deep)
    assert load(raw) == {key: value for key, value in deep.items() if key != "requestParameters"}
    found = read_record(deep)
    again = read_record(load(raw), raw)
    assert found is not None
    assert found == again


def test_answers_of_lookup_events_within_one_another_end() -> None:
    document: Any = {"Events": []}
    for _ in range(400):
        document = {"Events": [document]}
    assert [read_record(one) for one in records_of(document)] == [None]


def test_one_unreadable_answer_of_lookup_events_does_not_take_the_others_along() -> None:
    answers = [{"CloudTrailEvent": "{"}, {"CloudTrailEvent": json.dumps(record())}, {"CloudTrailEvent": 5}]
    found = [read_record(one) for one in records_of({"Events": answers})]
    assert [event is not None for event in found] == [False, True, False]


@pytest.mark.deep
@settings(max_examples=examples(400), suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(FIELDS), VALUES) | VALUES)
def test_read_record_never_raises_and_its_texts_are_clean_and_bounded(value: Any) -> None:
    for one in (value, *records_of(value)):
        event = read_record(one)
        if event is not None:
            assert_clean(event)
            assert read_record(load(event.raw), event.raw) == event


@given(st.lists(st.binary(max_size=5_000)))
def test_what_is_packed_is_unpacked(records: list[bytes]) -> None:
    blocks = pack(records)
    assert [record for _, block in blocks for record in unpack(block)] == records
    assert [place for place, _ in blocks] == sorted({place for place, _ in blocks})


@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), VALUES) | VALUES, max_size=140))
def test_records_read_together_are_read_as_each_by_itself(values: list[Any]) -> None:
    assert list(read_records(values)) == [read_record(value) for value in values]
    raws = [(event.raw if event else None) for event in read_records(values)]
    assert raws == [(event.raw if (event := read_record(value)) else None) for value in values]


def test_what_came_before_a_trouble_is_read() -> None:
    def cut_short() -> Iterator[object]:
        yield from (record(eventID=str(n)) for n in range(70))
        raise UnreadableError("cut")

    found = read_records(cut_short())
    assert [next(found).event_id for _ in range(70)] == [str(n) for n in range(70)]  # type: ignore[union-attr]
    with pytest.raises(UnreadableError):
        next(found)
