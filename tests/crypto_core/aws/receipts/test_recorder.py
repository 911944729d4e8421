"""A recorder is never in the way: it bounds what it keeps, counts what it loses, and tells that."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from crypto_core.aws.receipts import recorder as recorder_module
from crypto_core.aws.receipts.destination import LOGGER, FileSink, LoggerSink, recorder_for
from crypto_core.aws.receipts.receipt import LostReceipts, Receipt, read_receipt
from crypto_core.aws.receipts.recorder import ReceiptRecorder
from crypto_core.values.errors import ReceiptError, SettingsError
from crypto_core.values.rate_limit import LogRateLimit
from crypto_core.values.references import TokenRef
from tests.crypto_core.aws.receipts.conftest import Kept

REF = TokenRef("gh_connection", "access_token", "gh-1")


def write(recorder: ReceiptRecorder, number: int, at: float = 1_790_000_000.0) -> None:
    for n in range(number):
        recorder.write("Decrypt", f"id-{n}", at + n, 0, REF)


class Stuck(Kept):
    """A sink that takes nothing before it is let go, and then fails once."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.failures = 1

    def __call__(self, batch: Sequence[Receipt | LostReceipts]) -> None:
        self.go.wait()
        if self.failures:
            self.failures -= 1
            raise OSError("no space left \x1b[2J")
        super().__call__(batch)


def test_a_sink_that_hangs_blocks_nobody_and_what_found_no_room_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "_TROUBLE", LogRateLimit(60.0))
    sink = Stuck()
    recorder = ReceiptRecorder(sink, service="x", most=100, linger=0.0, retries=(0.01,))
    write(recorder, 1)
    while recorder._waiting:  # taken into the batch that hangs
        time.sleep(0.001)
    write(recorder, 350)
    assert recorder.lost == 250
    assert not recorder.flush(0.01)
    sink.go.set()
    assert recorder.flush(10)
    assert [r.request_id for r in sink.receipts] == ["id-0", *(f"id-{n}" for n in range(100))]
    (lost,) = [one for one in sink.all if isinstance(one, LostReceipts)]
    assert (lost.lost, lost.since.timestamp(), lost.at.timestamp()) == (250, 1_790_000_100, 1_790_000_349)
    assert "Receipts of KMS calls are lost" in caplog.text
    assert "\x1b" not in caplog.text
    recorder.close()


def test_many_threads_lose_nothing_while_there_is_room(kept: Kept) -> None:
    recorder = ReceiptRecorder(kept, linger=0.001)
    threads = [threading.Thread(target=write, args=(recorder, 2_000)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close(20)
    assert len(kept.receipts) == 8_000
    assert recorder.lost == 0
    # What comes after its end is lost, and counted.
    write(recorder, 2)
    assert recorder.lost == 2


def test_a_stored_value_is_kept_as_its_digest_alone(kept: Kept) -> None:
    recorder = ReceiptRecorder(kept, linger=0.0)
    recorder.write("Decrypt", "id", time.time(), 0, "djF8-stored-\ud800")
    recorder.write("Decrypt", "id\x1b", time.time(), 0, None)
    recorder.close()
    assert len(kept.receipts[0].stored_sha256 or "") == 64
    assert "djF8-stored" not in repr(vars(recorder)) + repr(kept.all)
    assert kept.receipts[1].request_id == "id"


_FORKS = """
import os, sys
from crypto_core.aws.receipts.destination import recorder_for
recorder = recorder_for("file:" + sys.argv[1], None)
recorder.write("Decrypt", "parent-1", 1.79e9, 0, None)
child = os.fork()
recorder.write("Decrypt", "child" if child == 0 else "parent-2", 1.79e9, 0, None)
if child:
    os.waitpid(child, 0)
sys.exit(0)
"""


def test_a_process_that_ends_writes_what_waits_and_a_forked_one_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "receipts.jsonl"
    subprocess.run([sys.executable, "-c", _FORKS, str(path)], check=True, cwd=Path.cwd())
    read = [read_receipt(line) for line in path.read_text().splitlines()]
    by_id = {r.request_id: r.process.pid for r in read if isinstance(r, Receipt)}
    assert len(read) == 3
    assert by_id["parent-1"] == by_id["parent-2"] != by_id["child"]


def test_a_file_goes_on_after_it_was_moved_away_and_after_a_torn_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "receipts.jsonl"
    kept = Kept()
    recorder = ReceiptRecorder(kept, linger=0.0)
    write(recorder, 2)
    recorder.close()
    sink = FileSink(path)
    sink(kept.all)
    path.rename(tmp_path / "receipts.1")
    sink(kept.all)
    assert len((tmp_path / "receipts.1").read_text().splitlines()) == len(path.read_text().splitlines()) == 2
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(path.read_bytes()[:-5])  # as a process leaves it that was killed
    FileSink(path)(kept.all)
    lines = path.read_text().splitlines()
    assert [read_receipt(line) is not None for line in lines] == [True, False, True, True]
    path.unlink()
    sink(kept.all)
    real, calls = os.write, []

    def torn(descriptor: int, content: bytes) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(descriptor, content[:20] if len(calls) == 1 else content)

    monkeypatch.setattr(os, "write", torn)
    with pytest.raises(ReceiptError, match=r"receipts\.jsonl: .*No space"):
        sink(kept.all)
    sink(kept.all)
    lines = path.read_text().splitlines()
    assert [read_receipt(line) is not None for line in lines] == [True, True, False, True, True]
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ReceiptError, match="not a plain file of yours"):
        FileSink(tmp_path / "fifo")(kept.all)


def test_a_logger_that_would_drop_receipts_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept()
    recorder = ReceiptRecorder(kept, linger=0.0)
    write(recorder, 1)
    recorder.close()
    with caplog.at_level(logging.WARNING, LOGGER), pytest.raises(ReceiptError, match="does not let INFO"):
        LoggerSink()(kept.all)
    with caplog.at_level(logging.INFO, LOGGER):
        LoggerSink()(kept.all)
    (line,) = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert json.loads(line)["token"] == str(REF)


@pytest.mark.parametrize("setting", ["tabel", "file:", "file:relative.jsonl", "/var/log/receipts", "Log"])
def test_a_setting_that_names_no_place_is_refused(setting: str) -> None:
    with pytest.raises(SettingsError, match="KEYDECK_RECEIPTS names no place"):
        recorder_for(setting, Kept)
