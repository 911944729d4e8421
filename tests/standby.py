"""A hot standby: PostgreSQL's own copy of a running server, which follows it and accepts no writes.

PostgreSQL documentation, section 26.4, "Hot Standby", and pg_basebackup.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from sqlalchemy import make_url, text

from console.sandbox.postgres import Cluster
from console.sandbox.postgres_files import PostgresFiles, service_user
from console.sandbox.sandbox import Sandbox
from crypto_core.database.connection.engine import open_engine

_PATIENCE = 30.0


def administer(sandbox: Sandbox, *statements: str) -> None:
    """Run statements as the superuser, each by itself."""
    engine = open_engine(sandbox.superuser_url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@contextmanager
def standby_of(sandbox: Sandbox) -> Iterator[str]:
    """Give the URL of a hot standby for the operator; the primary is restarted for it."""
    administer(sandbox, "ALTER SYSTEM SET wal_level = replica", "ALTER SYSTEM SET max_wal_senders = 4")
    sandbox.postgres.restart()
    primary = make_url(sandbox.superuser_url)
    user, files = service_user(), PostgresFiles.installed()
    copied = sandbox.folder / "program"
    cluster = Cluster(
        sandbox.folder / "standby",
        sandbox.folder / "standby.log",
        PostgresFiles(copied) if copied.exists() else files,
        user,
    )
    backup = [files.program("pg_basebackup"), "-D", cluster.data, "-R", "--no-sync", "--checkpoint=fast"]
    where = primary.set(database="postgres").render_as_string(hide_password=False)
    subprocess.run([*backup, "-d", where], check=True, capture_output=True)
    if user is not None:
        for path in (cluster.data, *cluster.data.rglob("*")):
            user.give(path)
    port = _free_port()
    process = cluster.start_program("postgres", "-p", str(port))
    url = make_url(sandbox.database_url).set(port=port).render_as_string(hide_password=False)
    try:
        _wait_for(url, cluster.log)
        yield url
    finally:
        process.send_signal(signal.SIGINT)  # fast shutdown: open sessions are ended
        process.wait(_PATIENCE)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            psycopg2.connect(url).close()
        except psycopg2.OperationalError:
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.02)
        else:
            return
