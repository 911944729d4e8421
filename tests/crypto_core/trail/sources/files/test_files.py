"""Importing files and folders: what is found, in which shapes, and what is not read a second time."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from crypto_core.lists.paging import Query
from crypto_core.trail.sources.files.event_files import FileImport
from crypto_core.trail.sources.files.import_report import ImportProgress, ImportReport
from crypto_core.trail.store import EventStore, SeenFile
from tests.crypto_core.trail.records import record

CORPUS = Path(__file__).parents[6] / "shared" / "corpus" / "cloudtrail-invictus"


def put(path: Path, records: list[Any], *, packed: bool = False) -> Path:
    """Write a file as CloudTrail does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"Records": records}).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    return report.files, report.records, report.new, len(report.failed)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here")
def test_all_of_the_corpus_is_imported_with_the_right_counts(store: EventStore) -> None:
    report = FileImport(store).import_files([CORPUS])
    assert counts(report) == (55, 2_900, 2_900, 0)
    assert report.kms == 240
    assert {v.text: v.events for v in store.pivot("name", "source:kms.amazonaws.com").values} == {
        "Decrypt": 178,
        "Encrypt": 42,
        "GenerateDataKey": 20,
    }
    assert len(store.page(Query("-source:nobody"), limit=500).rows) == 500


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.jsonl", "a.log"])
def test_content_decides_whatever_the_name_says(
    store: EventStore, folder: Path, name: str, packed: bool
) -> None:
    path = put(folder / name, [record(), record()], packed=packed)
    assert counts(FileImport(store).import_files([path])) == (1, 2, 2, 0)


@pytest.mark.parametrize(
    "write",
    [
        json.dumps,
        lambda r: json.dumps(r[0]) + "\n" + json.dumps(r[1]),
        lambda r: "\n" + json.dumps(r[0]) + "\r\n\r\n" + json.dumps(r[1]) + "\r\n",
        lambda r: json.dumps({"Records": r}, indent=2),
        lambda r: json.dumps(r[0], indent=2) + "\n" + json.dumps(r[1], indent=2),
        lambda r: json.dumps({"Records": r[:1]}) + json.dumps({"Records": r[1:]}),
        lambda r: json.dumps({"Records": r[:1]}) + "\n" + json.dumps({"Records": r[1:]}),
        lambda r: json.dumps([{"Records": r[:1]}, {"Records": r[1:]}]),
        lambda r: json.dumps({"Events": [{"CloudTrailEvent": json.dumps(one)} for one in r]}),
        lambda r: "\n".join(json.dumps({"CloudTrailEvent": json.dumps(one)}) for one in r),
        lambda r: "\ufeff" + json.dumps(r[0]) + "\n" + json.dumps(r[1]),
    ],
)
def test_every_shape_of_json_is_read(store: EventStore, folder: Path, write: Any) -> None:
    path = folder / "shape.json"
    path.write_text(write([record(), record("Encrypt")]), encoding="utf-8")
    report = FileImport(store).import_files([path])
    assert counts(report) == (1, 2, 2, 0), report.failed


def test_what_a_shell_of_windows_writes_in_utf_16_is_read(store: EventStore, folder: Path) -> None:
    (folder / "a.json").write_text(json.dumps({"Records": [record()]}), encoding="utf-16")
    assert counts(FileImport(store).import_files([folder])) == (1, 1, 1, 0)


def test_gzip_files_joined_into_one_are_all_read(store: EventStore, folder: Path) -> None:
    lines = [gzip.compress(json.dumps(record()).encode() + b"\n") for _ in range(3)]
    (folder / "a.jsonl.gz").write_bytes(b"".join(lines) + bytes(512))
    assert counts(FileImport(store).import_files([folder])) == (1, 3, 3, 0)


def test_folders_are_read_to_the_bottom_and_others_files_left_out(store: EventStore, folder: Path) -> None:
    below = folder / "AWSLogs" / "o-1" / "111122223333"
    put(below / "CloudTrail" / "eu-west-1" / "2026" / "11" / "25" / "1_CloudTrail_x.json.gz", [record()])
    digest = "111122223333_CloudTrail-Digest_eu-west-1_t_eu-west-1_20261125T000000Z.json.gz"
    put(below / "CloudTrail-Digest" / digest, [record()])
    put(below / "111122223333_CloudTrail-Insight_eu-west-1_20261125T0000Z_a.json.gz", [record()])
    put(folder / ".hidden.json", [record()])
    put(folder / ".hidden" / "a.json", [record()])
    (folder / "README.txt").write_text("not ours")
    report = FileImport(store).import_files([folder])
    assert counts(report) == (1, 1, 1, 0)
    assert (report.digests, report.insights, report.others) == (1, 1, 3)


def test_links_in_circles_end_and_a_link_to_a_folder_is_followed(
    store: EventStore, folder: Path, tmp_path: Path
) -> None:
    put(folder / "a" / "one.json", [record()])
    put(tmp_path / "elsewhere" / "two.json", [record()])
    (folder / "a" / "up").symlink_to(folder)
    (folder / "a" / "self").symlink_to(folder / "a" / "self")
    (folder / "over.d").symlink_to(tmp_path / "elsewhere")
    report = FileImport(store).import_files([folder])
    assert (report.records, report.new) == (2, 2)


def test_a_pipe_a_socket_and_a_device_never_block(
    store: EventStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(folder / "pipe.json")
    (folder / "null.json").symlink_to("/dev/zero")
    listening = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(folder)  # a socket has a short name
    listening.bind("socket.json")
    put(folder / "sound.json", [record()])
    report = FileImport(store).import_files([folder])
    listening.close()
    assert counts(report) == (4, 1, 1, 3)
    assert all("not a plain file" in failed.reason for failed in report.failed)


def test_an_unchanged_file_is_not_read_again_and_counts_as_before(
    store: EventStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder / "a.json", [record(), record("PutObject", eventSource="s3.amazonaws.com")])
    first = FileImport(store).import_files([folder])
    opened: list[str] = []
    open_ = os.open
    monkeypatch.setattr(
        os,
        "open",
        lambda path, *more, **named: opened.append(os.fsdecode(path)) or open_(path, *more, **named),
    )
    second = FileImport(store).import_files([folder])
    assert (first.new, first.duplicates, first.kms, first.unchanged) == (2, 0, 1, 0)
    assert (second.files, second.records, second.new, second.duplicates) == (1, 2, 0, 2)
    assert (second.kms, second.unchanged) == (1, 1)
    assert not [path for path in opened if path.endswith("a.json")]
    again = FileImport(store).import_files([folder], again=True)
    assert (again.unchanged, again.new, again.duplicates) == (0, 0, 2)
    assert [path for path in opened if path.endswith("a.json")]


def test_a_file_that_grew_or_was_replaced_is_read_anew(store: EventStore, folder: Path) -> None:
    path = folder / "a.jsonl"
    path.write_text(json.dumps(record()) + "\n")
    FileImport(store).import_files([folder])
    with path.open("a") as file:
        file.write(json.dumps(record()) + "\n")
    assert counts(FileImport(store).import_files([folder])) == (1, 2, 1, 0)
    before = path.stat()
    other = folder / "other"
    other.write_text(path.read_text().replace('"eventID": "', '"eventID": "f', 1).replace(" ", "", 1))
    os.truncate(other, before.st_size)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    assert FileImport(store).import_files([folder]).unchanged == 0


def test_the_same_file_under_another_path_brings_duplicates(store: EventStore, folder: Path) -> None:
    put(folder / "a.json", [record(), record()])
    shutil.copy(folder / "a.json", folder / "b.json")
    report = FileImport(store).import_files([folder])
    assert (report.records, report.new, report.duplicates, report.kms) == (4, 2, 2, 4)


def test_the_order_of_names_is_not_the_order_of_time(store: EventStore, folder: Path) -> None:
    put(folder / "1_CloudTrail_eu-west-1_20261125T1200Z_a.json", [record(ago=60)])
    FileImport(store).import_files([folder])
    put(folder / "1_CloudTrail_eu-west-1_20200101T0000Z_a.json", [record(ago=10)])
    assert FileImport(store).import_files([folder]).new == 1


def test_a_file_of_many_batches_is_whole(store: EventStore, folder: Path) -> None:
    put(folder / "a.json.gz", [record() for _ in range(5_003)], packed=True)
    assert counts(FileImport(store).import_files([folder])) == (1, 5_003, 5_003, 0)
    assert store.count(Query()) == 5_003


def test_progress_ends_with_all_files_and_cancelling_keeps_what_was_read(
    store: EventStore, folder: Path
) -> None:
    for number in range(6):
        put(folder / f"{number}.json", [record()])
    cancelled, told = Event(), []

    def progress(now: ImportProgress) -> None:
        told.append(now)
        if now.files == 4:
            cancelled.set()

    report = FileImport(store).import_files([folder], progress, cancelled)
    assert report.interrupted
    assert (report.files, report.new, store.count(Query())) == (4, 4, 4)
    assert [(now.files, now.of) for now in told] == [(1, 6), (2, 6), (3, 6), (4, 6)]
    rest = FileImport(store).import_files([folder])
    assert (rest.unchanged, rest.new, rest.interrupted) == (4, 2, False)


def test_names_that_are_no_text_are_read_and_known_again(store: EventStore, folder: Path) -> None:
    name = os.fsdecode(b"caf\xe9-\x1b[31m.json")
    put(folder / name, [record()])
    (folder / os.fsdecode(b"bad\xff\x1b]0;x\x07.json")).write_bytes(b"nothing")
    report = FileImport(store).import_files([folder])
    assert (report.new, len(report.failed)) == (1, 1)
    assert report.failed[0].file.endswith(r"bad\xff]0;x.json")
    assert FileImport(store).import_files([folder]).unchanged == 1


def test_a_folder_deeper_than_the_interpreters_calls_is_walked(store: EventStore, folder: Path) -> None:
    deep = folder
    for _ in range(600):
        deep = deep / "d"
    deep.mkdir(parents=True)
    put(deep / "a.json", [record()])
    assert FileImport(store).import_files([folder]).new == 1


@pytest.mark.deep
def test_progress_is_told_within_a_large_file_and_it_can_be_left(store: EventStore, folder: Path) -> None:
    put(folder / "a.json.gz", [record() for _ in range(9_000)], packed=True)
    cancelled = Event()

    def progress(now: ImportProgress) -> None:
        if now.records == 4_000:
            cancelled.set()

    report = FileImport(store).import_files([folder], progress, cancelled)
    assert (report.interrupted, report.records, report.new) == (True, 6_000, 6_000)
    rest = FileImport(store).import_files([folder])
    assert (rest.unchanged, rest.records, rest.new) == (0, 9_000, 3_000)


def test_an_inode_larger_than_sqlites_numbers_is_known_again(store: EventStore) -> None:
    file = SeenFile(b"/a", 1, 2, 2**64 - 1, 3, 1)
    store.add([], [file])
    assert store.seen([b"/a", b"/b"]) == {b"/a": file}
    assert file.same_as(SeenFile(b"/a", 1, 2, 2**64 - 1))
