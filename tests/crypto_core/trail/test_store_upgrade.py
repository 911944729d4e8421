"""A store that an older Keydeck made has all fields of events, with what its records hold of them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event, Timer

import pytest
from sqlalchemy.exc import OperationalError

from crypto_core.lists.paging import Query
from crypto_core.trail.event_fields import DETAILS, EVENT_FIELDS, PIVOTS, ROLLED
from crypto_core.trail.store import EventStore, database, dialect
from crypto_core.trail.store.pulls import PullBook, PullScope, TimeWindow, Unfinished
from crypto_core.trail.store.schema import VERSION
from crypto_core.values.errors import EventStoreError, InterruptedRunError
from crypto_core.values.key_names import AccountRegion
from tests.crypto_core.trail.records import (
    ACCOUNT,
    NOW,
    REGION,
    S3_CONTEXT,
    context,
    denied,
    event,
    read,
    user,
)

YOUNGER = ("agent", "token", "message")
"""Of a profile, in an index of its own, in neither."""
OLDER = 1
"""The version of a store without them."""
EXPRESSIONS = ("", *(f"{name}:*" for name in EVENT_FIELDS), "token:*gh-1", "agent:*boto*", "denied")

OPEN = """
import sys
from pathlib import Path
from crypto_core.lists.paging import Query
from crypto_core.trail.store import EventStore
sys.stdin.read(1)
print(EventStore(Path(sys.argv[1])).count(Query(filter="agent:*")))
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    opened = EventStore(tmp_path / "events.sqlite", clock=lambda: NOW)
    opened.add(
        [
            *(event(ago=n, context=context("gh-1"), userAgent=f"Boto3/1.{n}") for n in range(1, 20)),
            event(ago=30, who=user("intruder"), userAgent=None),
            read(denied(who=user("intruder"))),
        ]
    )
    yield opened
    opened.close()


WIDE = """
CREATE TABLE wide (id INTEGER PRIMARY KEY, event_id BLOB NOT NULL UNIQUE, at INTEGER NOT NULL, {columns});
INSERT INTO wide SELECT event.id, event_id, event.at, {kept} FROM event JOIN profile ON profile.id = profile
    JOIN identity ON identity.event = event.id;
CREATE TABLE counted AS SELECT at / 3600 AS hour, {kept}, count(*) events FROM wide GROUP BY hour, {kept};
DROP TABLE event; DROP TABLE profile; DROP TABLE rollup; DROP TABLE presence; DROP TABLE identity;
DROP TABLE daily;
ALTER TABLE wide RENAME TO event; ALTER TABLE counted RENAME TO rollup;
CREATE INDEX ix_event_at ON event (at);
CREATE INDEX ix_event_principal ON event (principal, at);
"""
"""All of an event in one table, as the versions before 8 had it."""


def make_older(store: EventStore, without: Sequence[str] = YOUNGER, version: int = OLDER) -> None:
    """Lay a store out as it was before there were profiles, and take the younger fields out of it."""
    store.close()
    kept = [name for name in (*ROLLED, "marks", *DETAILS) if name not in without]
    columns = ", ".join(f"{name} INTEGER NOT NULL" for name in kept)
    kinds = ", ".join(str(EVENT_FIELDS[name].kind) for name in without)
    with closing(sqlite3.connect(store.file.path)) as file:
        file.executescript(
            WIDE.format(columns=columns, kept=", ".join(kept))
            + f"DELETE FROM term WHERE kind IN ({kinds}); PRAGMA user_version = {version};"
        )


def answers(store: EventStore) -> list[object]:
    """What the store says to all that the fields are asked for."""
    return [
        *((store.count(Query(filter=said)), store.page(Query(filter=said)).rows) for said in EXPRESSIONS),
        *(store.pivot(name, limit=50) for name in PIVOTS),
        store.tally(tuple(EVENT_FIELDS), limit=100),
    ]


def test_the_fields_of_an_older_stores_events_are_found_as_if_they_had_always_been_kept(
    store: EventStore,
) -> None:
    before, columns = answers(store), tables(store)
    make_older(store)
    told: list[str] = []
    with closing(EventStore(store.file.path, clock=lambda: NOW, told=told.append)) as opened:
        assert answers(opened) == before
        assert len(told) == 1
        assert str(store.file.path) in told[0]
    assert {name: set(of) for name, of in tables(store).items()} == {n: set(of) for n, of in columns.items()}
    store.add([event(eventID="later", userAgent="curl/8")])
    assert store.count(Query(filter="agent:curl*")) == 1
    assert store.count(Query(filter="agent:*")) == 21


def test_a_field_that_is_younger_than_profiles_is_found_as_well(store: EventStore) -> None:
    before, columns = answers(store), tables(store)
    store.close()
    kinds = ", ".join(str(EVENT_FIELDS[name].kind) for name in YOUNGER)
    with closing(sqlite3.connect(store.file.path)) as file:
        file.executescript(
            "DROP INDEX ix_event_token; DROP INDEX ix_profile;"
            "ALTER TABLE event DROP COLUMN token; ALTER TABLE event DROP COLUMN message;"
            "ALTER TABLE profile DROP COLUMN agent;"
            f"DELETE FROM term WHERE kind IN ({kinds}); PRAGMA user_version = {VERSION - 1};"
        )
    assert answers(store) == before
    assert {name: set(of) for name, of in tables(store).items()} == {n: set(of) for n, of in columns.items()}


def test_an_older_record_of_pulls_is_dropped_and_services_are_marked_anew(store: EventStore) -> None:
    book, run = PullBook(store.file), PullScope("lookup", REGION, account=ACCOUNT)
    book.cover(run, TimeWindow(1, 9), 9)
    book.save(run, Unfinished(TimeWindow(1, 9), "token", 5, began=9))
    through = user("eve", invokedBy="states.amazonaws.com")
    store.add([event(ago=40, who=through), event(ago=41, who=through, context=S3_CONTEXT)])
    make_older(store, (), VERSION - 1)
    with closing(sqlite3.connect(store.file.path)) as file:
        for table in ("pulled", "unfinished_pull"):
            kept = [c for _, c, *_ in file.execute(f"PRAGMA table_info({table})") if c != "account"]
            file.executescript(
                f"CREATE TABLE older AS SELECT {', '.join(kept)} FROM {table};"
                f"DROP TABLE {table}; ALTER TABLE older RENAME TO {table};"
            )
        # It took whatever a service did for its noise.
        name = "SELECT id FROM term WHERE text LIKE '%eve'"
        file.executescript(f"UPDATE event SET marks = marks | 1 WHERE principal IN ({name});")
    assert book.covered() == {}
    assert store.count(Query(filter="service")) == 1
    assert store.summary("principal:*eve -service").events == 1
    assert book.unfinished(run) is None
    assert store.count(Query()) == 23
    book.cover(run, TimeWindow(1, 9), 9)
    assert book.covered() == {AccountRegion(ACCOUNT, REGION): [TimeWindow(1, 9)]}


def tables(store: EventStore) -> dict[str, list[str]]:
    """The columns of each table and index."""
    with closing(sqlite3.connect(store.file.path)) as file:
        names = [
            name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE '%auto%'")
        ]
        return {
            name: [row[0] for row in file.execute("SELECT name FROM pragma_table_xinfo(?)", (name,))]
            or [row[0] for row in file.execute("SELECT name FROM pragma_index_info(?)", (name,))]
            for name in names
        }


@pytest.mark.deep
def test_several_processes_may_open_an_older_store_at_once(store: EventStore) -> None:
    make_older(store)
    command = [sys.executable, "-c", OPEN, str(store.file.path)]
    pipe = subprocess.PIPE
    opened = [subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe) for _ in range(4)]
    for process in opened:
        assert process.stdin is not None
        process.stdin.write("!")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0].strip() for process in opened] == ["20"] * 4


def test_who_comes_while_another_process_converts_a_store_waits_for_it(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(store)
    monkeypatch.setattr(dialect, "_WAIT_SECONDS", 0.05)
    with closing(sqlite3.connect(store.file.path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        ends = Timer(0.5, other.execute, ["ROLLBACK"])
        ends.start()
        assert store.count(Query(filter="agent:*")) == 20
        ends.join()


MOUNTED = """
mount -t tmpfs tmpfs "$1" && cp "$2"* "$1" && mount -o remount,ro "$1" && exec "$3" -c "
from pathlib import Path
from crypto_core.values.errors import EventStoreError
from crypto_core.lists.paging import Query
from crypto_core.trail.store import EventStore
try:
    print(EventStore(Path('$1/events.sqlite')).count(Query(filter='agent:*')))
except EventStoreError as error:
    print(error)
"
"""


@pytest.mark.parametrize("state", ["closed", "in use", "older"])
def test_a_store_opens_from_a_disk_that_is_mounted_read_only_or_says_why_not(
    store: EventStore, tmp_path: Path, state: str
) -> None:
    own_mounts = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*own_mounts, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    if state == "older":
        make_older(store)
    elif state == "closed":
        store.close()
    (tmp_path / "disk").mkdir()
    arguments = [MOUNTED, "sh", str(tmp_path / "disk"), str(store.file.path), sys.executable]
    printed = subprocess.run([*own_mounts, *arguments], capture_output=True, text=True, check=False)
    said = {
        "closed": "20\n",
        "in use": "events.sqlite-wal belongs",
        "older": "Copy it to a disk that can be written",
    }
    assert said[state] in printed.stdout, printed


def write_one(path: Path) -> None:
    with closing(EventStore(path)) as writer:
        writer.add([event(ago=40)])


def test_a_store_that_is_written_elsewhere_is_read_anew_or_refused(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    monkeypatch.setattr(database, "_is_fixed", lambda _: True)
    with closing(EventStore(store.file.path)) as reader:
        assert reader.count(Query()) == 21
        monkeypatch.undo()
        with pytest.raises(EventStoreError, match="from elsewhere"), reader.file.reading():
            write_one(store.file.path)
        assert reader.count(Query()) == 22


def test_waiting_for_a_store_that_is_brought_up_to_date_ends_once_cancelled(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(store)
    cancelled = Event()

    def busy(_file: object, _connection: object) -> int:
        cancelled.set()
        raise OperationalError("BEGIN", {}, locked)

    locked = sqlite3.OperationalError("database is locked")
    locked.sqlite_errorcode = sqlite3.SQLITE_BUSY
    monkeypatch.setattr(database.StoreFile, "_begin", busy)
    with pytest.raises(InterruptedRunError):
        store.count(Query(), cancelled=cancelled)


def test_a_damaged_block_does_not_keep_a_store_from_its_new_fields(store: EventStore) -> None:
    store.add([event(ago=n) for n in range(40, 50)])
    make_older(store)
    with closing(sqlite3.connect(store.file.path)) as file:
        file.execute("UPDATE raw SET body = x'02' WHERE id = 1")
        file.commit()
    assert store.count(Query(filter="agent:*")) == 10
    assert store.count(Query()) == 31


def test_an_older_store_that_may_not_be_written_tells_how_it_can_be_read(store: EventStore) -> None:
    make_older(store)
    with closing(EventStore(store.file.path, read_only=True)) as reader:
        for ask in (reader.count, reader.page):
            with pytest.raises(EventStoreError, match="older Keydeck") as told:
                ask(Query(filter="agent:*"))
            assert "--read-only" in told.value.remedy
    with closing(sqlite3.connect(store.file.path)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (OLDER,)


def test_nothing_is_written_any_more_to_a_store_that_a_newer_keydeck_took_over(store: EventStore) -> None:
    assert store.count(Query()) == 21
    with closing(sqlite3.connect(store.file.path)) as file:
        file.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(EventStoreError, match="newer Keydeck"):
        store.add([event(eventID="late")])


def test_no_two_fields_share_a_number_and_none_is_left_out() -> None:
    kinds = sorted((ROLLED | DETAILS).values())
    assert kinds == list(range(1, len(EVENT_FIELDS) + 1))
