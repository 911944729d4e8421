"""The terminal's keys: while none is pressed nobody looks for them, as Textual does ten times a second."""

from __future__ import annotations

import os
import select
from codecs import getincrementaldecoder

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from console.application.end_signals import hang_up

TICK_SECONDS = 0.1
"""How often it is looked whether a key that has begun is a whole one: Escape begins others."""


class WaitingDriver(LinuxDriver):
    """Textual's driver for terminals, whose thread sleeps until there is something to read."""

    _asleep: tuple[int, int] | None = None
    """A pipe: what is written to its second end wakes the thread, which waits at the first one too."""
    _ending = False

    def run_input_thread(self) -> None:
        self._asleep = os.pipe()
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")().decode
        while not self._ending:
            waits = None if parser._timeout_time is None else TICK_SECONDS  # noqa: SLF001 - no other way to know
            ready, _, _ = select.select([self.fileno, self._asleep[0]], [], [], waits)
            if self.fileno in ready:
                try:
                    read = os.read(self.fileno, 4096)
                except BlockingIOError:  # another process of the terminal took it first
                    continue
                except OSError:  # Linux's word for a terminal whose other side is closed
                    read = b""
                if not read:
                    hang_up()
                    break
                for message in parser.feed(decode(read)):
                    self.process_message(message)
            for message in parser.tick():
                self.process_message(message)

    def disable_input(self) -> None:
        """Read no more keys; returns when none is being read."""
        self._ending = True
        if self._asleep is not None:
            os.write(self._asleep[1], b"0")
        super().disable_input()
        if self._asleep is not None:
            for end in self._asleep:
                os.close(end)
        self._asleep, self._ending = None, False
