"""A console whose terminal is gone ends, also where nobody sends it a signal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@contextmanager
def begun(script: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a script on a pseudo-terminal that isn't its session's, and give the other end too."""
    own, its = pty.openpty()
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(
        command, stdin=its, stdout=subprocess.PIPE, cwd=ROOT, start_new_session=True
    ) as process:
        os.close(its)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process, own


@pytest.mark.parametrize(("ignored", "status"), [(False, -signal.SIGHUP), (True, 128 + signal.SIGHUP)])
def test_the_end_of_the_terminal_ends_the_process(ignored: bool, status: int) -> None:
    with begun(
        f"""
        import signal, time
        from console.application import ending_signals
        ending_signals.GRACE_SECONDS = 0.2
        if {ignored}:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with ending_signals.ended_with_the_terminal():
            print("ready", flush=True)
            time.sleep(120)
        """
    ) as (process, terminal):
        os.close(terminal)
        assert process.wait(60) == status


def test_who_has_left_is_not_bothered() -> None:
    with begun(
        """
        import sys, threading, time
        from console.application import ending_signals
        with ending_signals.ended_with_the_terminal():
            pass
        assert [t.name for t in threading.enumerate()] == ["MainThread"]
        print("ready", flush=True)
        try:
            while sys.stdin.buffer.raw.read(1):
                pass
        except OSError:
            pass
        sys.exit(7)
        """
    ) as (process, terminal):
        os.close(terminal)
        assert process.wait(60) == 7


def test_without_a_terminal_there_is_nothing_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from console.application import ending_signals

    with Path(os.devnull).open(encoding="ascii") as nothing:
        monkeypatch.setattr(sys, "__stdin__", nothing)
        with ending_signals.ended_with_the_terminal():
            pass
