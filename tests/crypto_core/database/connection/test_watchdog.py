"""One thread looks after all waits: it cuts those that take too long, and no other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from crypto_core.database.connection import interruption


class Wire:
    """What a connection is to the watchdog: something with a socket."""

    def __init__(self) -> None:
        self.own, self.other = socket.socketpair()

    def fileno(self) -> int:
        """The socket's number."""
        return self.own.fileno()

    def cut_within(self, seconds: float) -> bool:
        """True once the other side has seen the end."""
        self.other.settimeout(seconds)
        try:
            return self.other.recv(1) == b""
        except TimeoutError:
            return False

    def close(self) -> None:
        """Let both ends go."""
        self.own.close()
        self.other.close()


@pytest.fixture
def wires() -> Iterator[list[Any]]:
    """Some connections."""
    made = [Wire() for _ in range(3)]
    yield made
    for wire in made:
        wire.close()


def test_a_wait_that_takes_too_long_is_cut_and_no_other(
    monkeypatch: pytest.MonkeyPatch, wires: list[Any]
) -> None:
    watch = interruption._Watch()
    slow, patient, over = wires
    with ExitStack() as stack:
        stack.enter_context(watch.over(patient))
        # A shorter limit than that for which the thread sleeps already.
        monkeypatch.setattr(interruption, "LIMIT_SECONDS", 0.2)
        with watch.over(over):
            pass
        stack.enter_context(watch.over(slow))
        assert slow.cut_within(30)
        assert not patient.cut_within(0.5)
        assert not over.cut_within(0.01)


@pytest.mark.deep
def test_waits_share_one_thread_that_ends_when_there_are_none(
    monkeypatch: pytest.MonkeyPatch, wires: list[Any]
) -> None:
    # Longer than what follows takes, however busy the machine is: at its end the thread would end as well.
    monkeypatch.setattr(interruption, "LIMIT_SECONDS", 12.0)
    watch = interruption._Watch()
    threads = set()
    with watch.over(wires[2]):  # without it, a thread that begins late finds no wait and ends
        for _ in range(50):
            with watch.over(wires[0]), watch.over(wires[1]):
                threads.add(watch._thread)
    (only,) = threads
    assert only is not None
    only.join(30)
    assert watch._thread is None
    with watch.over(wires[2]):
        assert wires[2].cut_within(30)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_watches_with_a_thread_of_its_own() -> None:
    script = """
        import os, socket, sys
        from crypto_core.database.connection import interruption
        first, other = socket.socketpair()
        with interruption._watch.over(first):
            child = os.fork()
            if child == 0:
                interruption.LIMIT_SECONDS = 0.2
                with interruption._watch.over(first):
                    other.settimeout(30)
                    os._exit(0 if other.recv(1) == b"" else 3)
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], timeout=60, check=False
    )
    assert done.returncode == 0
