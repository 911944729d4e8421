"""Killed, crowded, or out of space: nothing is lost, nothing is double, nothing is half."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from crypto_core.lists.paging import Query
from crypto_core.trail.record_compression import unpack
from crypto_core.trail.sources.files.event_files import FileImport
from crypto_core.trail.store import EventStore
from crypto_core.values.errors import EventStoreError
from tests.crypto_core.trail.records import record
from tests.crypto_core.trail.sources.files.test_files import put

pytestmark = pytest.mark.deep

HOME = Path(__file__).parents[5]
PROGRAM = """
import sys
from pathlib import Path
from crypto_core.trail.sources.files.event_files import FileImport
from crypto_core.trail.store import EventStore

store = EventStore(Path(sys.argv[1]))
print("begun", flush=True)
report = FileImport(store, processes=2).import_files([sys.argv[2]])
print(report.records, report.new, len(report.failed), flush=True)
"""
FILES, EACH = 300, 40


@pytest.fixture
def many(folder: Path) -> Path:
    """A folder of 300 files with 40 events each."""
    for number in range(FILES):
        put(folder / str(number % 7) / f"{number}.json.gz", [record() for _ in range(EACH)], packed=True)
    return folder


def importing(store: Path, folder: Path) -> subprocess.Popen[str]:
    """Start an import in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, str(store), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HOME)


def reading_for(parent: int) -> set[int]:
    """The processes that read for an import."""
    found: set[int] = set()
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(parent).children():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if any("reader_process" in part for part in child.cmdline()):
                    found.add(child.pid)
    return found


def gone(pid: int) -> bool:
    """Whether a process ends within moments; what nobody buries has ended too."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def whole(path: Path) -> tuple[int, int, int, int]:
    """How many events there are, how often counted, with records and in files that are noted as read."""
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        events, counted, seen = (
            connection.execute(f"SELECT coalesce(sum({what}), 0) FROM {table}").fetchone()[0]
            for what, table in (("1", "event"), ("events", "rollup"), ("records", "file_seen"))
        )
        blocks = connection.execute("SELECT body FROM raw").fetchall()
    connection.close()
    return events, counted, sum(len(unpack(block)) for (block,) in blocks), seen


@pytest.mark.parametrize("files_stored", [0, 1, 60, 200])
def test_killed_in_the_middle_a_rerun_loses_nothing_and_doubles_nothing(
    tmp_path: Path, many: Path, files_stored: int
) -> None:
    path = tmp_path / "events.sqlite"
    process = importing(path, many)
    assert process.stdout is not None
    process.stdout.readline()
    until = time.monotonic() + 60
    readers = set[int]()
    while time.monotonic() < until and process.poll() is None:
        readers |= reading_for(process.pid)
        try:
            if len(readers) == 2 and path.exists() and whole(path)[0] >= files_stored * EACH:
                break
        except sqlite3.Error:
            pass  # it is being made
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert len(readers) == 2
    assert all(map(gone, readers))
    events, counted, records, seen = whole(path)
    assert events == counted == records
    assert seen <= events
    store = EventStore(path)
    report = FileImport(store).import_files([many])
    store.close()
    assert (report.records, report.new) == (FILES * EACH, FILES * EACH - events)
    assert whole(path) == (FILES * EACH,) * 4


def test_two_processes_that_import_one_folder_at_once_share_the_work(tmp_path: Path, many: Path) -> None:
    path = tmp_path / "events.sqlite"
    both = [importing(path, many) for _ in range(2)]
    new = 0
    for process in both:
        said, _ = process.communicate(timeout=120)
        records, added, failed = map(int, said.split()[1:])
        assert (records, failed, process.returncode) == (FILES * EACH, 0, 0)
        new += added
    assert new == FILES * EACH
    assert whole(path) == (FILES * EACH,) * 4


def test_a_full_disk_is_told_and_nothing_is_half(tmp_path: Path, many: Path) -> None:
    path = tmp_path / "events.sqlite"
    store = EventStore(path)
    FileImport(store).import_files([put(tmp_path / "first.json", [record()])])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, before[1]))
    try:
        with pytest.raises(EventStoreError) as caught:
            FileImport(store).import_files([many])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert str(path) in str(caught.value)
    assert "Free some space" in str(caught.value)
    events, counted, records, seen = whole(path)
    assert events == counted == records >= seen
    report = FileImport(store).import_files([many])
    store.close()
    assert report.new == FILES * EACH + 1 - events
    assert whole(path) == (FILES * EACH + 1,) * 4


def test_a_store_that_cannot_be_written_is_told_before_a_file_is_noted(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "events.sqlite").write_bytes(b"this is no database, whatever it is called" * 100)
    put(folder / "a.json", [record()])
    store = EventStore(tmp_path / "events.sqlite")
    with pytest.raises(EventStoreError, match="damaged, or no event store"):
        FileImport(store).import_files([folder])
    store.close()


def test_a_file_whose_batch_failed_is_not_known(store: EventStore, folder: Path) -> None:
    path = put(folder / "a.json", [record()])
    FileImport(store).import_files([put(folder / "b.json", [record()])])
    with closing(sqlite3.connect(store.file.path)) as connection, connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON raw BEGIN SELECT raise(ABORT, 'full'); END")
    connection.close()
    with pytest.raises(EventStoreError, match="full"):
        FileImport(store).import_files([folder])
    assert store.count(Query()) == 1
    assert list(store.seen([os.fsencode(path)])) == []
    with closing(sqlite3.connect(store.file.path)) as connection, connection:
        connection.execute("DROP TRIGGER full")
    connection.close()
    assert FileImport(store).import_files([folder]).new == 1
    assert json.loads(store.page(Query()).rows[0].event.raw)
