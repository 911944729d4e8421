"""Why there is no connection: real causes of a real server and pooler, each with a remedy of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import make_url, text

from console.sandbox.postgres import OPERATOR
from console.sandbox.sandbox import Sandbox
from crypto_core.database.connection.engine import connected, open_engine
from crypto_core.database.connection.login_failures import CAUSES, login_failure
from crypto_core.diagnosis import CheckOutcome
from crypto_core.diagnosis.database import DatabasePlace, look_at_database
from crypto_core.values.errors import DatabaseError, DatabaseLoginError, DatabaseUnreachableError
from tests.pgbouncer import needs_pgbouncer, pgbouncer
from tests.standby import administer
from tests.tls import Tls


def told(url: str) -> DatabaseError:
    """What a first look at a database says."""
    engine = open_engine(url)
    try:
        with pytest.raises(DatabaseError) as caught, connected(engine) as connection:
            connection.scalar(text("SELECT 1"))
    finally:
        engine.dispose()
    error = caught.value
    assert str(make_url(url).password) not in f"{error} {error.__cause__}"
    return error


def other(url: str, **parts: Any) -> str:
    return make_url(url).set(**parts).render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def own() -> Iterator[Sandbox]:
    """A sandbox whose PostgreSQL's configuration a test may change."""
    with Sandbox.start(data=False) as running:
        yield running


@contextmanager
def hba(own: Sandbox, lines: str) -> Iterator[None]:
    """Let the server have these lines before its own."""
    path = own.folder / "data" / "pg_hba.conf"
    kept = path.read_text()
    path.write_text(f"{lines}\n{kept}")
    administer(own, "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        path.write_text(kept)
        administer(own, "SELECT pg_reload_conf()")


WITHOUT_CHANGES: list[tuple[str, Callable[[str], str], type[DatabaseError]]] = [
    ("The password is wrong", lambda url: other(url, password="another"), DatabaseLoginError),
    ("The password is wrong", lambda url: other(url, username="nobody"), DatabaseLoginError),
    (
        "A password is asked for",
        lambda url: url.replace(f":{make_url(url).password}@", "@"),
        DatabaseLoginError,
    ),
    ("There is no such database", lambda url: other(url, database="nowhere"), DatabaseLoginError),
    ("offers no encryption", lambda url: url.replace("disable", "require"), DatabaseLoginError),
    ("host name is not known", lambda url: other(url, host="nowhere.invalid"), DatabaseUnreachableError),
    ("Nothing listens there", lambda url: other(url, port=1), DatabaseUnreachableError),
    ("Nothing listens there", lambda url: f"{url}&host=/nowhere&port=1", DatabaseUnreachableError),
    ("target_session_attrs", lambda url: f"{url}&target_session_attrs=standby", DatabaseUnreachableError),
    ("a setting|unrecognized", lambda url: f"{url}&options=-c%20nothing_known%3D1", DatabaseError),
]


@pytest.mark.parametrize(("says", "url", "kind"), WITHOUT_CHANGES)
def test_a_cause_is_told_with_its_remedy(
    database_url: str,
    says: str,
    url: Callable[[str], str],
    kind: type[DatabaseError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPASSFILE", "/dev/null")
    error = told(url(database_url))
    assert type(error) is kind
    assert any(part in error.message for part in says.split("|")), error.message
    if kind is not DatabaseError:
        assert error.remedy != DatabaseUnreachableError.default_remedy


def test_every_host_of_a_list_has_its_line(database_url: str) -> None:
    error = told(f"{database_url}&host=nowhere.invalid,127.0.0.1&port=1")
    assert "nowhere.invalid" in error.message
    assert '"127.0.0.1", port 1' in error.message


def test_the_next_host_of_a_list_serves_where_the_first_is_dead(database_url: str) -> None:
    port = make_url(database_url).port
    for url in (
        database_url.replace(f"@127.0.0.1:{port}", f"@127.0.0.1:1,127.0.0.1:{port}"),
        f"{database_url}&host=127.0.0.1:1&host=127.0.0.1:{port}",
    ):
        engine = open_engine(url)
        with connected(engine) as connection:
            assert connection.scalar(text("SELECT 1")) == 1
        engine.dispose()


def test_what_answers_and_is_no_postgresql_is_told(database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            client, _ = listening.accept()
            with client:
                client.recv(1_000)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"\x1b[31m" * 20)

        thread = Thread(target=answer)
        thread.start()
        error = told(other(database_url, port=listening.getsockname()[1]))
        thread.join()
    assert "no PostgreSQL" in error.message
    assert "\x1b" not in str(error)


@pytest.mark.deep
def test_what_pg_hba_refuses_is_told(own: Sandbox) -> None:
    with hba(own, f"host all {OPERATOR} 127.0.0.1/32 reject"):
        assert "pg_hba.conf lets this role not in" in told(own.database_url).message
    path = own.folder / "data" / "pg_hba.conf"
    kept = path.read_text()
    try:
        only = "host all postgres 127.0.0.1/32 scram-sha-256\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
        path.write_text(only)
        administer(own, "SELECT pg_reload_conf()")
        error = told(own.database_url)
        assert "lets nobody in without encryption" in error.message
        assert "sslmode=verify-full" in error.remedy
    finally:
        path.write_text(kept)
        administer(own, "SELECT pg_reload_conf()")


@pytest.mark.deep
def test_a_role_that_may_not_log_in_or_not_connect_is_told(own: Sandbox) -> None:
    try:
        administer(own, f"ALTER ROLE {OPERATOR} NOLOGIN")
        assert "There is no such role" in told(own.database_url).message
        administer(own, f"ALTER ROLE {OPERATOR} LOGIN", "REVOKE CONNECT ON DATABASE tokens FROM PUBLIC")
        assert "GRANT CONNECT" in told(own.database_url).remedy
        administer(
            own,
            f"GRANT CONNECT ON DATABASE tokens TO {OPERATOR}",
            f"ALTER ROLE {OPERATOR} CONNECTION LIMIT 0",
        )
        error = told(own.database_url)
        assert "no more connections" in error.message
        assert error.passing
    finally:
        administer(own, f"ALTER ROLE {OPERATOR} LOGIN CONNECTION LIMIT -1")


@needs_pgbouncer
@pytest.mark.deep
def test_certificates_that_prove_nothing_are_told(own: Sandbox, tmp_path: Path) -> None:
    """The sandbox's PostgreSQL is built without TLS; a pooler before it speaks it with the same library."""
    tls = Tls(own.folder)
    for says, host, days, authority in (
        ("", "localhost", (-1, 1), tls.authority),
        ("not signed by a trusted authority", "localhost", (-1, 1), "system"),
        ("authorities isn't there", "localhost", (-1, 1), tmp_path / "none"),
        ("is for another host", "db.example", (-1, 1), tls.authority),
        ("has expired", "localhost", (-3, -1), tls.authority),
    ):
        tls.serve(host, days=days)
        with pgbouncer(own.database_url, **tls.settings) as pooler:
            url = pooler.url(own.database_url, sslmode="verify-full", sslrootcert=str(authority))
            url = f"{url}&host=localhost&hostaddr=127.0.0.1"
            if says:
                error = told(url)
                assert says in error.message, error.message
                assert not error.passing
            else:
                checks = {c.name: c for c in look_at_database(DatabasePlace(url, "X", "x", False), Event())}
                assert checks["reachable"].outcome is CheckOutcome.OK, checks["reachable"]
                assert checks["encryption"].said.startswith("TLSv1")
                assert "one between" in checks["pooler"].said
                plain = told(url.replace("verify-full", "disable"))
                assert "without encryption" in plain.message


POOLERS_OWN: list[tuple[str, str, Callable[[str], str], dict[str, str]]] = [
    ("There is no such database", "transaction", lambda url: other(url, database="nowhere"), {}),
    ("The password is wrong", "transaction", lambda url: other(url, password="another"), {}),
    ("offers no encryption", "transaction", lambda url: url.replace("disable", "require"), {}),
    ("statement pooling", "statement", lambda url: url, {}),
]


@needs_pgbouncer
@pytest.mark.quick(2)
@pytest.mark.parametrize(("says", "mode", "url", "settings"), POOLERS_OWN)
def test_a_poolers_own_refusals_are_told(
    database_url: str, says: str, mode: str, url: Callable[[str], str], settings: dict[str, str]
) -> None:
    with pgbouncer(database_url, mode, **settings) as pooler:
        error = told(url(pooler.url(database_url)))
    assert says in error.message
    assert not error.passing
    assert error.remedy


@needs_pgbouncer
@pytest.mark.deep
def test_a_pooler_that_is_full_or_has_no_server_is_told_and_waited_for(own: Sandbox) -> None:
    with pgbouncer(own.database_url, max_client_conn="1") as pooler:
        engine = open_engine(pooler.url(own.database_url))
        with connected(engine):
            error = told(pooler.url(own.database_url))
        engine.dispose()
        assert "The pooler is full" in error.message
        assert error.passing
    with pgbouncer(own.database_url, default_pool_size="1", query_wait_timeout="1") as pooler:
        engine = open_engine(pooler.url(own.database_url))
        with connected(engine) as connection:
            connection.scalar(text("SELECT 1"))
            error = told(pooler.url(own.database_url))
        engine.dispose()
        assert "query_wait_timeout" in error.remedy
        assert error.passing
    with pgbouncer(own.database_url, server_login_retry="1", client_login_timeout="3") as pooler:
        own.postgres.stop()
        try:
            error = told(pooler.url(own.database_url))
        finally:
            own.postgres.restart()
        assert "can't reach the server behind it" in error.message
        assert error.passing


SAID: list[tuple[str, str]] = [
    ('FATAL:  PAM authentication failed for user "app"', "RDS did not take the IAM token"),
    ("FATAL:  The IAM authentication failed for the role app. Check the IAM token", "RDS did not take"),
    ("FATAL:  This RDS Proxy requires TLS connections", "without encryption"),
    ("FATAL:  Feature not supported: RDS Proxy currently doesn't support command-line options.", "start-up"),
    ("FATAL:  unsupported startup parameter: geqo", "start-up parameter"),
    ("FATAL:  Tenant or user not found", "does not know this role"),
    ("FATAL:  MaxClientsInSessionMode: max clients reached - in Session mode", "The pooler is full"),
    ("FATAL:  Timed-out waiting to acquire database connection", "The pooler is full"),
    ("FATAL:  sorry, too many clients already", "no more connections for this role"),
    ("FATAL:  remaining connection slots are reserved for roles with SUPERUSER", "no more connections"),
    ("FATAL:  the database system is starting up", "starting up"),
    ("FATAL:  the database system is shutting down", "shutting down"),
    ("FATAL:  the database system is in recovery mode", "in recovery"),
    ("channel binding required but not supported by server", "Channel binding"),
    ("timeout expired", "no answer in time"),
]


@pytest.mark.parametrize(("said", "cause"), SAID)
def test_what_other_poolers_and_states_of_a_server_say_is_told(said: str, cause: str) -> None:
    error = login_failure([f'connection to server at "h", port 1 failed: {said}'])
    assert cause in error.message
    assert " ".join(said.rstrip(".").split()) in error.message
    assert error.remedy != DatabaseUnreachableError.default_remedy


def test_every_cause_has_a_remedy_of_its_own() -> None:
    assert len({cause.remedy for cause in CAUSES}) == len(CAUSES) == len({cause.says for cause in CAUSES})


def test_what_nobody_foresaw_is_told_as_it_was_said_and_cleaned() -> None:
    error = login_failure(["FATAL:  \x1b[31mdie Datenbank\u202e ist müde."])
    assert error.message == "No connection to the database: FATAL: [31mdie Datenbank ist müde."
    assert error.passing
