"""A signal ends the console as q does: its exit code tells the signal, and the terminal is as it was."""

from __future__ import annotations

import os
import pty
import re
import signal
import termios
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from console.application.end_signals import ENDING
from tests.pseudo_terminal import PseudoTerminal

pytestmark = pytest.mark.deep

PAINTED = b"gh_connection.access_token"
MODES = (1000, 1003, 1004, 1006, 1049, 2004)
"""The mouse, focus, the alternate screen, bracketed paste: xterm's control sequences."""


@contextmanager
def _heard_but(ignored: Collection[signal.Signals]) -> Iterator[None]:
    """What is started within ignores these signals, and no others: a shell's job in the background would."""
    before = {one: signal.getsignal(one) for one in ENDING}
    for one in ENDING:
        signal.signal(one, signal.SIG_IGN if one in ignored else signal.SIG_DFL)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


class Console(PseudoTerminal):
    """The console, or another child that begins with a terminal of its own; see `before`."""

    def __init__(
        self,
        environment: dict[str, str],
        command: Sequence[str] = ("-m", "console", "--screen", "connections"),
        ignored: Collection[signal.Signals] = (),
    ) -> None:
        with _heard_but(ignored):
            super().__init__(command, environment, keep_own=True)

    def before_start(self) -> None:
        self.before = termios.tcgetattr(self.own)

    def is_set(self, mode: int) -> bool:
        """Whether what was written last of a mode sets it."""
        return (re.findall(rb"\x1b\[\?%d([hl])" % mode, self.written) or [b"l"])[-1] == b"h"


@contextmanager
def console(
    environment: dict[str, str], folder: Path, ignored: Collection[signal.Signals] = ()
) -> Iterator[Console]:
    made = Console(
        {**os.environ, **environment, "TERM": "xterm-256color", "XDG_STATE_HOME": str(folder)},
        ignored=ignored,
    )
    try:
        made.read_until(PAINTED)
        assert made.is_set(1049)
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("number", ENDING)
def test_the_terminal_is_as_it_was_and_the_exit_code_tells_the_signal(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    with console(environment, tmp_path) as shown:
        assert termios.tcgetattr(shown.own) != shown.before
        shown.process.send_signal(number)
        assert shown.ended() == 128 + number
        assert termios.tcgetattr(shown.own) == shown.before
        assert [mode for mode in MODES if shown.is_set(mode)] == []
        assert shown.written.rfind(b"\x1b[?25h") > shown.written.rfind(b"\x1b[?25l")
        assert b"Traceback" not in shown.written


HANGS = """
import asyncio, sys, termios, time, tty
from threading import Thread
from console.application import end_signals
end_signals.GRACE_SECONDS = 0.2
async def run():
    end_signals.hear(lambda code: None)
    tty.setraw(0)
    sys.stdout.write("\\x1b[?1049h\\x1b[?1003h\\x1b[?25lready")
    sys.stdout.flush()
    {then}
asyncio.run(run())
"""


def hanging(then: str) -> list[str]:
    return ["-c", HANGS.format(then=then)]


def test_a_stuck_loop_ends_with_its_terminal_all_the_same() -> None:
    stuck = "Thread(target=end_signals.hang_up).start(); time.sleep(60)"
    shown = Console(dict(os.environ), hanging(stuck))
    try:
        assert shown.ended() == 128 + signal.SIGHUP
    finally:
        shown.close()


def test_what_hangs_while_it_leaves_gives_the_terminal_back_and_ends_all_the_same() -> None:
    shown = Console(dict(os.environ), hanging("await asyncio.sleep(60)"))
    try:
        shown.read_until(b"ready")
        shown.process.send_signal(signal.SIGTERM)
        assert shown.ended() == 128 + signal.SIGTERM
        assert termios.tcgetattr(shown.own) == shown.before
        assert [mode for mode in MODES if shown.is_set(mode)] == []
        assert shown.written.rfind(b"\x1b[?25h") > shown.written.rfind(b"\x1b[?25l")
    finally:
        shown.close()


def test_a_signal_that_is_ignored_stays_so(environment: dict[str, str], tmp_path: Path) -> None:
    with console(environment, tmp_path, ignored=[signal.SIGHUP]) as shown:
        shown.process.send_signal(signal.SIGHUP)
        shown.press(b"?")
        shown.read_until(b"Esc")
        assert shown.process.poll() is None
        shown.process.send_signal(signal.SIGTERM)
        assert shown.ended() == 128 + signal.SIGTERM


@pytest.mark.parametrize(("ignored", "ended_by"), [((), signal.SIGHUP), ([signal.SIGHUP], signal.SIGTERM)])
def test_a_terminal_that_is_gone_ends_it_without_a_word(
    environment: dict[str, str], tmp_path: Path, ignored: list[signal.Signals], ended_by: signal.Signals
) -> None:
    with console(environment, tmp_path, ignored=ignored) as shown:
        os.close(shown.own)
        os.close(shown.end)
        try:
            assert shown.process.wait(60) == 128 + ended_by
        finally:
            shown.end, shown.own = pty.openpty()
