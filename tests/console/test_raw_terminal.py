"""The console on a real pseudo-terminal: no byte that comes from data acts on the terminal."""

from __future__ import annotations

import base64
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFERENCE = "0-first"
COPIED = f"gh_connection.access_token:{REFERENCE}"

SEQUENCE = re.compile(
    rb"\x1b(?:\[[0-9;?<>=:]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|P[^\x1b]*\x1b\\|[()][A-Z0-9]|[=>78cM])"
)
"""CSI, OSC, DCS, and the short escape sequences: ECMA-48 and xterm's control sequences."""
MODES = rb"\x1b\[\?(?:7|25|1000|1002|1003|1004|1006|1015|1016|1049|2004|2026|2048)(?:[hl]|\$p)"
OURS = re.compile(
    rb"\x1b\[[0-9;:]*m"  # colours
    rb"|\x1b\[[0-9;]*[HJKABCDfGd]"  # cursor and erasing
    rb"|"
    + MODES  # cursor, mouse, focus, alternate screen, bracketed paste, synchronised output, resizing
    + rb"|\x1b\[[<>=][0-9;]*u|\x1b\[\?u|\x1b\[\?[0-9;]*[cn]|\x1b\[>[0-9;]*[a-z]|\x1b\[c"  # keys, questions
    rb"|\x1b\[1[468]t"  # asks for the size
    rb"|\x1bP\x1b\\|\x1b[()][AB0]|\x1b[=>78]"
)


@dataclass
class Terminal:
    """A child that runs in a pseudo-terminal, and all that it wrote."""

    child: int
    end: int
    written: bytes = b""

    def read_until(self, wanted: bytes, seconds: float = 60) -> None:
        """Read on until something was written."""
        stop = time.monotonic() + seconds
        while wanted not in self.visible():
            assert time.monotonic() < stop, f"{wanted!r} never came:\n{self.visible()[-3000:]!r}"
            if not self._read(0.5) and self._ended():
                raise AssertionError(f"it ended before {wanted!r} came:\n{self.written[-3000:]!r}")

    def rest(self, seconds: float = 0.4) -> None:
        """Read on until nothing more comes for a while."""
        while self._read(seconds):
            pass

    def press(self, keys: bytes) -> None:
        """Press keys, then read what comes of it."""
        os.write(self.end, keys)
        self.rest()

    def visible(self) -> bytes:
        """What was written without control sequences."""
        return SEQUENCE.sub(b"", self.written)

    def leave(self) -> int:
        """Press q; return how the child ended."""
        os.write(self.end, b"q")
        stop = time.monotonic() + 30
        while time.monotonic() < stop:
            self._read(0.1)
            done, status = os.waitpid(self.child, os.WNOHANG)
            if done:
                self.rest(0.1)
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("q did not quit")

    def _ended(self) -> bool:
        try:
            os.kill(self.child, 0)
        except ProcessLookupError:
            return True
        return False

    def _read(self, seconds: float) -> bool:
        if not select.select([self.end], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.end, 65_536)
        except OSError:  # Linux's word for a terminal whose other side is closed
            return False
        self.written += data
        return bool(data)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """The console over hostile text, its first row painted."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
    }
    child, end = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.console.raw_terminal", REFERENCE], environment
        )
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    running = Terminal(child, end)
    try:
        running.read_until(b"gh_connection")
        running.rest()
        yield running
    finally:
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(end)


def operating_system_commands(written: bytes) -> list[bytes]:
    return re.findall(rb"\x1b\](.*?)(?:\x07|\x1b\\)", written, re.DOTALL)


def assert_inert(written: bytes) -> None:
    """Every control sequence is one that the console or Textual writes; nothing else controls anything."""
    pointed_or_copied = rb"\x1b\](?:22;[a-z]+|52;c;[A-Za-z0-9+/=]*)\x07"
    left = OURS.sub(b"", re.sub(pointed_or_copied, b"", written))
    assert b"\x1b" not in left, left[left.index(b"\x1b") - 60 : left.index(b"\x1b") + 80]
    assert b"\x07" not in left
    assert not [c for c in left if c < 32 and c not in b"\r\n\t\x0e\x0f"]
    text = left.decode("utf-8")
    assert not [c for c in text if "\x7f" <= c <= "\x9f"]
    assert not [c for c in text if c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f"]


@pytest.mark.deep
def test_hostile_text_on_every_screen_leaves_the_terminal_alone(terminal: Terminal) -> None:
    for keys in (
        *(b"j", b"j", b"j", b"\r", b"o", b"\x1b", b"F", b"\x1b", b"/", b"\x1b[A", b"\x1b"),
        *(
            b"1",
            b"\r",
            b"\x1b",
            b"3",
            b"j",
            b"\r",
            b"P",
            b"\x1b",
            b"z",
            b"\x1b",
            b"v",
            b"\x1b",
            b"\x1b",
            b"7",
            b"o",
            b"\x1b",
            b"9",
            b"j",
            b"?",
            b"\x1b",
            b":",
            b"\x1b[A",
            b"\x1b",
        ),
    ):
        terminal.press(keys)
    assert terminal.leave() == 0
    assert_inert(terminal.written)
    assert b"[bold]" in terminal.visible()


@pytest.mark.deep
def test_nothing_goes_to_the_clipboard_before_y_and_then_exactly_what_was_copied(terminal: Terminal) -> None:
    terminal.press(b"j")
    terminal.press(b"k")
    assert not [c for c in operating_system_commands(terminal.written) if c.startswith(b"52;")]
    terminal.press(b"y")
    sent = [c for c in operating_system_commands(terminal.written) if c.startswith(b"52;")]
    assert len(sent) == 1
    assert base64.b64decode(sent[0].removeprefix(b"52;c;")).decode() == COPIED
    terminal.press(b"j")
    terminal.press(b"j")
    terminal.press(b"j")
    terminal.press(b"Y")
    copied = [c for c in operating_system_commands(terminal.written) if c.startswith(b"52;")][-1]
    text = base64.b64decode(copied.removeprefix(b"52;c;")).decode()
    assert not [c for c in text if ord(c) < 32 and c not in "\t\n"]
    assert not [c for c in text if "\x7f" <= c <= "\x9f" or c in "\u202e\u2066"]
    assert terminal.leave() == 0
    assert_inert(terminal.written)


@pytest.mark.deep
def test_q_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    assert terminal.leave() == 0
    for mode in (b"1049", b"1000", b"2004"):
        assert terminal.written.rindex(b"\x1b[?" + mode + b"l") > terminal.written.rindex(
            b"\x1b[?" + mode + b"h"
        )
    assert terminal.written.rindex(b"\x1b[?25h") > terminal.written.rindex(b"\x1b[?25l")
