"""Processes that work on jobs for the console: as many as asked for, told of, and ended when it is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest

from console.application.console_session import _say_left
from console.application.context import ConsoleContexts
from console.host import runners
from console.host.host_processes import HostProcesses
from console.setting_parts import DatabaseSettings
from console.settings import Settings, load
from crypto_core.values.errors import JobError, ReadOnlyError

ALIVE = "import sys; sys.stdin.read()"
REFUSED = "import sys; print('keydeck: KMS denies\\x1b[2J kms:Decrypt.', file=sys.stderr); sys.exit(3)"
FAILED = "import sys; sys.exit(3)"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ana@pg-1/tokens")
    return load().settings


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let processes run this script instead of a job."""
    return lambda script: monkeypatch.setattr(runners, "command", lambda _job: [sys.executable, "-c", script])


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_processes_are_told_of_by_job_and_end_when_the_console_is_left(
    settings: Settings, become: Callable[[str], None]
) -> None:
    become(ALIVE)
    here = HostProcesses(settings)
    assert here.at_work() == {}
    here.work_on(31, 2)
    here.work_on(32)
    here.work_on(31)
    assert here.at_work() == {31: 3, 32: 1}
    assert here.leave() == (31, 32)
    until(lambda: here.at_work() == {})
    assert here.trouble(31) == ""
    assert here.leave() == ()
    with pytest.raises(JobError, match="being left"):
        here.work_on(31)


def test_why_one_stopped_is_kept_cleaned_until_others_are_started(
    settings: Settings, become: Callable[[str], None]
) -> None:
    become(REFUSED)
    here = HostProcesses(settings)
    here.work_on(31)
    until(lambda: here.at_work() == {})
    told = here.trouble(31)
    assert told.startswith("Process ")
    assert told.endswith("stopped: keydeck: KMS denies[2J kms:Decrypt.")
    assert here.trouble(32) == ""
    become(ALIVE)
    here.work_on(31)
    assert here.trouble(31) == ""
    here.leave()
    until(lambda: here.at_work() == {})


def test_a_job_that_failed_tells_why_itself(settings: Settings, become: Callable[[str], None]) -> None:
    become(FAILED)
    here = HostProcesses(settings)
    here.work_on(31)
    until(lambda: here.at_work() == {})
    assert here.trouble(31) == ""


@pytest.mark.parametrize("processes", [0, 65])
def test_no_more_processes_than_a_host_has_use_for(settings: Settings, processes: int) -> None:
    with pytest.raises(JobError, match="processes"):
        HostProcesses(settings).work_on(31, processes)


def test_read_only_none_is_started(settings: Settings) -> None:
    here = HostProcesses(settings.model_copy(update={"read_only": True}))
    with pytest.raises(ReadOnlyError):
        here.work_on(31)
    assert here.at_work() == {}


def test_one_that_cant_be_started_says_what_to_do_instead(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "command", lambda _job: ["/nowhere/python"])
    with pytest.raises(JobError, match="No such file") as raised:
        HostProcesses(settings).work_on(31)
    assert "keydeck jobs join 31" in str(raised.value)


def test_keys_that_are_named_are_trusted_beside_those_of_the_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import os, sys; print(os.environ['KEYDECK_TRUSTED_KEYS'], file=sys.stderr); sys.exit(2)"
    monkeypatch.setattr(runners, "command", lambda _job: [sys.executable, "-c", script])
    trusting = settings.model_copy(update={"trusted_keys": ("alias/tokens-old",)})
    here = HostProcesses(trusting, ("alias/tokens-old", "alias/x"))
    here.work_on(31, trust=("alias/y",))
    until(lambda: here.at_work() == {})
    assert here.trouble(31).endswith("alias/tokens-old,alias/x,alias/y")


def test_whoever_leaves_is_told_how_a_job_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    _say_left((31, 32))
    told = capsys.readouterr().err.splitlines()
    assert [line.rpartition(": ")[2] for line in told] == ["keydeck jobs join 31", "keydeck jobs join 32"]
    _say_left((31,), stays=False)
    assert "keydeck jobs join" not in capsys.readouterr().err


def test_waiting_ends_with_the_processes_or_with_the_time(
    settings: Settings, become: Callable[[str], None]
) -> None:
    become(ALIVE)
    here = HostProcesses(settings)
    here.work_on(31)
    here.wait(0.0)
    assert here.at_work() == {31: 1}
    here.leave()
    here.wait(60.0)
    assert here.at_work() == {}


def test_processes_of_every_place_end_with_the_console(
    settings: Settings, become: Callable[[str], None]
) -> None:
    become(ALIVE)
    elsewhere = settings.model_copy(
        update={"databases": {"other": DatabaseSettings(url="postgresql://ana@pg-2/tokens")}}
    )
    contexts = ConsoleContexts(elsewhere)
    here = contexts.services.job_processes
    assert here is not None
    here.work_on(31)
    there = contexts.switch(database="other").job_processes
    assert there is not None
    there.work_on(7)
    assert contexts.close() == (7, 31)
    contexts.wait(60.0)
    assert (here.at_work(), there.at_work()) == ({}, {})
