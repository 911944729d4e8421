"""A job by the real command over a sandbox of its own, with the platform writing all the while."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import IO, Any

import psutil
import pytest
from sqlalchemy import Engine, text

import console
from console.container import Container
from console.sandbox import access_keys
from console.sandbox.postgres import OPERATOR
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.installation import install
from crypto_core.database.tokens.chunks import ChunkStore
from crypto_core.guard.consent import Consent
from crypto_core.reencryption.jobs.model import JobOptions, JobState, JobView
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import DatabaseError

HOME = Path(console.__file__).resolve().parents[1]
PATIENCE_SECONDS = 420.0
"""How long a state is waited for before a test says that it never came: a loaded machine takes its time."""
POLL_SECONDS = 0.1
LEAST_SHARE = 0.05
"""The part of the planned tokens that the platform changes during a job, at least."""
STATE = "state"
JOIN = ("-P", "-m", "console", "jobs", "join")


def until(is_so: Callable[[], Any], what: str) -> None:
    """Wait for a state, however long a slow machine takes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"Never came: {what}"
        time.sleep(POLL_SECONDS)


class Child:
    def __init__(self, arguments: list[str], environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**environment, "PYTHONPATH": str(HOME)},
            cwd=HOME,
            text=True,
        )
        self._said: dict[int, list[str]] = {1: [], 2: []}
        self._listeners = [
            Thread(target=self._listen, args=(number, stream), daemon=True)
            for number, stream in ((1, self.process.stdout), (2, self.process.stderr))
        ]
        for listener in self._listeners:
            listener.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    @property
    def stdout(self) -> str:
        return "".join(self._said[1])

    @property
    def stderr(self) -> str:
        return "".join(self._said[2])

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL, as by the kernel where memory is short."""
        self.process.kill()
        self.end()

    def end(self) -> int:
        code = self.process.wait(PATIENCE_SECONDS)
        for listener in self._listeners:
            listener.join(PATIENCE_SECONDS)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code

    def _listen(self, number: int, stream: IO[str]) -> None:
        for line in stream:
            self._said[number].append(line)


class Platform(Child):
    @property
    def changes(self) -> int:
        return self._said[1].count("changed\n")

    def switch(self) -> None:
        """Have it seal under the new key from now on."""
        self.tell("switch")
        until(lambda: "switched" in self.stdout or not self.runs, "the platform's switch to the new key")

    def stop(self) -> dict[str, Any]:
        """End it; returns what it has written last and how many changes of each kind it made."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.end() == 0, self.stderr
        told: dict[str, Any] = json.loads(self.stdout.splitlines()[-1])
        return told


@dataclass(slots=True)
class Scene:
    """One job that empties `source`, and who works on it."""

    sandbox: Sandbox
    container: Container
    superuser: Engine
    source: str
    target: str
    job: int
    planned: int
    environment: dict[str, str]
    calls_before: Mapping[str, int]
    children: list[Child] = field(default_factory=list)
    platform: Platform | None = None

    def join(
        self, *options: str, environment: Mapping[str, str] | None = None, program: tuple[str, ...] = JOIN
    ) -> Child:
        joined = Child([*program, str(self.job), *options], {**self.environment, **(environment or {})})
        self.children.append(joined)
        return joined

    def write(self, seed: int, pause_seconds: float) -> Platform:
        """Have the platform write from now on, under the source key until it is switched."""
        environment = self.environment | {
            "DATABASE_URL": self.sandbox.platform_database_url,
            "AWS_ACCESS_KEY_ID": access_keys.PLATFORM,
            "AWS_SECRET_ACCESS_KEY": access_keys.SECRET,
        }
        program = ["-m", "tests.console.faults.writer", self.source, self.target]
        self.platform = Platform([*program, str(seed), str(pause_seconds)], environment)
        self.children.append(self.platform)
        until(lambda: "writes" in self.platform_said(), "the platform's first word")
        return self.platform

    def platform_said(self) -> str:
        assert self.platform is not None
        assert self.platform.runs, self.platform.stderr
        return self.platform.stdout

    def view(self) -> JobView:
        while True:
            try:
                return self.container.services.jobs.show_job(self.job)  # type: ignore[union-attr]
            except DatabaseError:
                time.sleep(0.1)

    def scalar(self, statement: str, **parameters: Any) -> Any:
        with self.superuser.connect() as connection:
            return connection.scalar(text(statement), {"job": self.job, **parameters})

    def execute(self, statement: str, **parameters: Any) -> None:
        with self.superuser.begin() as connection:
            connection.execute(text(statement), {"job": self.job, **parameters})

    def enlisted(self, pid: int) -> bool:
        statement = "SELECT count(*) FROM keydeck.job_runner WHERE job_id = :job AND pid = :pid"
        return bool(self.scalar(f"{statement} AND ended_at IS NULL", pid=pid))

    def until_enlisted(self, *joined: Child) -> None:
        for one in joined:
            until(lambda one=one: self.enlisted(one.pid) or not one.runs, "a process's entry")  # type: ignore[misc]
            assert one.runs, one.stderr

    def until_written(self, more: int, by: Child | None = None) -> None:
        """Wait until so many tokens more are written, or only the platform's newest are left to be."""
        before = self.view()
        until(
            lambda: (
                (now := self.view()).done >= before.done + more
                or now.wave > before.wave
                or (by is not None and not by.runs)
            ),
            f"{more} tokens more",
        )
        assert by is None or by.runs, by.stderr

    def pace(self, calls_per_second: float) -> None:
        """Let the job ask KMS so often from now on."""
        rate = "UPDATE keydeck.job SET calls_per_second = :rate WHERE id = :job"
        self.execute(rate, rate=calls_per_second)

    def taken(self) -> int:
        statement = "SELECT count(*) FROM keydeck.job_chunk WHERE job_id = :job AND state = 'taken'"
        return int(self.scalar(statement))

    def finish(self, *joined: Child) -> dict[str, Any]:
        """Let the job go fast, switch the platform once it has written enough, and wait for the job's end.

        It is enough once a census has found some of it. Returns what the platform has written last.
        """
        platform, enough = self.platform, LEAST_SHARE * self.planned
        assert platform is not None
        self.pace(1_000)
        until(lambda: platform.changes >= enough or not platform.runs, "changes of the platform")
        until(lambda: self.view().wave > 1 or not any(one.runs for one in joined), "a second wave")
        platform.switch()
        codes = [one.end() for one in joined]
        assert set(codes) == {0}, [(one.stderr, one.stdout) for one in joined]
        return platform.stop()

    def command(self, *arguments: str) -> None:
        assert Child(["-P", "-m", "console", *arguments], self.environment).end() == 0

    def end_all(self) -> None:
        for child in self.children:
            if child.runs:
                child.process.kill()
                child.end()


@contextmanager
def staged(
    monkeypatch: pytest.MonkeyPatch,
    *,
    connections: int = 500,
    chunk: int = 40,
    rate: float = 60.0,
    settings: Mapping[str, str] | None = None,
    journal_elsewhere: bool = False,
) -> Iterator[Scene]:
    """Give a started job over the current key's tokens, which nobody works on yet.

    `rate` is the KMS calls a second, two for a token: few, so that there is a middle on a slow machine too.
    Of `settings`, variables of the environment, those that are empty are removed.
    """
    monkeypatch.setitem(ChunkStore.cut_scope.__kwdefaults__, "size", chunk)
    with Sandbox.start(connections=connections) as sandbox:
        environment = sandbox.environment() | dict(settings or {})
        environment = {name: value for name, value in environment.items() if value}
        if journal_elsewhere:
            sandbox.postgres.create_database(STATE)
            environment["KEYDECK_STATE_URL"] = sandbox.postgres.url(OPERATOR, STATE)
        for name in set(os.environ) - set(environment):
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        superuser = open_engine(sandbox.superuser_url)
        container = Container(load().settings)
        install(container.engine)
        install(container.state_engine)
        with superuser.begin() as connection:
            for ref in sandbox.world.corrupt:
                connection.execute(text(f"DELETE FROM {ref.table} WHERE id::text = :id"), {"id": ref.row_id})
        source = sandbox.world.current_key.arn
        target = str(sandbox.client("kms").create_key(Description="made by a test")["KeyMetadata"]["Arn"])
        scene = _begun(sandbox, container, superuser, source, target, environment, rate)
        try:
            yield scene
        finally:
            scene.end_all()
            container.close()
            superuser.dispose()


def _begun(
    sandbox: Sandbox,
    container: Container,
    superuser: Engine,
    source: str,
    target: str,
    environment: dict[str, str],
    rate: float,
) -> Scene:
    work = container.services.jobs
    assert work is not None
    options = JobOptions(calls_per_second=rate, accepted=("*",))
    plan = work.plan_job(Verb.REENCRYPT, Selection(under_key=source), target, options)
    calls = sandbox.control.stats().calls
    job = work.start_job(plan, Consent.by_option(plan))
    assert work.show_job(job).state is JobState.RUNNING
    return Scene(sandbox, container, superuser, source, target, job, plan.plan.tokens, environment, calls)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has asked about has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
