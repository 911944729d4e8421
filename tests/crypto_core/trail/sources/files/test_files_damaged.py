"""Files that can't be read, or not all of them: told by name, the rest imported."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto_core.lists.paging import Query
from crypto_core.trail.archives.streams import BLOCK
from crypto_core.trail.sources.files.decoder import records_in
from crypto_core.trail.sources.files.event_files import FileImport
from crypto_core.trail.sources.files.packed_logs import UnreadableError, unpacked
from crypto_core.trail.store import EventStore
from tests.crypto_core.trail.records import record
from tests.crypto_core.trail.sources.files.test_files import counts, put


def failed(store: EventStore, folder: Path, content: bytes, name: str = "bad.json") -> str:
    """Import a bad file beside a sound one; returns the reason told."""
    put(folder / "sound.json", [record()])
    (folder / name).write_bytes(content)
    report = FileImport(store).import_files([folder])
    assert report.new >= 1
    assert [Path(one.file).name for one in report.failed] == [name]
    return report.failed[0].reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "It is empty."),
        (b" \n\n", "It is empty."),
        (b"hello", "It is not JSON, or cut short."),
        (b"\x00\xff\xfe" * 100, "It is not JSON."),
        (b'{"Records": [{"eventName": "Decry', "It is not JSON, or cut short."),
        (b"[" * 100_000, "It is not JSON, or cut short."),
        (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "It is not JSON, or cut short."),
        (b"9" * 10_000, "It is not JSON, or cut short."),
        (b'{"Records": 5}', "None of its 1 record is an event of CloudTrail."),
        (b"null", "None of its 1 record is an event of CloudTrail."),
        (b'{"Records": []}', "It holds no records."),
        (gzip.compress(b"", mtime=0), "It is empty."),
        (b"\x1f\x8b", "The gzip data is cut short."),
        (b"\x1f\x8b\x08garbage, garbage, garbage", "The gzip data is damaged."),
    ],
)
def test_what_is_not_cloudtrails_is_told_by_name(
    store: EventStore, folder: Path, content: bytes, reason: str
) -> None:
    assert failed(store, folder, content) == reason


def test_gzip_cut_short_anywhere_is_told_and_never_half_read(store: EventStore, folder: Path) -> None:
    whole = gzip.compress(json.dumps({"Records": [record() for _ in range(5)]}).encode())
    cuts = {*range(2, 30), *range(30, len(whole) - 9, 97), *range(len(whole) - 9, len(whole))}
    for cut in cuts:
        (folder / f"{cut:05}.json.gz").write_bytes(whole[:cut])
    report = FileImport(store).import_files([folder])
    # Cut within the eight bytes of the check sum, all data is there, but nobody vouches for it.
    assert report.files == len(report.failed) == len(cuts)
    assert {one.reason for one in report.failed} == {"The gzip data is cut short."}
    assert store.count(Query()) == 0
    (folder / "whole.json.gz").write_bytes(whole)
    assert FileImport(store).import_files([folder]).new == 5


def test_of_json_lines_cut_short_the_whole_lines_count(store: EventStore, folder: Path) -> None:
    lines = [json.dumps(record()).encode() + b"\n" for _ in range(50)]
    packed = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packed.compress(b"".join(lines[:40])) + packed.flush(zlib.Z_FULL_FLUSH)
    tail = packed.compress(b"".join(lines[40:])) + packed.flush()
    reason = failed(store, folder, head + tail[: len(tail) // 8], "bad.jsonl.gz")
    assert reason.startswith("The gzip data is cut short. Before that, 4")
    assert 41 <= store.count(Query()) < 51
    assert "lines were read" in reason


def test_of_plain_json_lines_the_damaged_lines_are_told(store: EventStore, folder: Path) -> None:
    lines = [json.dumps(record()) for _ in range(5)]
    lines[0] = lines[0][:100]
    lines[3] = "\x00\x00"
    reason = failed(store, folder, "\n".join(lines)[:-20].encode())
    assert reason == "3 of its 5 lines are not JSON, the first is line 1."
    assert store.count(Query()) == 3


def test_records_that_are_no_events_are_counted_and_told(store: EventStore, folder: Path) -> None:
    content = json.dumps({"Records": [None, 5, "x", [], {}, {"eventName": None}, record()]}).encode()
    reason = failed(store, folder, content)
    assert reason == "6 of its 7 records are no events; the others are imported."
    assert store.count(Query()) == 2


def test_a_flipped_bit_leaves_the_whole_file_out(store: EventStore, folder: Path) -> None:
    whole = bytearray(gzip.compress(json.dumps({"Records": [record()]}).encode(), 0))
    whole[len(whole) // 2] ^= 1
    assert failed(store, folder, bytes(whole), "bad.gz") == "The gzip data is damaged."
    assert store.count(Query()) == 1


def test_what_follows_gzip_data_is_told_and_the_data_read(store: EventStore, folder: Path) -> None:
    line = json.dumps(record()).encode() + b"\n"
    reason = failed(store, folder, gzip.compress(line * 2) + b"trailing", "bad.gz")
    assert reason.startswith("What follows the gzip data is none.")


@pytest.mark.deep
def test_a_decompression_bomb_is_told_in_bounded_memory(store: EventStore, folder: Path) -> None:
    bomb, large = gzip.compress(bytes(64 * 2**20)), gzip.compress(os.urandom(2**20).hex().encode())
    (folder / "bomb.json.gz").write_bytes(bomb)
    (folder / "large.json.gz").write_bytes(large)
    report = FileImport(store, largest=2**26).import_files([folder])
    assert [failed.reason for failed in report.failed][:1] == [
        "It unpacks to more than 100 times its size, as no audit log does."
    ]
    report = FileImport(store, largest=2**20).import_files([folder / "large.json.gz"])
    assert [failed.reason for failed in report.failed] == [
        "It is larger than 1 MiB, unpacked, and not in JSON lines. Make lines of it: jq -c '.Records[]'.",
    ]
    assert max(map(len, unpacked([large]))) <= BLOCK


def test_json_lines_may_be_larger_than_one_document_may_be(store: EventStore, folder: Path) -> None:
    lines = b"".join(json.dumps(record()).encode() + b"\n" for _ in range(3_000))
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines, 1))
    report = FileImport(store, largest=2**20).import_files([folder])
    assert len(lines) > 2 * 2**20
    assert counts(report) == (1, 3_000, 3_000, 0)


def test_one_endless_line_after_sound_ones_is_told() -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"eventName": "a"}\n' * 10
        while True:
            yield b"x" * 100_000

    found: list[object] = []
    with pytest.raises(UnreadableError, match=r"line of more than 1 MiB. Before that, 10 lines were read"):
        found.extend(records_in(unpacked(pieces()), largest=2**20))
    assert len(found) == 10


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
def test_it_does_not_matter_in_which_pieces_a_file_comes(size: int) -> None:
    for content in (
        gzip.compress(b'{"eventName": "a"}\n{"eventName": "b"}'),
        b'{"eventName": "a"}\n{"eventName": "b"}',
        gzip.compress(b'{"eventName": "a"}\n') + gzip.compress(b'{"eventName": "b"}\n'),
    ):
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        for largest in (2**20, 30):
            assert [r["eventName"] for r in records_in(unpacked(pieces), largest=largest)] == ["a", "b"]  # type: ignore[index]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_and_a_folder_without_permission_are_told(store: EventStore, folder: Path) -> None:
    put(folder / "a.json", [record()]).chmod(0)
    put(folder / "shut" / "b.json", [record()])
    (folder / "shut").chmod(0)
    put(folder / "sound.json", [record()])
    report = FileImport(store).import_files([folder])
    (folder / "shut").chmod(0o700)
    assert report.new == 1
    assert {one.reason for one in report.failed} == {"Permission denied"}


def test_a_refused_file_and_folder_are_told(
    store: EventStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder / "a.json", [record()])
    put(folder / "shut" / "b.json", [record()])
    put(folder / "sound.json", [record()])
    open_, list_ = os.open, os.listdir

    def refusing(path: bytes, *more: int, **named: int) -> int:
        if os.fsdecode(path).endswith("a.json"):
            raise PermissionError(13, "Permission denied", path)
        return open_(path, *more, **named)

    def unlisted(path: str) -> list[str]:
        if path.endswith("shut"):
            raise PermissionError(13, "Permission denied", path)
        return list_(path)

    monkeypatch.setattr(os, "open", refusing)
    monkeypatch.setattr(os, "listdir", unlisted)
    report = FileImport(store).import_files([folder])
    assert report.new == 1
    assert {(Path(one.file).name, one.reason) for one in report.failed} == {
        ("a.json", "Permission denied"),
        ("shut", "Permission denied"),
    }


def test_a_failed_file_is_tried_again_every_time(store: EventStore, folder: Path) -> None:
    for _ in range(2):
        assert failed(store, folder, b'{"Records": [') == "It is not JSON, or cut short."


def test_a_file_that_changes_while_it_is_read_is_told_and_read_anew(
    store: EventStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "a.jsonl"
    path.write_text(json.dumps(record()) + "\n")
    read = os.read
    grown = False

    def growing(descriptor: int, size: int) -> bytes:
        nonlocal grown
        piece = read(descriptor, size)
        if not grown and piece:
            grown = True
            with path.open("a") as file:
                file.write(json.dumps(record())[:50])
        return piece

    monkeypatch.setattr(os, "read", growing)
    report = FileImport(store).import_files([folder])
    assert report.new == 1
    assert len(report.failed) == 1
    path.write_text(path.read_text().splitlines()[0] + "\n" + json.dumps(record()) + "\n")
    assert FileImport(store).import_files([folder]).new == 1
