"""Further processes that work on a job: each ends with the one that started it.

A process gets the settings as they are now through its environment, where no other user's `ps` shows them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from math import ceil
from threading import Thread
from typing import IO, Any

from pydantic import BaseModel

from console.host import worker_count
from console.host.children import import_path
from console.own_folders import FILE_VARIABLE
from console.settings import FIELDS, Settings
from crypto_core.aws.sessions import lent_roles

CALLS_OF_A_PROCESS = 5_000.0
"""KMS calls a second that one process is counted on for."""
TOKENS_OF_A_PROCESS = 10_000
"""For fewer tokens a further process takes longer to start than it saves."""
MOST_PROCESSES = 64
GRACE_SECONDS = 20.0
"""How long a process has to write what it holds, after it was asked to end."""
_SAID = 4_000


def processes_for(calls_per_second: float, cores: int | None = None) -> int:
    """Return how many processes a job of that rate (0: any) gets here; one core is PostgreSQL's."""
    free = max((cores if cores is not None else worker_count.cores()) - 1, 1)
    wanted = ceil(calls_per_second / CALLS_OF_A_PROCESS) or MOST_PROCESSES
    return min(free, wanted, MOST_PROCESSES)


def fitting_processes(calls_per_second: float, tokens: int) -> int:
    """Return how many processes a job of that rate over so many tokens gets on this machine."""
    return min(processes_for(calls_per_second), max(1, ceil(tokens / TOKENS_OF_A_PROCESS)))


def environment_of(
    settings: Settings, trust: Sequence[str] = (), inherited: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment in which `settings` are what a process finds, whatever the settings file says.

    `trust` are keys trusted for this command alone. What roles gave to this process is lent.
    """
    variables = {str(field.validation_alias): name for name, field in FIELDS.items()}
    found = dict(os.environ if inherited is None else inherited)
    found = {name: value for name, value in found.items() if name not in variables}
    found[FILE_VARIABLE] = os.devnull
    for variable, name in variables.items():
        value = getattr(settings, name)
        if name == "trusted_keys":
            value = (*value, *trust)
        written = _written(value)
        if written:
            found[variable] = written
    found["PYTHONPATH"] = import_path(found.get("PYTHONPATH"))
    return found | lent_roles(settings.profile)


def _written(value: Any) -> str:
    """A setting as its variable takes it: names parted by commas, also with ends, what is deeper as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, BaseModel):
        return "" if value == type(value)() else json.dumps(value.model_dump(mode="json", by_alias=True))
    if isinstance(value, tuple) and all(isinstance(part, str) for part in value):
        return ",".join(value)
    if isinstance(value, dict) and all(isinstance(end, datetime) for end in value.values()):
        return ", ".join(f"{key} until {end.isoformat()}" for key, end in value.items())
    if isinstance(value, tuple | dict):
        return json.dumps(value, default=_dumped)
    return str(value)


def _dumped(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True)
    raise TypeError(type(value).__name__)


def command(job: int) -> list[str]:
    """Return the command line of a further process; it names no secret."""
    # -P: what lies in the working directory is not imported.
    return [sys.executable, "-P", "-m", "console", "jobs", "join", str(job), "--runner"]


class RunnerProcess:
    """One further process. What it says is kept, the end of it."""

    def __init__(self, job: int, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command(job),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
        self._said = b""
        self._listener = Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    @property
    def said(self) -> str:
        return self._said.decode("utf-8", "replace").strip()

    def ask_to_end(self) -> None:
        """Close what it listens to: it writes what it holds and ends."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def end(self, seconds: float = GRACE_SECONDS) -> int:
        """Wait until it has ended, make it after so many seconds; returns its exit code."""
        self.ask_to_end()
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._listener.join(1.0)
        if self._process.stderr is not None:
            self._process.stderr.close()
        return code

    def _listen(self, stderr: IO[bytes] | None) -> None:
        with suppress(OSError, ValueError):
            while stderr is not None and (read := os.read(stderr.fileno(), 4_096)):
                self._said = (self._said + read)[-_SAID:]


@contextmanager
def runners(job: int, number: int, environment: Mapping[str, str]) -> Iterator[list[RunnerProcess]]:
    """Give so many further processes that work on a job; all have ended when the block has."""
    started: list[RunnerProcess] = []
    try:
        while len(started) < number:
            started.append(RunnerProcess(job, environment))
        yield started
    finally:
        for one in started:
            one.ask_to_end()
        for one in started:
            one.end()
