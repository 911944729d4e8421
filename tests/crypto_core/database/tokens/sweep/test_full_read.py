"""A full reading: no row of any place is overlooked, whoever writes meanwhile, and none is read twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Event

import pytest
from sqlalchemy import Connection, Engine, event, text

from console.container import Container
from console.sandbox.postgres import OPERATOR
from crypto_core.database.connection.engine import connected
from crypto_core.database.tokens.sweep import full_read, service
from crypto_core.database.tokens.sweep.full_read import ReadingProgress
from crypto_core.values.errors import InterruptedRunError
from tests.crypto_core.envelope.spellings import HEADER, drawn_value, published_fields, stored_text
from tests.crypto_core.statements import execute, scalar

Envelope = Callable[[], str]
RANGE = re.compile(r"ONLY public\.heap WHERE ctid >= '\((\d+),0\)'")


@pytest.fixture
def heap(services: Container, superuser: Engine, monkeypatch: pytest.MonkeyPatch) -> str:
    """An undeclared table of some thousand rows, which is read by ranges of a few pages without pauses."""
    monkeypatch.setattr(full_read, "FIRST_PAGES", 8)
    monkeypatch.setattr(full_read, "MOST_PAGES", 8)
    monkeypatch.setattr(full_read, "SMALL", 10_000)
    monkeypatch.setattr(full_read, "REST", 0.0)
    execute(
        superuser,
        "CREATE TABLE heap (id int, note text)",
        "INSERT INTO heap SELECT n, md5(n::text) FROM generate_series(1, 5000) n",
        f"GRANT SELECT ON heap TO {OPERATOR}",
    )
    return "heap"


@contextmanager
def at_page(services: Container, page: int, then: Callable[[], None]) -> Iterator[None]:
    """Do something once, while the heap is read, as soon as it is at this page."""
    done = Event()

    def show(progress: ReadingProgress) -> None:
        reached = [r.page for r in services.sweeps._book.tables.values() if r.page >= page]
        if reached and not done.is_set():
            done.set()
            then()

    with services.sweeps.watching(show):
        yield
    assert done.is_set()


def kinds(services: Container) -> dict[str, int]:
    """What a full reading finds, by table."""
    sweep = services.sweeps.take_sweep(full=True)
    assert sweep.full
    return {str(table.place): column.kinds.get("v1", 0) for table, column in sweep.places()}


@contextmanager
def ranges(engine: Engine) -> Iterator[list[int]]:
    """Collect the first pages of the ranges of the heap that are read."""
    read: list[int] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        read.extend(int(page) for page in RANGE.findall(statement))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield read
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_no_range_is_read_twice_and_nothing_that_is_unchanged(
    services: Container, heap: str, superuser: Engine, envelope: Envelope
) -> None:
    with ranges(services.engine) as read:
        assert kinds(services) == {}
    assert read == sorted(set(read))
    assert len(read) > 3
    with ranges(services.engine) as read:
        assert kinds(services) == {}
    assert read == []
    execute(superuser, f"INSERT INTO heap VALUES (0, '{envelope()}')")
    assert kinds(services) == {"heap": 1}
    # It is in no range that was read, and is found again for as long as it is there.
    assert kinds(services) == {"heap": 1}
    execute(superuser, "DELETE FROM heap WHERE id = 0")
    assert kinds(services) == {}


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    "change",
    [
        # Into pages that were read already.
        "UPDATE heap SET note = '{}' WHERE id = 4999",
        "DELETE FROM heap WHERE id = 4999; INSERT INTO heap VALUES (4999, '{}')",
        "INSERT INTO heap VALUES (0, '{}')",
        (
            "CREATE TABLE heap_2 AS SELECT id, '{}' AS note FROM heap; DROP TABLE heap;"
            "ALTER TABLE heap_2 RENAME TO heap; GRANT_HEAP"
        ),
        "TRUNCATE heap; INSERT INTO heap SELECT n, '{}' FROM generate_series(1, 5000) n",
        "ALTER TABLE heap ADD COLUMN token text DEFAULT '{}'",
        "ALTER TABLE heap ALTER note TYPE varchar(5000) USING CASE id WHEN 4999 THEN '{}' ELSE note END",
        "CREATE TABLE other AS SELECT n AS id, '{}' AS note FROM generate_series(1, 5000) n; GRANT_OTHER",
    ],
)
def test_whatever_is_written_while_it_is_read_is_read_too(
    services: Container, heap: str, superuser: Engine, envelope: Envelope, change: str
) -> None:
    # Room in the first pages, so that what is written later goes to where it was read already.
    execute(superuser, "DELETE FROM heap WHERE id < 1000")
    with superuser.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("VACUUM heap"))
    grant = f"GRANT SELECT ON {{}} TO {OPERATOR}"
    change = change.replace("GRANT_OTHER", grant.format("other")).replace("GRANT_HEAP", grant.format("heap"))

    def write() -> None:
        execute(superuser, change.format(envelope()))

    with at_page(services, 24, write):
        found = kinds(services)
    assert sum(found.values()) >= 1, change


def test_a_token_that_moves_to_a_declared_table_between_the_count_and_the_reading_is_in_one_of_them(
    services: Container, heap: str, superuser: Engine, envelope: Envelope, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(superuser, f"INSERT INTO heap VALUES (0, '{envelope()}')", "DELETE FROM gh_connection")
    before = service.FullReading.read_end

    def moved(reading: service.FullReading, connection: Connection) -> None:
        execute(
            superuser,
            "INSERT INTO gh_connection (id, org_id, user_id, access_token, refresh_token, scopes, token_type,"
            " created_at) SELECT 'moved', 'o', 'u', note, note, '{}', 'bearer', now() FROM heap WHERE id = 0",
            "DELETE FROM heap WHERE id = 0",
        )
        before(reading, connection)

    monkeypatch.setattr(service.FullReading, "read_end", moved)
    proof = services.status.prove(in_full=True)
    assert any("public.heap" in gap or "heap.note" in gap for gap in proof.gaps)


def test_a_table_that_is_rewritten_after_the_snapshot_is_not_taken_for_empty(
    services: Container, heap: str, superuser: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rewritten = service.FullReading.read_end, 0

    def rewrite(reading: service.FullReading, connection: Connection) -> None:
        nonlocal rewritten
        rewritten += 1
        execute(superuser, f"ALTER TABLE heap ALTER note TYPE varchar({1000 + rewritten}) USING note || ''")
        before(reading, connection)

    monkeypatch.setattr(service.FullReading, "read_end", rewrite)
    proof = services.status.prove(in_full=True)
    assert rewritten == service.MOST_PASSES
    assert not proof.complete
    (gap,) = [gap for gap in proof.gaps if "has not settled" in gap]
    assert "public.heap" in gap


def test_a_killed_reading_goes_on_where_it_was(
    services: Container, environment: dict[str, str], heap: str, superuser: Engine, envelope: Envelope
) -> None:
    script = (
        "from console.container import Container; from console.settings import load\n"
        "from crypto_core.database.tokens.sweep import full_read as f\n"
        "f.FIRST_PAGES = f.MOST_PAGES = 8; f.SMALL = 100_000; f.REST = 5_000.0\n"
        "Container(load().settings).sweeps.take_sweep(full=True)\n"
    )
    heap_oid = str(scalar(superuser, "SELECT 'heap'::regclass::oid"))
    folder = Path(os.environ["XDG_STATE_HOME"]) / "keydeck"
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        page = 0
        while page < 8 and process.poll() is None:
            for file in folder.glob("reading-*.json"):
                page = json.loads(file.read_text())["tables"].get(heap_oid, {"page": 0})["page"]
            time.sleep(0.05)
        assert process.poll() is None, "the reading ended by itself"
        process.send_signal(signal.SIGKILL)
    (file,) = folder.glob("reading-*.json")
    page = json.loads(file.read_text())["tables"][heap_oid]["page"]
    assert (file.stat().st_mode & 0o777) == 0o600
    execute(superuser, f"UPDATE heap SET note = '{envelope()}' WHERE id = 2")
    with ranges(services.engine) as read:
        assert kinds(services) == {"heap": 1}
    # Where the new token is, the end reads again.
    assert sorted(set(read)) == list(range(page, max(read) + 1, 8))
    assert {one for one in read if read.count(one) > 1} <= {max(read)}


@pytest.mark.parametrize("type_", ["text", "bytea"])
def test_what_the_platforms_reader_opens_is_found_however_it_is_spelt(
    services: Container, superuser: Engine, type_: str
) -> None:
    """But for one in a hundred of these: where the data key itself is spelt otherwise in two places."""
    random, rows = Random(1), list[bytes | str]()
    while len(rows) < 1_000:
        fields = published_fields(value := drawn_value(random))
        if fields is None or not fields[0].startswith(HEADER):
            continue
        if type_ == "bytea":
            rows.append(value)
        elif not (as_text := stored_text(value)).startswith("\\x"):
            rows.append(as_text)
    execute(superuser, f"CREATE TABLE spelt (one {type_})", f"GRANT SELECT ON spelt TO {OPERATOR}")
    with superuser.begin() as connection:
        connection.execute(text("INSERT INTO spelt VALUES (:one)"), [{"one": row} for row in rows])
    assert 990 <= kinds(services)["spelt"] <= 1_000


def test_what_a_file_says_of_another_server_or_other_rules_or_by_a_link_counts_for_nothing(
    services: Container, heap: str, fresh_sweeps: Callable[[], Container], tmp_path: Path
) -> None:
    assert kinds(services) == {}
    with ranges((other := fresh_sweeps()).engine) as read:
        kinds(other)
    assert read == []
    (file,) = (Path(os.environ["XDG_STATE_HOME"]) / "keydeck").glob("reading-*.json")
    file.rename(tmp_path / "elsewhere.json")
    file.symlink_to(tmp_path / "elsewhere.json")
    with ranges((other := fresh_sweeps()).engine) as read:
        kinds(other)
    assert len(read) > 3
    other = fresh_sweeps()
    other.sweeps._book.rules += " "
    with ranges(other.engine) as read:
        kinds(other)
    assert len(read) > 3


def test_a_reading_can_be_cancelled_and_goes_on_later(services: Container, heap: str) -> None:
    cancelled = Event()
    with at_page(services, 16, cancelled.set), pytest.raises(InterruptedRunError):
        services.sweeps.take_sweep(full=True, cancelled=cancelled)
    with ranges(services.engine) as read:
        services.sweeps.take_sweep(full=True)
    assert min(read) == 16


def test_rows_of_transactions_of_a_whole_round_ago_are_not_missed() -> None:
    snapshot = full_read._Snapshot(xmin=2**32 + 90, xmax=2**32 + 100)

    def matches(since: int, row: int) -> bool:
        condition = snapshot.written_since(since).replace("xmin::text::bigint", str(row % 2**32))
        return bool(eval(condition))

    for since in (2**32 + 50, 2**32 - 50, 2**32 - 2**31 - 5):
        for row in (since, since + 1, 2**32 - 1, 2**32 + 3, 2**32 + 99):
            if since <= row < snapshot.xmax:
                assert matches(since, row), (since, row)
        assert not matches(since, since - 1)
    # After more than a round no id says anything: all rows are read.
    assert snapshot.written_since(50) == "true"


def test_where_a_role_may_read_columns_alone_they_are_read_whole_at_the_end(
    services: Container, heap: str, superuser: Engine, envelope: Envelope
) -> None:
    execute(
        superuser,
        f"REVOKE ALL ON heap FROM {OPERATOR}",
        f"GRANT SELECT (id, note) ON heap TO {OPERATOR}",
        f"UPDATE heap SET note = '{envelope()}' WHERE id = 4000",
    )
    assert kinds(services) == {"heap": 1}


def test_a_table_that_inherits_is_read_by_itself(
    services: Container, heap: str, superuser: Engine, envelope: Envelope
) -> None:
    execute(
        superuser,
        "CREATE TABLE child () INHERITS (heap)",
        f"GRANT SELECT ON child TO {OPERATOR}",
        "INSERT INTO child SELECT n, md5(n::text) FROM generate_series(1, 5000) n",
        f"UPDATE child SET note = '{envelope()}' WHERE id = 4000",
    )
    assert kinds(services) == {"child": 1}


def test_what_was_read_of_a_table_says_nothing_of_columns_that_were_hidden(
    services: Container, superuser: Engine, heap: str, envelope: Envelope
) -> None:
    execute(
        superuser,
        "ALTER TABLE heap ADD COLUMN other text",
        f"UPDATE heap SET other = '{envelope()}' WHERE id = 7",
        f"REVOKE ALL ON heap FROM {OPERATOR}",
        f"GRANT SELECT (id, note) ON heap TO {OPERATOR}",
    )
    assert kinds(services) == {}
    execute(superuser, f"GRANT SELECT ON heap TO {OPERATOR}")
    assert kinds(services) == {"heap": 1}


def test_the_end_reads_in_one_snapshot_what_a_slow_reading_could_not_see(
    services: Container, heap: str, superuser: Engine, envelope: Envelope
) -> None:
    """A transaction that wrote before the reading began, and commits while the pages behind are read."""
    with superuser.connect() as late:
        late.execute(text(f"UPDATE heap SET note = '{envelope()}' WHERE id = 1"))
        with at_page(services, 24, late.commit):
            assert kinds(services) == {"heap": 1}


def test_a_relation_without_pages_is_no_reason_to_fail(services: Container, superuser: Engine) -> None:
    execute(
        superuser, "CREATE TABLE nothing_in_it (note text)", f"GRANT SELECT ON nothing_in_it TO {OPERATOR}"
    )
    with connected(services.engine) as connection:
        assert full_read._states(connection, ()) == {}
    assert services.sweeps.take_sweep(full=True).reasons == ()
