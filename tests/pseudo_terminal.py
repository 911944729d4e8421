"""A pseudo-terminal of a test's own, and the child that runs on it."""

from __future__ import annotations

import os
import pty
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from functools import partial
from pathlib import Path
from select import select
from termios import TIOCSCTTY, TIOCSWINSZ
from typing import BinaryIO

ROOT = Path(__file__).parents[1]
MOST_SECONDS = 60
"""How long anything may take on a machine that is busy with something else."""


class PseudoTerminal:
    """A child on a terminal, and all that it wrote. `own` is the child's end, if it is kept."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        size: tuple[int, int] = (120, 40),
        stdout: BinaryIO | None = None,
        keep_own: bool = False,
        controlling: bool = False,
    ) -> None:
        """Start `command` with Python; `controlling` makes it the terminal that /dev/tty is there."""
        self.written = bytearray()
        self.end, self.own = pty.openpty()
        width, height = size
        ioctl(self.own, TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.before_start()
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), **environment},
            stdin=self.own,
            stdout=stdout or self.own,
            stderr=self.own,
            start_new_session=True,
            preexec_fn=partial(ioctl, self.own, TIOCSCTTY, 0) if controlling else None,  # noqa: PLW1509 - one system call
        )
        if not keep_own:
            os.close(self.own)
            self.own = -1

    def before_start(self) -> None:
        """Look at the terminal before anybody has changed it."""

    def press(self, keys: bytes) -> None:
        os.write(self.end, keys)

    def read(self, seconds: float) -> bool:
        """Take what was written; False if nothing came by then, or nothing can come any more."""
        if not select([self.end], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.end, 65_536)
        except OSError:  # Linux's word for a terminal whose other side is closed
            return False
        self.written += data
        return bool(data)

    def read_until(self, wanted: bytes, since: int = 0, times: int = 1) -> None:
        """Read on until something was written."""
        stop = time.monotonic() + MOST_SECONDS
        while self.written.count(wanted, since) < times:
            assert time.monotonic() < stop, f"{wanted!r} never came: {self.written[since:][-3000:]!r}"
            over = self.process.poll() is not None
            assert self.read(0 if over else 0.5) or not over, (
                f"it ended before {wanted!r} came: {self.written[-3000:]!r}"
            )

    def ended(self) -> int:
        """Read on until the child has ended; return its exit code."""
        stop = time.monotonic() + MOST_SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < stop, f"it does not end: {self.written[-3000:]!r}"
            self.read(0.1)
        while self.read(0):
            pass
        return self.process.returncode

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for descriptor in {self.end, self.own} - {-1}:
            os.close(descriptor)


def on_terminal(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run the command on a terminal of 80x24; return how it ended and what was shown."""
    shown = PseudoTerminal(["-m", "console", *arguments], environment, size=(80, 24), controlling=True)
    try:
        return shown.ended(), shown.written.decode()
    finally:
        shown.close()
