"""Files of audit logs: every shape is read, each event counts once, and what is damaged is named."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import random
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Timer
from typing import Any

import pytest

from crypto_core.forensics.provider_logs.content import LARGEST, Malformed, records_in
from crypto_core.forensics.provider_logs.importer import LogFiles, LogImport
from crypto_core.forensics.provider_logs.mappings import MalformedEventError, read_event
from crypto_core.forensics.provider_logs.store import (
    PULLED,
    STATED,
    CoverBook,
    EventChoice,
    ProviderLog,
    missing,
)
from crypto_core.trail.store.database import StoreFile
from crypto_core.values.errors import EventStoreError, EventVanishedError
from tests.crypto_core.forensics.provider_logs.samples import HASH, atlassian, github, slack

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_NASTY = "[/red]\x1b[31m\u202eevil\x00\nsecond"
_PLAIN = "[/red][31mevil second"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[ProviderLog]:
    file = StoreFile(tmp_path / "store" / "events.sqlite")
    yield ProviderLog(file)
    file.close()


def lines(*records: object) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in records).encode()


def imported(log: ProviderLog, folder: Path, name: str, content: bytes) -> LogImport:
    (folder / name).write_bytes(content)
    return LogFiles(log).import_files([str(folder / name)])


def test_every_provider_and_packing_is_read_and_each_event_counts_once(
    log: ProviderLog, tmp_path: Path
) -> None:
    records = [github(1), slack(2), atlassian(3)]
    shapes = {
        "a.jsonl": lines(*records),
        "b.json": json.dumps(records).encode(),
        "c.json.gz": gzip.compress(lines(*records)),
        "d.jsonl.zst": zstd.compress(lines(*records)),
        "e.json": json.dumps({"entries": [slack(2)], "response_metadata": {}}).encode(),
        "f.json": json.dumps({"data": [atlassian(3)], "meta": {}}, indent=2).encode(),
        "g.json": b"\xef\xbb\xbf" + json.dumps(github(1), indent=1).encode(),
    }
    for name, content in shapes.items():
        report = imported(log, tmp_path, name, content)
        assert report.damaged_number == 0, name
        assert report.new == (3 if name == "a.jsonl" else 0), name
    first, second, third = log.events(EventChoice())
    assert (first.provider, second.provider, third.provider) == ("atlassian", "github", "slack")
    assert second.as_json() == {
        "provider": "github",
        "id": "gh-1",
        "time": "2026-09-21T14:13:21.000+00:00",
        "action": "git.clone",
        "actor": "octocat",
        "address": "198.51.100.9",
        "user_agent": "git/2.45",
        "target": "acme/api",
        "place": "acme",
        "access": "OAuth access token",
        "token_hash_known": True,
    }
    assert (first.place, first.access, first.target) == ("acme.atlassian.net", "api-token", "ACME-1")
    assert (third.place, third.access, third.actor) == ("T01", "A01", "bot@acme.test")
    assert json.loads(log.event("github", "gh-1").raw) == github(1)
    assert log.event("slack", "sl-2").as_json(record=True)["record"]["context"]["app"] == {"id": "A01"}
    with pytest.raises(EventVanishedError, match=r"no event '\[/red\]"):
        log.event("slack", _NASTY)


def test_events_come_in_any_order_and_twice(log: ProviderLog, tmp_path: Path) -> None:
    records = [github(number) for number in range(200)] * 2
    random.Random(4).shuffle(records)
    report = imported(log, tmp_path, "a.jsonl", lines(*records))
    assert (report.events, report.new, report.duplicates) == (400, 200, 200)
    times = [one.at for one in log.events(EventChoice())]
    assert times == sorted(times)
    newest = log.events(EventChoice(), limit=2, newest_first=True)
    assert [one.event_id for one in newest] == ["gh-199", "gh-198"]


def test_git_events_without_an_id_are_known_again_by_their_content(log: ProviderLog, tmp_path: Path) -> None:
    one, other = github(1), github(2)
    for record in (one, other):
        del record["_document_id"], record["created_at"]
    assert imported(log, tmp_path, "git.json.gz", gzip.compress(lines(one, other))).new == 2
    assert imported(log, tmp_path, "again.jsonl", lines(other, one)).new == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{not json", "not JSON"),
        (b'{"@timestamp": NaN, "action": "x"}', "its time is no time"),
        (b"[" * 5_000 + b"]" * 5_000, "not JSON"),
        (b"7", "not a JSON object"),
        (b'{"action": "x", "actor": "y"}', "no event of GitHub's, Slack's or Atlassian's audit log"),
        (lines(github(action={"a": 1})), "its action is no text"),
        (lines(github(**{"@timestamp": True})), "its time is no time"),
        (lines(github(**{"@timestamp": {}, "created_at": 1})), "no event of GitHub's"),
        (lines(github(**{"@timestamp": 10**30})), "its time is not of this century"),
        (lines(github(**{"@timestamp": 3_093_527_980_800_000})), "its time is not of this century"),
        (lines(github(**{"@timestamp": -5})), "its time is not of this century"),
        (lines(atlassian(time="99999-01-01T00:00:00Z")), "its time is no time"),
        (lines(atlassian(time=_NASTY)), "its time is no time"),
        (lines(slack(date_create=1e300)), "its time is not of this century"),
        (b'{"action": "' + b"x" * 10_000_000 + b'", "@timestamp": 1}', "larger than 4 MiB"),
    ],
    ids=range(15),
)
def test_a_damaged_line_is_named_and_the_rest_is_read(
    log: ProviderLog, tmp_path: Path, line: bytes, reason: str
) -> None:
    content = lines(github(1)) + line.rstrip(b"\n") + b"\n\n" + lines(slack(2))
    report = imported(log, tmp_path, "a.jsonl", content)
    assert (report.new, report.damaged_number) == (2, 1)
    (damaged,) = report.damaged
    assert (damaged.file, damaged.number) == (str(tmp_path / "a.jsonl"), 2)
    assert str(damaged).startswith(f"{tmp_path / 'a.jsonl'}:2: ")
    assert reason in damaged.reason


def test_texts_are_made_safe_and_hostile_types_are_no_texts(log: ProviderLog, tmp_path: Path) -> None:
    hostile = github(
        1,
        action=_NASTY,
        actor=_NASTY,
        actor_ip=["10.0.0.1"],
        user_agent=_NASTY * 100,
        repo={"a": 1},
        org=True,
        hashed_token="A" * 44,
        _document_id=_NASTY,
        programmatic_access_type=7,
    )
    assert imported(log, tmp_path, "a.jsonl", lines(hostile)).damaged_number == 0
    (one,) = log.events(EventChoice())
    assert (one.action, one.actor, one.address) == (_PLAIN, _PLAIN, "")
    assert one.event_id.startswith("sha256:")
    assert (one.place, one.target, one.access, one.token_hash) == ("", "", "7", None)
    assert len(one.agent) == 300
    shown = json.dumps(one.as_json(record=True))
    assert "\\u001b" not in shown
    assert "\\u202e" not in shown


def test_an_array_is_read_element_by_element_whatever_the_pieces(tmp_path: Path) -> None:
    texts = ['a"b', "[{]},\\", "\\\\", "ü", '"', '}\\"']
    wanted = [github(number, repo=text) for number, text in enumerate(texts)]
    content = json.dumps([*wanted, {"big": '\\"[{' * 2_000}, github(99)]).encode()
    for size in (1, 2, 7, 64, len(content)):
        pieces = (content[at : at + size] for at in range(0, len(content), size))
        found = list(records_in(pieces, largest=4_000))
        assert [getattr(one, "document", None) for one in found] == [*wanted, None, github(99)]
        assert found[-2] == Malformed(7, "larger than 0 MiB")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "It is empty."),
        (b"   \n ", "It is empty."),
        (b"PAR1....", "is Parquet, which is not read here: write it as JSON: duckdb"),
        (json.dumps([github(1), github(2)]).encode()[:-20], "cut short after 1 element"),
        (gzip.compress(lines(github(1)))[:-9], "cut short"),
        (zstd.compress(lines(github(1)))[:-3], "cut short"),
        (b"\x28\xb5\x2f\xfd" + b"junk" * 9, "Zstandard data is damaged"),
        (gzip.compress(b" " * 40_000_000), "unpacks to more than 100 times"),
        (zstd.compress(b" " * 40_000_000), "unpacks to more than 100 times"),
        (bz2.compress(b" " * 40_000_000), "unpacks to more than 100 times"),
        (lzma.compress(b" " * 40_000_000, preset=0), "unpacks to more than 100 times"),
        (lzma.compress(b"{}\n")[:-9], "cut short"),
    ],
    ids=range(12),
)
def test_a_file_that_cannot_be_read_is_named(
    log: ProviderLog, tmp_path: Path, content: bytes, reason: str
) -> None:
    report = imported(log, tmp_path, "a.bin", content)
    assert report.damaged[-1].number == 0
    assert reason in report.damaged[-1].reason


def test_a_folder_is_read_and_what_is_no_file_is_named(log: ProviderLog, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    (folder / "deeper").mkdir(parents=True)
    (folder / "deeper" / "a.jsonl").write_bytes(lines(github(1)))
    (folder / "b.json").write_bytes(lines(slack(1)))
    (folder / "c.jsonl.zst").write_bytes(zstd.compress(lines(slack(2))))
    (folder / "notes.txt").write_text("nothing")
    report = LogFiles(log).import_files([str(folder), "/dev/null", str(tmp_path / "gone")])
    assert (report.files, report.new, report.damaged_number) == (3, 3, 2)
    assert {one.file for one in report.damaged} == {"/dev/null", str(tmp_path / "gone")}


def test_a_pipe_is_read_and_one_that_brings_nothing_can_be_left(log: ProviderLog) -> None:
    kept, (reading, writing) = os.dup(0), os.pipe()
    cancelled = Event()
    try:
        os.dup2(reading, 0)
        os.write(writing, lines(github(1)))
        ends = Timer(10, os.close, [writing])
        ends.start()
        leaves = Timer(0.5, cancelled.set)
        leaves.start()
        report = LogFiles(log).import_files(["-"], cancelled=cancelled)
        assert (report.files, report.interrupted) == (1, True)
        assert ends.is_alive()
        ends.cancel()
        os.close(writing)
        report = LogFiles(log).import_files(["-"])
        assert (report.files, report.interrupted, report.damaged_number) == (1, False, 1)
    finally:
        os.dup2(kept, 0)
        for descriptor in (kept, reading):
            os.close(descriptor)


def test_a_stated_period_is_covered_unless_something_was_damaged(log: ProviderLog, tmp_path: Path) -> None:
    begin, end = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 9, 30, tzinfo=UTC)
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    bad.write_bytes(lines(github(1)) + b"{\n")
    good.write_bytes(lines(github(1), slack(1)))
    LogFiles(log).import_files([str(bad)], whole=(begin, end))
    assert CoverBook(log.file).periods() == ()
    LogFiles(log).import_files([str(good)], whole=(begin, end))
    assert [(p.provider, p.place, p.origin) for p in CoverBook(log.file).periods()] == [
        ("github", "acme", STATED),
        ("slack", "T01", STATED),
    ]
    later = end + timedelta(days=1)
    assert missing(CoverBook(log.file).periods("github"), begin, end) == ()
    assert missing(CoverBook(log.file).periods("github"), begin, later) == ((end, later),)
    # Pull after pull, what follows on what is covered is one period with it.
    for day in range(3):
        CoverBook(log.file).note(
            "github", "acme", end + timedelta(days=day), later + timedelta(days=day), STATED
        )
    CoverBook(log.file).note("github", "acme", begin, end, PULLED)
    assert [(p.until, p.origin) for p in CoverBook(log.file).periods("github")] == [
        (end, PULLED),
        (end + timedelta(days=3), STATED),
    ]
    assert missing((), begin, end) == ((begin, end),)


def test_old_events_and_what_was_covered_are_forgotten(log: ProviderLog, tmp_path: Path) -> None:
    imported(log, tmp_path, "a.jsonl", lines(*(github(number) for number in range(10))))
    middle = log.events(EventChoice())[4].at
    book = CoverBook(log.file)
    book.note("github", "acme", middle - timedelta(days=9), middle + timedelta(days=1), STATED)
    book.note("github", "acme", middle - timedelta(days=9), middle - timedelta(days=8), STATED)
    assert log.forget_before(middle) == 4
    assert log.count(EventChoice()) == 6
    assert [one.since for one in book.periods()] == [middle]


def test_events_are_chosen_by_provider_time_token_place_and_words(log: ProviderLog, tmp_path: Path) -> None:
    other = github(2, hashed_token=None, org="Other", actor="100%_me")
    imported(log, tmp_path, "a.jsonl", lines(github(1), other, slack(3), atlassian(4)))
    events = {one.event_id: one for one in log.events(EventChoice())}
    token_hash = events["gh-1"].token_hash
    assert token_hash is not None

    def chosen(**choice: Any) -> set[str]:
        return {str(one.event_id) for one in log.events(EventChoice(**choice))}

    assert chosen(provider="github") == {"gh-1", "gh-2"}
    assert chosen(hashes=(token_hash,)) == {"gh-1"}
    assert chosen(places=("T01", "Other")) == {"gh-2", "sl-3"}
    assert chosen(words="0%_M") == {"gh-2"}
    assert chosen(words="' OR 1=1 --") == set()
    assert chosen(since=events["gh-2"].at, until=events["gh-2"].at) == {"gh-2"}
    assert [(one.provider, one.place, one.events) for one in log.summaries()] == [
        ("atlassian", "acme.atlassian.net", 1),
        ("github", "Other", 1),
        ("github", "acme", 1),
        ("slack", "T01", 1),
    ]


def test_the_store_has_no_tables_before_the_first_event_and_none_of_a_newer_keydeck(
    log: ProviderLog, tmp_path: Path
) -> None:
    assert log.events(EventChoice()) == ()
    assert CoverBook(log.file).periods() == ()
    with sqlite3.connect(log.file.path) as plain:
        assert not plain.execute("SELECT 1 FROM sqlite_schema WHERE name LIKE 'provider%'").fetchall()
    plain.close()
    imported(log, tmp_path, "a.jsonl", lines(github(1)))
    log.file.close()
    with sqlite3.connect(log.file.path) as plain:
        plain.execute("INSERT INTO provider_layout VALUES (99)")
    plain.close()
    with pytest.raises(EventStoreError, match="newer Keydeck"):
        log.events(EventChoice())
    with pytest.raises(EventStoreError, match="newer Keydeck"):
        log.add([read_event(github(2), b"{}")])


@pytest.mark.parametrize("value", [None, "", 7, "A" * 43, "A" * 45, "ü" * 44, [HASH], HASH[:-1] + "\n"])
def test_only_the_base64_of_32_bytes_is_a_tokens_hash(value: object) -> None:
    assert read_event(github(1, hashed_token=value), b"{}").token_hash is None


@pytest.mark.parametrize("record", [None, [], "x", {}, {"attributes": []}, {"date_create": 1}])
def test_what_is_no_event_is_refused(record: Any) -> None:
    with pytest.raises(MalformedEventError):
        read_event(record, b"{}")


def test_a_record_keeps_its_size_bounded() -> None:
    assert LARGEST <= 4 * 1024 * 1024
    whole: Mapping[str, Any] = github(1)
    assert read_event(whole, b"{}").raw == b"{}"
