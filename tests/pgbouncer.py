"""A real PgBouncer before the sandbox's PostgreSQL, in its default configuration: it ignores no parameter.

PgBouncer's documentation: https://www.pgbouncer.org/config.html
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url

from console.sandbox.postgres_files import service_user

_PLACES = ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/sbin")
_PATIENCE_SECONDS = 20.0


def program() -> str | None:
    """Where PgBouncer is, None where there is none."""
    return shutil.which("pgbouncer", path=os.pathsep.join((os.environ.get("PATH", os.defpath), *_PLACES)))


needs_pgbouncer = pytest.mark.skipif(
    program() is None, reason="PgBouncer is not installed: apt-get install pgbouncer"
)


@dataclass(frozen=True, slots=True)
class PgBouncer:
    port: int
    log: Path

    def url(self, url: str, **query: str) -> str:
        through = make_url(url).set(host="127.0.0.1", port=self.port)
        return through.update_query_dict(query).render_as_string(hide_password=False)


@contextmanager
def pgbouncer(url: str, pool_mode: str = "transaction", **settings: str) -> Iterator[PgBouncer]:
    """Give one before the server of a URL that lets the URL's role in; `settings` are further lines."""
    to, user = make_url(url), service_user()
    folder = Path(tempfile.mkdtemp(prefix="keydeck-pgbouncer-", dir="/tmp"))
    try:
        log = folder / "pgbouncer.log"
        log.touch()
        (folder / "users.txt").write_text(f'"{to.username}" "{to.password}"\n')
        port = _free_port()
        lines = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(folder / "users.txt"),
            "pool_mode": pool_mode,
            **settings,
        }
        text = f"[databases]\n* = host={to.host} port={to.port}\n\n[pgbouncer]\n"
        (folder / "pgbouncer.ini").write_text(text + "".join(f"{k} = {v}\n" for k, v in lines.items()))
        if user is not None:
            for path in (folder, *folder.iterdir()):
                user.give(path)
        with log.open("ab") as said:
            process = subprocess.Popen(
                [str(program()), str(folder / "pgbouncer.ini")],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd="/",
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=[] if user else None,
            )
        try:
            _wait_for(process, log)
            yield PgBouncer(port, log)
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(folder)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_for(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while "process up" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
