"""A data folder of PostgreSQL and the programs that work on it: `initdb` once, then `postgres`.

Tuned for data that nobody misses: nothing is synced to disk. The log never shows a statement or a value,
because those hold tokens.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from console.sandbox.postgres_files import PostgresError, PostgresFiles, ServiceUser

SUPERUSER = "postgres"

_INITDB_LIMIT = 30.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "scram_iterations": "1",  # passwords are 24 random bytes: there is nothing to guess slowly
    "dynamic_shared_memory_type": "mmap",  # in the data folder; /dev/shm is 64 MB in a container
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "parallel_setup_cost": "20000",  # to start processes for few rows takes longer than to read these
    "timezone": "UTC",
    "log_timezone": "UTC",
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


@dataclass(frozen=True, slots=True)
class Cluster:
    """`data` is the folder, `log` takes all that the programs say; they run as `user`, None is ourselves."""

    data: Path
    log: Path
    files: PostgresFiles
    user: ServiceUser | None

    def initialise(self, password: str) -> None:
        """Make the data folder, with a superuser of that password. Raises PostgresError."""
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
        """Return how many bytes the log has."""
        return self.log.stat().st_size

    def last_words(self, since: int = 0) -> str:
        """Return the end of what the log says, from byte `since` on."""
        return self.log.read_bytes()[since:][-2000:].decode("utf-8", "replace").strip()
