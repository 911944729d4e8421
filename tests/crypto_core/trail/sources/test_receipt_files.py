"""Receipts out of files: whatever wraps a line, and whatever else is in the file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from crypto_core.aws.receipts.receipt import LostReceipts, Receipt
from crypto_core.trail.sources.receipts import LONGEST, found_in, receipts_in, take_files
from crypto_core.trail.store import EventStore
from crypto_core.values.errors import ReceiptError
from tests.crypto_core.trail.records import NOW
from tests.crypto_core.trail.test_receipts import PROCESS, called, receipt

ONE = called()
LINE = receipt(ONE).as_json_line()
LOST = LostReceipts(3, NOW, NOW, PROCESS).as_json_line()


@pytest.mark.parametrize(
    "line",
    [
        LINE,
        f"  {LINE}\r",
        f"2026-11-25 12:00:00,123 INFO keydeck.receipts {LINE}",
        f"<134>1 2026-11-25T12:00:00Z api-1 app - - - {LINE}",
        json.dumps({"log": LINE + "\n", "stream": "stderr", "time": "2026-11-25T12:00:00Z"}),
        json.dumps({"ts": 1, "message": f"INFO {LINE}"}),
        json.dumps({"ts": 1, "receipt": json.loads(LINE)}),
        f"2026-11-25T12:00:00Z stdout F {LINE} trailing",
    ],
)
def test_a_receipt_is_found_in_what_wraps_it(line: str) -> None:
    assert found_in(line.encode()) == receipt(ONE)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "GET /request_id HTTP/1.1",
        '{"request_id": "r-1", "path": "/x"}',
        '{"request_id": ',
        "request_id } {",
        '["request_id", "operation"]',
        "[/red]\x1b[2J {request_id}",
        json.dumps({"message": '{"request_id": 1'}),
        '{"request_id":' + "[" * 100_000,
    ],
)
def test_other_lines_are_passed_over(line: str) -> None:
    assert found_in(line.encode()) is None


def test_a_malformed_receipt_names_its_field_and_no_value() -> None:
    found = found_in(LINE.replace("Decrypt", "\\u001b[2JStolen").encode())
    assert isinstance(found, ReceiptError)
    assert "operation" in found.message
    assert "Stolen" not in found.message


def test_a_line_of_ten_megabytes_takes_no_more_memory_than_a_piece_and_hides_no_other() -> None:
    long = b"request_id" + b"x" * 65_535
    pieces = [LINE.encode() + b"\n", *([long] * 160), b"\n" + LOST.encode() + b"\n", LINE.encode()]
    found = list(receipts_in(pieces))
    assert [type(one) for one in found] == [Receipt, type(None), LostReceipts, Receipt]
    assert len(long) > LONGEST


def test_files_and_folders_are_read_gzip_or_plain_and_counted(store: EventStore, tmp_path: Path) -> None:
    events = [called(ago=n) for n in range(6)]
    lines = [receipt(one).as_json_line() for one in events]
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.log").write_text("\n".join(["starting", lines[0], "[/red]", lines[1], lines[0], LOST]))
    (folder / "b.log.gz").write_bytes(gzip.compress("\n".join(lines[2:5]).encode()))
    (folder / ".hidden").write_text(lines[5])
    (folder / "c.log").write_text(lines[0].replace("Decrypt", "Open"))
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode())[:-20])
    store.add(events)
    report = take_files(store, [folder])
    assert (report.files, report.read, report.added.new, report.added.duplicates) == (3, 7, 5, 1)
    assert (report.passed_over, report.malformed, report.added.explained, report.added.lost) == (2, 1, 5, 3)
    (gap,) = report.gaps
    assert "c.log" in gap
    assert "operation" in gap
    again = take_files(store, [folder, cut, tmp_path / "none"])
    assert again.added.explained <= 1
    assert [gap.rsplit("/", 1)[-1].split(":")[0] for gap in again.gaps] == ["c.log", "cut.gz", "none"]


def test_a_folder_that_cannot_be_listed_is_named(store: EventStore, unlisted: Path) -> None:
    (unlisted.parent / "a.log").write_text(receipt(called()).as_json_line())
    report = take_files(store, [unlisted.parent])
    assert (report.read, report.gaps) == (1, (f"{unlisted}: Permission denied",))
