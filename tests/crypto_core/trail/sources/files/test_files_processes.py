"""Files that are read by processes of their own: nothing but the time differs, whatever befalls them."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from crypto_core.lists.paging import Query
from crypto_core.trail.sources.files import event_files, reader_process
from crypto_core.trail.sources.files.event_files import Batches, FileImport
from crypto_core.trail.sources.files.import_report import ImportProgress, ImportReport
from crypto_core.trail.sources.files.readers import Answer, Readers
from crypto_core.trail.store import EventStore
from crypto_core.values.errors import EventStoreError
from tests.crypto_core.trail.records import record
from tests.crypto_core.trail.sources.files.test_files import counts, put
from tests.crypto_core.trail.sources.files.test_files_crashes import gone, reading_for
from tests.crypto_core.trail.sources.hostile import hostile

HOME = Path(__file__).parents[5]
FILES, EACH = 60, 4


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Readers]:
    """All Readers of a test."""
    made: list[Readers] = []
    enter = Readers.__enter__

    def entered(readers: Readers) -> Readers:
        made.append(readers)
        return enter(readers)

    monkeypatch.setattr(Readers, "__enter__", entered)
    return made


def pids_of(readers: Readers) -> list[int]:
    """The processes that read."""
    return [process.pid for process in list(readers._processes)]


@pytest.fixture
def read_there(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Wait for the processes, and ask for few files at once. Gives how many batches they brought."""
    monkeypatch.setattr(event_files, "_FILES", 3)
    answered, put_prepared = Readers.answered, Batches.put_prepared
    brought = 0

    def waited(readers: Readers, future: Future[Answer], cancelled: Event | None) -> Answer | None:
        until = time.monotonic() + 30
        while not (future.running() or future.done()) and time.monotonic() < until:
            if cancelled is not None and cancelled.is_set():
                break
            time.sleep(0.005)
        return answered(readers, future, cancelled)

    def counted(batches: Batches, prepared: Any) -> None:
        nonlocal brought
        brought += 1
        put_prepared(batches, prepared)

    monkeypatch.setattr(Readers, "answered", waited)
    monkeypatch.setattr(Batches, "put_prepared", counted)
    return lambda: brought


@pytest.fixture
def many(folder: Path) -> Path:
    """A folder of 60 files with 4 events each."""
    for number in range(FILES):
        put(folder / str(number % 7) / f"{number}.json.gz", [record() for _ in range(EACH)], packed=True)
    return folder


@pytest.fixture
def in_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Have every process that reads run some Python first; gives a folder for what that leaves behind."""

    def run(program: str) -> Path:
        place = tmp_path / "first"
        place.mkdir()
        (place / "sitecustomize.py").write_text(program)
        monkeypatch.setenv("PYTHONPATH", str(place))
        return place

    return run


def reading(store: EventStore, **more: Any) -> FileImport:
    """An import that has files read by two processes, however few there are."""
    return FileImport(store, processes=2, least=1, **more)


def content(store: EventStore) -> tuple[list[Any], ...]:
    """All that an import writes, but the numbers of texts, which depend on what is stored at once."""
    rows = store.page(Query(), limit=20_000).rows
    with closing(sqlite3.connect(store.file.path)) as connection, connection:
        files = connection.execute("SELECT * FROM file_seen ORDER BY path").fetchall()
        texts = connection.execute("SELECT kind, folded, text FROM term ORDER BY kind, text").fetchall()
        hours = connection.execute(
            "SELECT hour, marks, sum(events) FROM rollup JOIN profile ON profile.id = profile "
            "GROUP BY hour, marks ORDER BY hour, marks"
        ).fetchall()
    connection.close()
    return [(row.number, row.event, row.event.raw) for row in rows], files, texts, hours


def odd_files(folder: Path) -> None:
    """Files of every kind, sound and not, in no order; some of them bring the same events."""
    drawn = random.Random(6)
    same = [record(eventID=f"same-{n}") for n in range(20)]
    sound = gzip.compress(
        json.dumps({"Records": [record(), record("PutObject", eventSource="s3.x")]}).encode()
    )
    kinds: list[Callable[[], bytes]] = [
        lambda: gzip.compress(
            json.dumps({"Records": [record() for _ in range(drawn.randrange(9))]}).encode()
        ),
        lambda: json.dumps({"Records": [one | {"awsRegion": str(drawn.random())} for one in same]}).encode(),
        lambda: sound[: drawn.randrange(len(sound))],
        lambda: b"".join(json.dumps(record()).encode() + b"\n" for _ in range(5))[: drawn.randrange(2_000)],
        lambda: drawn.choice((b"", b" \n", b"hello", b"\x00\xff" * 50, b"[" * 100_000, b"null", b"\x1f\x8b")),
        lambda: json.dumps({"Records": [None, 5, {}, record()]}).encode(),
        lambda: sound + b"trailing",
        lambda: gzip.compress(b"".join(json.dumps(record()).encode() + b"\n" for _ in range(30)))[:-200],
    ]
    for number in range(120):
        (folder / f"{drawn.getrandbits(32):08x}-{number}.json").write_bytes(kinds[number % len(kinds)]())
    put(folder / "many.json.gz", [record() for _ in range(4_500)], packed=True)
    put(folder / "hostile.json.gz", hostile(), packed=True)
    (folder / "bomb.json.gz").write_bytes(gzip.compress(bytes(64 * 2**20)))
    (folder / "large.jsonl").write_bytes((json.dumps(record(note="x" * 2_000)).encode() + b"\n") * 1_500)
    (folder / os.fsdecode(b"caf\xe9-\x1b[31m.json")).write_bytes(b"nothing")
    (folder / "nowhere.json").symlink_to(folder / "none")
    os.mkfifo(folder / "pipe.json")
    (folder / "README.txt").write_text("not ours")


@pytest.mark.deep
def test_an_import_is_the_same_with_processes_and_without(
    tmp_path: Path, folder: Path, read_there: Callable[[], int]
) -> None:
    odd_files(folder)
    found: list[tuple[ImportReport, ImportReport, tuple[list[Any], ...]]] = []
    for processes in (0, 2):
        store = EventStore(tmp_path / f"{processes}.sqlite")
        given = FileImport(store, processes=processes, least=1, largest=32 * 2**20)
        os.utime(folder / "many.json.gz", ns=(1, 1))
        first = given.import_files([folder])
        os.utime(folder / "many.json.gz", ns=(2, 2))  # read a second time, unlike others
        found.append((first, given.import_files([folder]), content(store)))
        store.close()
    (report, again, stored), there = found
    assert there[0] == report
    assert there[1] == again
    assert there[2] == stored
    assert read_there() > 10
    assert report.failed
    assert report.new < report.records == report.new + report.duplicates
    assert again.new == 0


@pytest.mark.deep
def test_what_holds_too_much_for_a_process_is_read_here_and_counts_once(
    store: EventStore, folder: Path, read_there: Callable[[], int]
) -> None:
    lines = b"".join(b'{"eventName": "a", "eventID": "%d"}\n' % n for n in range(60_000))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines))
    put(folder / "a.json", [record()])
    put(folder / "c.json", [record()])
    assert counts(reading(store).import_files([folder])) == (3, 60_002, 60_002, 0)
    assert read_there() == 2


def test_a_process_unpacks_no_more_than_it_may(folder: Path) -> None:
    (folder / "large.json.gz").write_bytes(gzip.compress(os.urandom(9 * 2**20), 1))
    (folder / "bomb.json.gz").write_bytes(gzip.compress(bytes(64 * 2**20)))
    put(folder / "sound.json", [record()])
    paths = [os.fsencode(folder / name) for name in ("large.json.gz", "bomb.json.gz", "sound.json")]
    large, _, bomb, _ = reader_process.answer(paths, 2**30)
    assert large is reader_process.LEFT
    assert str(bomb).startswith("It unpacks to more than 100 times its size")


def test_a_process_that_is_killed_costs_no_event_and_doubles_none(
    store: EventStore, many: Path, started: list[Readers], read_there: Callable[[], int]
) -> None:
    killed: set[int] = set()

    def progress(now: ImportProgress) -> None:
        for pid in pids_of(started[0]) if now.files in (6, 20, 33) else ():
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)

    report = reading(store).import_files([many], progress)
    assert counts(report) == (FILES, FILES * EACH, FILES * EACH, 0)
    assert store.count(Query()) == FILES * EACH
    assert len(killed) >= 3
    assert read_there()
    assert reading(store).import_files([many]).unchanged == FILES


def test_a_file_that_brings_every_process_down_is_told_and_the_rest_imported(
    store: EventStore, many: Path, read_there: Callable[[], int], in_processes: Callable[[str], Path]
) -> None:
    put(many / "3" / "deadly.json", [record()])
    in_processes(
        "import os\nopen_ = os.open\n"
        "def deadly(path, *more, **named):\n"
        "    if b'deadly' in os.fsencode(path):\n        os.kill(os.getpid(), 9)\n"
        "    return open_(path, *more, **named)\n"
        "os.open = deadly\n"
    )
    report = reading(store).import_files([many])
    assert counts(report) == (FILES + 1, FILES * EACH, FILES * EACH, 1)
    assert Path(report.failed[0].file).name == "deadly.json"
    assert report.failed[0].reason == "The process that read it broke off, twice."
    assert read_there()
    # Where it is read here, as a few files are, it is as sound as any.
    assert FileImport(store).import_files([many]).new == 1


@pytest.mark.parametrize(
    "program",
    [
        "import os; os.write(1, b'nonsense, nonsense, nonsense')",
        "import os; os.write(1, b'kdf1' + bytes(12))",
        "import os; os._exit(3)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    ],
)
def test_processes_that_say_nonsense_or_nothing_are_done_without(
    store: EventStore, many: Path, in_processes: Callable[[str], Path], program: str
) -> None:
    in_processes(program)
    assert counts(reading(store).import_files([many])) == (FILES, FILES * EACH, FILES * EACH, 0)


def test_without_an_interpreter_to_start_all_is_read_here(
    store: EventStore, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert counts(reading(store).import_files([many])) == (FILES, FILES * EACH, FILES * EACH, 0)


def test_nonsense_in_the_middle_is_asked_again_and_nothing_of_it_taken(
    store: EventStore, many: Path, read_there: Callable[[], int], in_processes: Callable[[str], Path]
) -> None:
    place = in_processes(
        "import os, pickle\nfrom pathlib import Path\ndumps = pickle.dumps\nsaid = 0\n"
        "def once(content, *more):\n"
        "    global said\n    said += 1\n"
        "    if said == 9:\n"
        "        try:\n            Path(__file__).with_name('once').mkdir()\n"
        "        except FileExistsError:\n            pass\n"
        "        else:\n            return b'nonsense'\n"
        "    return dumps(content, *more)\n"
        "pickle.dumps = once\n"
    )
    assert counts(reading(store).import_files([many])) == (FILES, FILES * EACH, FILES * EACH, 0)
    assert (place / "once").is_dir()
    assert read_there()


def test_few_files_and_files_that_are_known_start_no_process(
    store: EventStore, many: Path, started: list[Readers]
) -> None:
    assert FileImport(store, processes=2).import_files([many]).new == FILES * EACH
    assert reading(store).import_files([many]).unchanged == FILES
    assert started == []
    assert FileImport(store, processes=2, least=FILES).import_files([many], again=True).new == 0
    assert len(started) == 1


def test_a_few_files_that_are_much_to_read_start_processes(
    store: EventStore, folder: Path, started: list[Readers]
) -> None:
    for name in "abc":
        (folder / f"{name}.json").write_bytes(json.dumps(record(note=name * 1_900_000)).encode())
    assert counts(FileImport(store, processes=2).import_files([folder])) == (3, 3, 3, 0)
    assert len(started) == 1


def test_cancelling_ends_the_processes_even_where_they_hang(
    store: EventStore, many: Path, started: list[Readers], read_there: Callable[[], int]
) -> None:
    cancelled, pids = Event(), set[int]()

    def progress(now: ImportProgress) -> None:
        if now.files == 9:
            pids.update(pids_of(started[0]))
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            Thread(target=lambda: (time.sleep(0.3), cancelled.set()), daemon=True).start()

    report = reading(store).import_files([many], progress, cancelled)
    assert report.interrupted
    assert len(pids) == 2
    assert 9 <= report.files < FILES
    assert report.records == report.new == store.count(Query()) == report.files * EACH
    assert all(map(gone, pids))
    rest = reading(store).import_files([many])
    assert (rest.unchanged, rest.new) == (report.files, FILES * EACH - report.new)


def test_a_store_that_fails_ends_the_processes(
    store: EventStore, many: Path, started: list[Readers], read_there: Callable[[], int]
) -> None:
    assert store.count(Query()) == 0
    with closing(sqlite3.connect(store.file.path)) as connection, connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON raw BEGIN SELECT raise(ABORT, 'full'); END")
    connection.close()
    pids: set[int] = set()
    with pytest.raises(EventStoreError, match="full"):
        reading(store).import_files([many], lambda _: pids.update(pids_of(started[0])))
    assert pids
    assert all(map(gone, pids))
    assert store.count(Query()) == 0
    with closing(sqlite3.connect(store.file.path)) as connection, connection:
        assert connection.execute("SELECT count(*) FROM file_seen").fetchone() == (0,)
    connection.close()


def test_processes_hear_no_ctrl_c_and_get_no_secret(
    store: EventStore,
    many: Path,
    started: list[Readers],
    read_there: Callable[[], int],
    in_processes: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = in_processes(
        "import json, os\nfrom pathlib import Path\n"
        "Path(__file__).with_name(f'{os.getpid()}.json').write_text(json.dumps(dict(os.environ)))\n"
    )
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unspoken")
    apart: list[bool] = []

    def progress(now: ImportProgress) -> None:
        if now.files == 9:
            assert reading_for(os.getpid()) == set(pids_of(started[0]))
            apart.extend(os.getsid(pid) == pid != os.getsid(0) for pid in pids_of(started[0]))

    assert reading(store).import_files([many], progress).new == FILES * EACH
    assert apart == [True, True]
    told = [path.read_text() for path in place.glob("*.json")]
    assert len(told) == 2
    assert not any("unspoken" in one for one in told)


def test_a_process_that_reads_loads_neither_the_store_nor_sqlalchemy() -> None:
    program = (
        "import sys, crypto_core.trail.sources.files.reader_process\n"
        "print([name for name in sys.modules if name.startswith(('sqlalchemy', 'crypto_core.trail.store'))])"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(autouse=True)
def nobody_stays_behind() -> Iterator[None]:
    """No process that reads is a child of this one when a test has ended."""
    yield
    assert reading_for(os.getpid()) == set()
