"""A real PostgreSQL 18 on the loopback interface, owned by whoever started it.

One folder holds everything: data, log and, where needed, a copy of the program files. The server is a child
in a session of its own, so a terminal's Ctrl-C reaches only us and the server stops when we say so.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from console.sandbox.postgres_files import PostgresError, PostgresFiles, ServiceUser, service_user
from console.sandbox.processes import family, send

DATABASE = "tokens"
PLATFORM = "platform"
"""Owns the databases and the platform's tables in them."""
OPERATOR = "operator"
"""May read and update the platform's tables, and create schemas."""

_START_LIMIT = 30.0
_STOP_LIMIT = 5.0
_PORTS = range(20_000, 32_000)
"""Below the range of ephemeral ports, so that ours stays free while the server is stopped."""
_PORT_ATTEMPTS = 20
SUPERUSER = "postgres"

_INITDB_LIMIT = 30.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "max_prepared_transactions": "4",
    "scram_iterations": "1",  # passwords are 24 random bytes: there is nothing to guess slowly
    "dynamic_shared_memory_type": "mmap",  # in the data folder; /dev/shm is 64 MB in a container
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "parallel_setup_cost": "200000",  # to start processes for few rows takes longer than to read these
    "timezone": "UTC",
    "log_timezone": "UTC",
    "track_activity_query_size": "8kB",  # what begins a transaction goes before its first statement
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
_INITDB_OPTIONS = (
    f"--username={SUPERUSER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--wal-segsize=1",
    "--no-sync",
    "--no-instructions",
)


class Postgres:
    """A running server. `start` makes one; `stop` and `restart` play an outage on the same port and data."""

    def __init__(self, cluster: Cluster) -> None:
        self.port = 0
        self._cluster = cluster
        self._passwords = {role: secrets.token_urlsafe(24) for role in (SUPERUSER, PLATFORM, OPERATOR)}
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, folder: Path, files: PostgresFiles | None = None) -> Self:
        """Create a server below `folder` and wait until it accepts connections.

        It has the database `tokens` and the roles `platform` and `operator`. As root the service user must be
        able to reach `folder`; see `leftovers.claim_folder`. `files` is for tests: where the program files
        are. Raises PostgresError.
        """
        files, user = files or PostgresFiles.installed(), service_user()
        if user is not None and not files.usable_by(user):
            files = files.copy_to(folder / "program")
        server = cls(Cluster(folder / "data", folder / "postgres.log", files, user))
        try:
            server._cluster.initialise(server._passwords[SUPERUSER])
            server._launch_on_free_port()
            server._create_roles()
            server.create_database(DATABASE)
        except BaseException:  # raised again; no server is left behind
            server.stop()
            raise
        return server

    @property
    def superuser_url(self) -> str:
        return self.url(SUPERUSER)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def url(self, role: str = OPERATOR, database: str = DATABASE) -> str:
        """Return `postgresql://…` for one of the roles, password included."""
        # Without TLS, whatever PGSSLMODE says: nothing leaves this machine.
        return f"postgresql://{role}:{self._passwords[role]}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def create_database(self, name: str) -> None:
        """Create a database that `platform` owns and where `operator` may read, update and create schemas."""
        database, platform, operator = map(sql.Identifier, (name, PLATFORM, OPERATOR))
        with self._cursor(SUPERUSER) as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, platform))
            cursor.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, operator))

    def stop(self) -> None:
        """Stop the server, within seconds whatever it is doing; its data stays. Does nothing if stopped."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            processes = family(process.pid)
            process.send_signal(signal.SIGINT)  # fast shutdown: open sessions are ended
            send(processes, signal.SIGCONT)
            try:
                process.wait(_STOP_LIMIT)
            except subprocess.TimeoutExpired:
                send(processes, signal.SIGKILL)
                process.wait()
        self._process = None

    def restart(self) -> None:
        """Start again on the same port, with the data and passwords as they were. Raises PostgresError."""
        self.stop()
        self._launch()

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing answers, as with a dead network."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)  # first, so that it starts no further session
            send(family(self._process.pid), signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            send(family(self._process.pid), signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch_on_free_port(self) -> None:
        for port in random.SystemRandom().sample(_PORTS, _PORT_ATTEMPTS):
            if not _is_free(port):
                continue
            self.port = port
            try:
                self._launch()
            except _PortTakenError:
                continue
            return
        raise PostgresError(f"No free port on 127.0.0.1 between {_PORTS.start} and {_PORTS.stop}.")

    def _launch(self) -> None:
        said_before = self._cluster.said()
        self._process = self._cluster.start_program("postgres", "-p", str(self.port))
        deadline = time.monotonic() + _START_LIMIT
        while True:
            if self._process.poll() is not None:
                self._process = None
                if "could not bind" in self._cluster.last_words(said_before):
                    raise _PortTakenError(f"Port {self.port} on 127.0.0.1 is taken.")
                raise PostgresError(f"PostgreSQL did not start: {self._cluster.last_words(said_before)}")
            # Asked of the log: on the port somebody else may be listening.
            if "ready to accept connections" in self._cluster.last_words(said_before):
                return
            if time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL accepted no connection within {_START_LIMIT:g} seconds.")
            time.sleep(0.01)

    def _create_roles(self) -> None:
        # What stands in template1 is in every database created later.
        default = "ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT SELECT, UPDATE ON TABLES TO {}"
        with self._cursor("template1") as cursor:
            for role in (PLATFORM, OPERATOR):
                create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD %s").format(sql.Identifier(role))
                cursor.execute(create, (self._passwords[role],))
            cursor.execute(sql.SQL(default).format(sql.Identifier(PLATFORM), sql.Identifier(OPERATOR)))

    @contextmanager
    def _cursor(self, database: str) -> Iterator[Cursor]:
        """Give the superuser's cursor in a database; each statement stands for itself."""
        with closing(psycopg2.connect(self.url(SUPERUSER, database), connect_timeout=5)) as connection:
            connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
            with connection.cursor() as cursor:
                yield cursor


class _PortTakenError(PostgresError):
    """Another process listens on the port."""


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@dataclass(frozen=True, slots=True)
class Cluster:
    """`data` is the folder, `log` takes all that the programs say; they run as `user`, None is ourselves.

    Nothing is synced to disk. The log never shows a statement or a value, because those hold tokens.
    """

    data: Path
    log: Path
    files: PostgresFiles
    user: ServiceUser | None

    def initialise(self, password: str) -> None:
        self.data.mkdir(mode=0o700)
        password_file = self.data.with_name("password")
        descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(password)
        if self.user is not None:
            self.user.give(self.data)
            self.user.give(password_file)
        settings = [f"--set={name}={value}" for name, value in _SETTINGS.items()]
        process = self.start_program("initdb", *_INITDB_OPTIONS, f"--pwfile={password_file}", *settings)
        try:
            code = process.wait(_INITDB_LIMIT)
        except subprocess.TimeoutExpired as error:
            raise PostgresError(f"initdb did not finish within {_INITDB_LIMIT:g} seconds.") from error
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
            password_file.unlink()
        if code != 0:
            raise PostgresError(f"initdb failed with exit code {code}: {self.last_words()}")

    def start_program(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        """Start `initdb` or `postgres` on the data folder, in a session of its own."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [self.files.program(program), "-D", str(self.data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                # An environment of its own: no PG… variable reaches the server, nor do our AWS credentials.
                env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath},
                umask=0o077,
                start_new_session=True,
                user=self.user.uid if self.user else None,
                group=self.user.gid if self.user else None,
                extra_groups=[] if self.user else None,
            )

    def said(self) -> int:
        return self.log.stat().st_size

    def last_words(self, since: int = 0) -> str:
        return self.log.read_bytes()[since:][-2000:].decode("utf-8", "replace").strip()
