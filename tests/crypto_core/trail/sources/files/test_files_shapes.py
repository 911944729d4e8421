"""Whatever shape events come in, they are the same events; or the file is refused by name."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from crypto_core.lists.paging import Query
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.sources.files.event_files import FileImport
from crypto_core.trail.sources.files.one_file import FileReader
from crypto_core.trail.sources.files.packed_logs import LARGEST
from crypto_core.trail.store import EventStore
from tests.crypto_core.trail.records import context, read, record
from tests.crypto_core.trail.sources.files.shapes import READ, REFUSED, tarred, zipped
from tests.crypto_core.trail.sources.hostile import hostile

HOSTILE = "\x1b[31m[/red]\u202egnp\x00"


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    """A few, one of which names a token."""
    return [record(context=context("gh-42")), record("GenerateDataKey"), record(userAgent=f"a{HOSTILE}")]


def brought(content: bytes, path: Path) -> tuple[list[TrailEvent], str]:
    """The events of a file, and what could not be read of it."""
    path.write_bytes(content)
    events: list[TrailEvent] = []
    outcome = FileReader(events.append, LARGEST).read_file(bytes(path))
    return events, outcome if isinstance(outcome, str) else ""


def test_at_least_18_shapes_are_read_and_the_others_refused() -> None:
    assert len(READ) >= 18
    assert len(READ) + len(REFUSED) >= 23


@pytest.mark.parametrize("shape", READ)
def test_every_record_comes_out_of_its_shape_as_the_event_that_it_is(
    tmp_path: Path, records: list[dict[str, Any]], shape: str
) -> None:
    events, trouble = brought(READ[shape](records), tmp_path / "file")
    assert trouble == ""
    assert {event.event_id: event for event in events} == {one["eventID"]: read(one) for one in records}


def compact(*found: object) -> bytes:
    """A file as CloudTrail writes it: nothing between its values."""
    return json.dumps({"Records": found}, separators=(",", ":"), ensure_ascii=False).encode()


def versioned(**more: object) -> dict[str, Any]:
    """A record whose first field is CloudTrail's first."""
    return {"eventVersion": "1.11"} | record(**more)


NESTED = {"eventVersion": "1.11", "eventName": "Decrypt", "eventSource": "kms.amazonaws.com"}
DEEP: object = json.loads("[" * 300 + "]" * 300)


@pytest.mark.parametrize(
    "content",
    [
        compact(versioned(), versioned(eventName="Encrypt")),
        compact(versioned(requestParameters={"all": [{}, NESTED, NESTED]}), versioned()),
        compact(versioned(requestParameters={"text": ',{"eventVersion":'}), versioned()),
        compact(versioned(userAgent="a\\b\n\u2028é"), versioned(eventID=None)),
        compact(versioned(eventSource="aws:s3", s3={}), versioned()),
        compact(versioned(requestParameters={"deep": DEEP}), versioned()),
        compact(versioned(), {"eventVersion": "1.11"}),
        compact(versioned(), versioned())[:-2] + b',{"eventVersion":]}',
        compact(versioned())[:-2] + b'},{"eventVersion":"1"}]}',
    ],
)
def test_a_small_file_of_cloudtrails_own_is_read_as_any_other(tmp_path: Path, content: bytes) -> None:
    at_once, trouble = brought(gzip.compress(content), tmp_path / "packed")
    events, told = brought(content, tmp_path / "plain")
    assert (at_once, trouble) == (events, told)
    assert [read(json.loads(one.raw)) for one in at_once] == at_once
    assert all(b"\\u" not in one.raw and b"\n" not in one.raw for one in at_once)


@pytest.mark.parametrize("shape", REFUSED)
def test_what_holds_no_whole_record_is_refused_by_name_and_brings_nothing(
    tmp_path: Path, records: list[dict[str, Any]], shape: str
) -> None:
    write, told = REFUSED[shape]
    events, trouble = brought(write(records), tmp_path / "file")
    assert told in trouble
    assert events == []


def test_the_same_events_in_all_shapes_are_stored_once(
    store: EventStore, folder: Path, records: list[dict[str, Any]]
) -> None:
    for number, write in enumerate(READ.values()):
        (folder / f"{number}.json").write_bytes(write(records))
    report = FileImport(store).import_files([folder])
    assert report.failed == ()
    assert report.new == store.count(Query()) == len(records)


@pytest.mark.quick(4)
@pytest.mark.parametrize("shape", READ)
def test_hostile_records_harm_in_no_shape(tmp_path: Path, shape: str) -> None:
    """A record of odd fields can't be written in every shape: what can be comes out the same."""
    kept = []
    for one in hostile():
        try:
            READ[shape]([one])
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
            continue
        kept.append(one)
    if not kept:
        kept = [record(userAgent=HOSTILE, eventName=HOSTILE)]
    events, _ = brought(READ[shape](kept), tmp_path / "file")
    for event in events:
        assert all(c not in text for text in (event.name, event.user_agent, event.event_id) for c in "\x1b\0")


@pytest.mark.parametrize("wrong", [None, 5, "x", [], {}, [[]], {"a": 5}, [5, "x"], "{", HOSTILE, [{}], True])
def test_a_field_of_another_type_is_told_and_never_raises(tmp_path: Path, wrong: object) -> None:
    from crypto_core.trail.sources.files.record_shapes import SHAPES

    for shape in SHAPES:
        for fields in (dict.fromkeys(shape.fields, wrong), {shape.fields[-1]: wrong}):
            if "eventSource" in fields:
                fields["eventSource"] = "aws:s3"
            events, trouble = brought(json.dumps(fields).encode(), tmp_path / "file")
            assert events == []
            assert trouble
            assert "\x1b" not in trouble


def test_a_message_that_was_cut_is_told_and_the_others_read(tmp_path: Path) -> None:
    cut = json.dumps(record())[:200]
    document = {"events": [{"message": json.dumps(record())}, {"message": cut}]}
    events, trouble = brought(json.dumps(document).encode(), tmp_path / "file")
    assert len(events) == 1
    assert trouble == "1 of its 2 records are no events; the others are imported."


def test_the_answer_of_a_query_that_still_runs_is_told(tmp_path: Path) -> None:
    row = [{"field": "@message", "value": json.dumps(record())}]
    events, trouble = brought(json.dumps({"results": [row], "status": "Running"}).encode(), tmp_path / "file")
    assert len(events) == 1
    assert "still running" in trouble


def test_a_table_that_is_cut_short_is_told(tmp_path: Path) -> None:
    content = READ["Athena, CSV"]([record(), record()])
    events, trouble = brought(content[:-40], tmp_path / "file")
    assert len(events) == 1
    assert "cut short" in trouble


def test_one_bad_file_of_an_archive_is_told_by_name_and_the_others_read(tmp_path: Path) -> None:
    sound = gzip.compress(json.dumps({"Records": [record()]}).encode())
    files = {
        "a.json.gz": sound,
        f"b{HOSTILE[:-1]}.json.gz": sound[:-20],
        "c/d.json.gz": sound,
        ".hidden": b"x",
    }
    for write in (tarred, zipped):
        events, trouble = brought(write(files), tmp_path / "file")
        assert len({event.event_id for event in events}) == 1
        assert len(events) == 2
        assert trouble.endswith(".json.gz: The gzip data is cut short.")
        assert "\x1b" not in trouble


def test_an_archive_that_is_damaged_anywhere_is_told(tmp_path: Path) -> None:
    files = {f"{n}.json": json.dumps({"Records": [record()]}).encode() for n in range(3)}
    for whole in (tarred(files), tarred(files, "w"), zipped(files)):
        last = len(whole.rstrip(b"\0")) - (22 if whole.startswith(b"PK") else 0)
        for cut in range(6, last, max(1, len(whole) // 40)):
            _, trouble = brought(whole[:cut], tmp_path / "file")
            assert trouble, cut


def test_archives_within_archives_and_encrypted_ones_are_refused(tmp_path: Path) -> None:
    inner = zipped({"a.json": json.dumps(record()).encode()})
    encrypted = bytearray(inner)
    for at in (6, inner.index(b"PK\x01\x02") + 8):
        encrypted[at] |= 1
    for content, told in (
        (zipped({"inner.zip": inner}), "inner.zip: It is a zip archive within"),
        (zipped({"inner.tar": tarred({"a.json": b"{}"}, "w")}), "inner.tar: It is a tar archive within"),
        (tarred({"inner.tgz": tarred({"a.json": b"{}"})}), "inner.tgz: It is a tar archive within"),
        (bytes(encrypted), "a.json: It is encrypted"),
        (zipped({}), "It holds no records."),
    ):
        events, trouble = brought(content, tmp_path / "file")
        assert events == []
        assert told in trouble


def test_a_bomb_in_an_archive_or_in_base64_is_told(tmp_path: Path) -> None:
    import base64

    zeros = gzip.compress(bytes(40 * 2**20))
    packed = json.dumps({"awslogs": {"data": base64.b64encode(zeros).decode()}}).encode()
    inner = zipped({f"{n}.json": b" " * (4 * 2**20) for n in range(4)})
    for content, told in (
        (packed, "times its size"),
        (tarred({"a.json.gz": zeros}), "times its size"),
        (inner, "times its size"),
    ):
        events, trouble = brought(content, tmp_path / "file")
        assert events == []
        assert told in trouble
