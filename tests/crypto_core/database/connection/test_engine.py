"""Connections: every failure is an error of ours, in time, and says what to do."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError

from console.sandbox.sandbox import Sandbox
from crypto_core.database.connection import engine as engine_module
from crypto_core.database.connection import interruption
from crypto_core.database.connection.engine import connected, open_engine, patient
from crypto_core.database.dialect import codec_of, fitted
from crypto_core.database.qualified_sql import run_as_it_is
from crypto_core.values import errors
from tests.left_out import is_left_out
from tests.pooler import Pooler, pooler


@pytest.fixture
def engine(environment: dict[str, str]) -> Iterator[Engine]:
    opened = open_engine(environment["DATABASE_URL"])
    yield opened
    opened.dispose()


@pytest.fixture
def wire(environment: dict[str, str]) -> Iterator[Pooler]:
    """A pooler before the sandbox's PostgreSQL."""
    with pooler(environment["DATABASE_URL"]) as made:
        yield made


@pytest.fixture(scope="module")
def own() -> Iterator[Sandbox]:
    """A sandbox whose PostgreSQL a test may stop."""
    with Sandbox.start(data=False) as running:
        yield running


@pytest.mark.parametrize(
    ("statement", "kind", "says"),
    [
        ("SELECT * FROM pg_authid", errors.MissingGrantError, "permission denied"),
        ("SELECT * FROM keydeck.journal", errors.MissingSchemaError, "keydeck init"),
        ("SELECT * FROM not_there", errors.DatabaseError, "42P01"),
        ("SELECT 1/0", errors.DatabaseError, "22012"),
        ("SET statement_timeout = 50; SELECT pg_sleep(30)", errors.DatabaseTimeoutError, "took too long"),
        (
            "SELECT pg_terminate_backend(pg_backend_pid())",
            errors.DatabaseUnreachableError,
            "closed the connection",
        ),
    ],
)
def test_a_failure_is_told_apart(
    engine: Engine, statement: str, kind: type[errors.DatabaseError], says: str
) -> None:
    with pytest.raises(kind, match=says) as caught, connected(engine) as connection:
        connection.execute(text(statement))
    assert type(caught.value) is kind
    with connected(engine) as connection:
        assert connection.scalar(text("SELECT 1")) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"port": 1}, "No connection"),
        ({"database": "not_there"}, "not_there"),
        ({"username": "nobody"}, "nobody"),
        ({"password": "wrong-password"}, "authentication failed"),
        ({"host": "no-such-host.invalid"}, "No connection"),
    ],
)
def test_a_database_that_lets_nobody_in_is_unreachable_and_no_password_is_repeated(
    environment: dict[str, str], change: dict[str, object], says: str
) -> None:
    url = make_url(environment["DATABASE_URL"])
    opened = open_engine(url.set(**change).render_as_string(hide_password=False))  # type: ignore[arg-type]
    with pytest.raises(errors.DatabaseUnreachableError, match=says) as caught, connected(opened):
        pass
    told = f"{caught.value} {caught.value.__cause__} {opened!r}"
    assert str(url.password) not in told
    assert "wrong-password" not in told
    opened.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "not a url",
        "mysql://u:secret-word@h/d",
        "sqlite:///x",
        "postgresql://u:secret-word@h:port/d",
        "postgresql+asyncpg://",
    ],
)
def test_what_is_no_postgresql_url_is_told_with_the_form_and_not_repeated(url: str) -> None:
    try:
        open_engine(url, setting="KEYDECK_STATE_URL").dispose()
    except errors.SettingsError as error:
        told = error
    else:
        assert url == "postgresql+asyncpg://"
        return
    assert "KEYDECK_STATE_URL" in told.message
    assert "postgresql://user:password@host:5432/database" in told.remedy
    assert "secret-word" not in f"{told} {told.__cause__}"


@pytest.mark.parametrize(
    "password",
    [f"p@secret-word{character}more" for character in "#/?@%[: "] + ["@secret-word", "p@secret-word@"],
)
def test_the_rest_of_a_password_is_neither_looked_up_nor_told(password: str) -> None:
    with pytest.raises(errors.SettingsError, match=r"DATABASE_URL has more than one @.*%40") as caught:
        open_engine(f"postgresql://u:{password}@h.invalid/d")
    assert "secret-word" not in "".join(traceback.format_exception(caught.value))
    encoded = open_engine(f"postgresql://u:{quote(password, safe='')}@h.invalid/d")
    assert (encoded.url.password, encoded.url.host) == (password, "h.invalid")
    encoded.dispose()


@pytest.mark.parametrize("password", ["p#w", "p/w", "p?w", "p:w"])
def test_other_signs_may_stand_in_a_password_as_they_are(password: str) -> None:
    opened = open_engine(f"postgresql://u:{password}@h.invalid/d")
    assert (opened.url.password, opened.url.host) == (password, "h.invalid")
    opened.dispose()


CHANGES = (
    "UPDATE public.gh_connection SET org_id = org_id",
    "CREATE TABLE x (y int)",
    "DELETE FROM public.slack_connection",
    "SELECT 1 FROM public.gh_connection FOR UPDATE",
)


@pytest.mark.quick(2)
@pytest.mark.parametrize(("read_only", "write"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("pooled", [False, True])
def test_a_transaction_for_reading_and_each_of_a_read_only_engine_is_refused_writes_by_the_server(
    environment: dict[str, str], wire: Pooler, read_only: bool, write: bool, pooled: bool
) -> None:
    url = environment["DATABASE_URL"]
    opened = open_engine(wire.url(url) if pooled else url, read_only=read_only)
    for statement in CHANGES:
        with pytest.raises(errors.DatabaseReadOnlyError), connected(opened, write=write) as connection:
            connection.execute(text(statement))
    # Neither what a statement read before, nor how it is fetched, opens a way.
    for first, streamed in (("SELECT 1", False), ("SELECT 1", True), ("SAVEPOINT one", False)):
        with connected(opened, write=write) as connection:
            connection.execute(text(first), execution_options={"stream_results": streamed})
            with pytest.raises(DBAPIError, match="read-only transaction"):
                connection.execute(text(CHANGES[0]))
    opened.dispose()


def test_a_connection_that_was_read_with_is_written_with_next_and_the_other_way_round(
    environment: dict[str, str], wire: Pooler
) -> None:
    opened = open_engine(wire.url(environment["DATABASE_URL"]))
    read_only = text("SELECT current_setting('transaction_read_only'), pg_backend_pid()")
    told = []
    for write in (False, True, False, True):
        with connected(opened, write=write) as connection:
            told.append(tuple(connection.execute(read_only).one()))
    assert [said for said, _ in told] == ["on", "off", "on", "off"]
    assert len({pid for _, pid in told}) == 1
    opened.dispose()


def test_a_transaction_has_the_isolation_that_was_asked_for_whatever_the_sessions_default_is(
    environment: dict[str, str],
) -> None:
    isolation = text("SELECT current_setting('transaction_isolation')")
    serializable = "options=-c%20default_transaction_isolation%3Dserializable"
    opened = open_engine(f"{environment['DATABASE_URL']}&{serializable}")
    told = []
    for snapshot in (False, True, False):
        with connected(opened, snapshot=snapshot) as connection:
            told.append(connection.scalar(isolation))
    assert told == ["read committed", "repeatable read", "read committed"]
    opened.dispose()


@pytest.mark.parametrize("write", [False, True])
def test_behind_a_pooler_that_drops_options_each_transaction_has_its_time_limits(
    environment: dict[str, str], wire: Pooler, write: bool
) -> None:
    opened = open_engine(wire.url(environment["DATABASE_URL"]))
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "jit")
    read = text(f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}")
    for fetched in ({}, {"stream_results": True}):
        with connected(opened, write=write) as connection:
            limits = connection.execute(read, execution_options=fetched).one()
        assert tuple(limits) == ("1min", "10s", "2min", "off")
    assert wire.dropped == []
    opened.dispose()
    # What the URL asks for comes with the transaction, and the pooler leaves no limit of a session's.
    asking = open_engine(f"{wire.url(environment['DATABASE_URL'])}&options=-c%20statement_timeout%3D7s")
    with connected(asking, write=write) as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "7s"
    with asking.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.autocommit = True
        assert connection.scalar(text("SHOW statement_timeout")) == "0"
    assert wire.dropped == []
    asking.dispose()


def test_what_a_statement_means_is_not_the_databases_to_say(
    environment: dict[str, str], superuser: Engine
) -> None:
    settings = (
        *("standard_conforming_strings = off", "transform_null_equals = on", "array_nulls = off"),
        *("quote_all_identifiers = on", "bytea_output = escape", "DateStyle = 'SQL, DMY'"),
        *("IntervalStyle = sql_standard", "extra_float_digits = -15"),
    )
    with superuser.begin() as connection:
        for setting in settings:
            connection.execute(text(f"ALTER DATABASE {superuser.url.database} SET {setting}"))
    asked = (
        r"SELECT 'a\\b', NULL = NULL, '{NULL}'::text[] IS NOT DISTINCT FROM ARRAY[NULL]::text[],"
        " format_type('int8'::regtype, NULL), 'public.gh_connection'::regclass::text, 'x'::bytea::text,"
        " DATE '2026-12-01'::text, interval '25 hours 1 day'::text, (0.1::float8 + 0.2)::text"
    )
    opened = open_engine(environment["DATABASE_URL"])
    for _ in range(2):
        with connected(opened) as connection:
            (row,) = run_as_it_is(connection, asked)
        assert tuple(row) == (
            *("a\\\\b", None, True, "bigint", "public.gh_connection", r"\x78"),
            *("2026-12-01", "1 day 25:00:00", "0.30000000000000004"),
        )
    opened.dispose()


def test_a_beginning_adds_no_statement_that_is_waited_for(environment: dict[str, str], wire: Pooler) -> None:
    opened = open_engine(wire.url(environment["DATABASE_URL"]))
    with connected(opened):
        pass
    before = wire.queries
    with connected(opened) as connection:
        connection.scalar(text("SELECT 1"))
    # The pool asks whether the connection lives; the driver begins, asks, and rolls back.
    assert wire.queries - before == 4
    opened.dispose()


def holding(pattern: str) -> set[str]:
    """The product's modules that hold a pattern."""
    root = Path(engine_module.__file__).parents[3]
    return {
        str(path.relative_to(root))
        for floor in ("crypto_core", "screens", "console")
        for path in (root / floor).rglob("*.py")
        if re.search(pattern, path.read_text(encoding="utf-8"), re.IGNORECASE)
    }


def test_sqlite_is_named_by_the_event_stores_dialect_and_the_book_of_abilities_alone() -> None:
    own = {"crypto_core/trail/store/dialect.py", "crypto_core/forensics/abilities/service.py"}
    assert holding(r"sqlite3|dialects\.sqlite|sqlite_\w+=|PRAGMA") == {o for o in own if not is_left_out(o)}


def test_nothing_of_the_product_opens_a_transaction_elsewhere() -> None:
    """What `connected` opens is limited; a connection that is opened elsewhere would not be."""
    found = holding(
        r"engine\.(connect|begin|raw_connection)\(|create_engine\(|psycopg2\.connect\(|autocommit"
    )
    own = {f"crypto_core/database/connection/{name}.py" for name in ("engine", "pool", "transactions")}
    sandbox = {f"console/sandbox/{name}.py" for name in ("generator", "postgres")}
    events = {f"crypto_core/trail/store/{name}.py" for name in ("database", "dialect")}
    assert found == own | sandbox | events


def test_the_session_has_time_limits_and_a_name(engine: Engine) -> None:
    with connected(engine) as connection:
        limits = {
            name: connection.scalar(text(f"SHOW {name}"))
            for name in ("statement_timeout", "lock_timeout", "application_name")
        }
        wrapped: Any = connection.connection.dbapi_connection
        parameters = wrapped.info.dsn_parameters
    assert limits["statement_timeout"] == "1min"
    assert limits["lock_timeout"] == "10s"
    assert limits["application_name"] == "keydeck"
    # A network that swallows packets: keepalives find it while idle, the other while data is under way.
    assert int(parameters["keepalives_idle"]) + int(parameters["keepalives_interval"]) * 3 <= 30
    assert 0 < int(parameters["tcp_user_timeout"]) <= 60_000


def test_statement_parameters_are_in_no_exception(engine: Engine) -> None:
    canary = f"canary-{uuid4().hex}"
    with pytest.raises(errors.DatabaseError) as caught, connected(engine) as connection:
        connection.execute(text("SELECT 1/0, CAST(:canary AS text)"), {"canary": canary})
    assert canary not in f"{caught.value} {caught.value.__cause__} {caught.value.__cause__.__cause__}"  # type: ignore[union-attr]


def test_more_users_than_connections_wait_and_are_told(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "CONNECT_TIMEOUT_SECONDS", 1)
    opened = open_engine(environment["DATABASE_URL"])
    held = [opened.connect() for _ in range(16)]
    with pytest.raises(errors.DatabaseUnreachableError, match="can't be used"), connected(opened):
        pass
    for connection in held:
        connection.close()
    with connected(opened) as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    opened.dispose()


@pytest.mark.deep
def test_a_server_that_stops_and_comes_back_is_used_again(own: Sandbox) -> None:
    opened = open_engine(own.database_url)
    with connected(opened) as connection:
        connection.scalar(text("SELECT 1"))
    own.postgres.stop()
    for _ in range(2):
        with pytest.raises(errors.DatabaseUnreachableError, match="No connection"), connected(opened):
            pass
    own.postgres.restart()
    with connected(opened) as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    opened.dispose()


@pytest.mark.deep
def test_a_server_that_stops_in_the_middle_of_a_statement_is_told(own: Sandbox) -> None:
    opened = open_engine(own.database_url)

    def sleep() -> None:
        with connected(opened) as connection:
            connection.execute(text("SELECT pg_sleep(60)"))

    with ThreadPoolExecutor(1) as pool:
        sleeping = pool.submit(sleep)
        wait_until(lambda: bool(sessions(own, "pg_sleep")))
        own.postgres.stop()
        with pytest.raises(errors.DatabaseUnreachableError):
            sleeping.result(timeout=30)
    own.postgres.restart()
    opened.dispose()


@pytest.mark.quick(1)
@pytest.mark.parametrize("waiting_for", ["a new session", "a statement", "the end of a transaction"])
def test_a_server_that_freezes_is_not_waited_for_without_end(
    own: Sandbox, monkeypatch: pytest.MonkeyPatch, waiting_for: str
) -> None:
    monkeypatch.setattr(interruption, "LIMIT_SECONDS", 0.5)
    monkeypatch.setattr(engine_module, "CONNECT_TIMEOUT_SECONDS", 2)
    opened = open_engine(own.platform_database_url)
    with connected(opened) as connection:
        connection.execute(text("SELECT 1"))

    def use() -> None:
        with connected(opened, write=True) as connection:
            if waiting_for == "a statement":
                own.postgres.pause()
            connection.execute(text("UPDATE public.gh_connection SET org_id = 'x'"))
            own.postgres.pause()

    if waiting_for == "a new session":
        own.postgres.pause()
    with ThreadPoolExecutor(1) as pool:
        using = pool.submit(use)
        try:
            with pytest.raises(errors.DatabaseUnreachableError):
                using.result(timeout=30)
        finally:
            own.postgres.resume()
    with connected(opened) as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    opened.dispose()


@pytest.mark.deep
def test_a_statement_within_its_time_limit_is_left_alone(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interruption, "LIMIT_SECONDS", 1.0)
    opened = open_engine(environment["DATABASE_URL"])
    with connected(opened) as connection:
        for _ in range(5):
            connection.execute(text("SELECT pg_sleep(0.3)"))
        rows = connection.execution_options(yield_per=2).execute(text("SELECT generate_series(1, 9)"))
        assert len(rows.all()) == 9
    opened.dispose()


def test_what_reads_a_whole_table_may_take_longer_and_nothing_behind_it_may(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interruption, "LIMIT_SECONDS", 0.2)
    opened = open_engine(environment["DATABASE_URL"])
    with connected(opened) as connection:
        with patient(connection, 1):
            connection.execute(text("SELECT pg_sleep(0.6)"))
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.limit_seconds is None
    with pytest.raises(errors.DatabaseTimeoutError), connected(opened) as connection, patient(connection, 1):
        connection.execute(text("SELECT pg_sleep(30)"))
    with connected(opened) as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "1min"
    opened.dispose()


def sessions(sandbox: Sandbox, part: str) -> int:
    admin = open_engine(sandbox.superuser_url)
    with connected(admin) as connection:
        found = connection.scalar(
            text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE :part AND pid <> pg_backend_pid()"),
            {"part": f"%{part}%"},
        )
    admin.dispose()
    return int(found or 0)


def wait_until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("said", "statement", "needed"),
    [
        ("permission denied for schema public", "SELECT FROM public.t", "GRANT USAGE ON SCHEMA public"),
        ("permission denied for database app", "CREATE SCHEMA keydeck", "GRANT CREATE ON DATABASE app"),
        ("permission denied for database keydeck", "CREATE SCHEMA a", "GRANT CREATE ON DATABASE keydeck"),
        ("keine Berechtigung für Schema keydeck", "SELECT 1", "GRANT USAGE ON SCHEMA keydeck"),
        ("permission denied for table t", 'SELECT FROM ONLY "public"."t"', "GRANT SELECT, UPDATE ON TABLE t"),
        ("permission denied for function public", "SELECT FROM public.t", "the privilege that"),
    ],
)
def test_a_denied_privilege_is_told_with_the_statement_that_grants_it(
    said: str, statement: str, needed: str
) -> None:
    assert engine_module._grant(said, statement, "").startswith(needed)


@pytest.mark.parametrize("sqlstate", ["40P01", "53100", "57014"])
def test_a_failure_that_passes_is_not_taken_for_the_refusal_of_a_row(sqlstate: str) -> None:
    error = errors.DatabaseError("x", sqlstate=sqlstate, foreign=True)
    assert (error.passing, error.by_the_row, error.by_the_table) == (True, False, False)
    refused = errors.DatabaseError("x", sqlstate="23514", foreign=True)
    assert (refused.by_the_row, refused.by_the_table) == (True, False)


@pytest.mark.parametrize(
    ("encoding", "kept", "replaced"),
    [
        ("EUC_JP", "é丂日", {"😀": "<U+1F600>", "…": "…"}),
        ("LATIN1", "é", {"–": "-", "…": "...", "日": "<U+65E5>"}),
        ("EUC_TW", "一é", {"…": "...", "–": "-"}),
        ("UTF8", "一😀", {}),
    ],
)
def test_a_text_is_stored_as_the_encoding_can_hold_it(
    encoding: str, kept: str, replaced: dict[str, str]
) -> None:
    class Driver:
        def get_parameter_status(self, _name: str) -> str:
            return encoding

    codec = codec_of(Driver())
    assert fitted(kept, codec) == kept
    assert {text: fitted(text, codec) for text in replaced} == replaced
