"""Signals that end the console as `q` does: the terminal as it was, jobs and leases given back.

A shell says by 128 and the signal's number that a program was ended by one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

GRACE_SECONDS = 15.0
"""How long leaving may take after a signal; then the process ends as it stands."""

_MODES = (1000, 1002, 1003, 1004, 1006, 1015, 1049, 2004, 2048)
"""xterm's: the mouse, focus, the alternate screen, bracketed paste, resizes in band."""
_AS_BEFORE = b"".join(b"\x1b[?%dl" % mode for mode in _MODES) + b"\x1b[<u\x1b[?25h"

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
"""How long the process may take to clean up behind itself, where it does at all on SIGHUP."""


def exit_code_of(number: int) -> int:
    return 128 + number


def hear(leave: Callable[[int], None]) -> None:
    """Have the running loop call `leave` with the exit code at the first of them; a second one ends at once.

    One that is ignored, as SIGHUP is under nohup, stays so. For the main thread, before it changes the
    terminal.
    """
    loop = asyncio.get_running_loop()
    give_back = _terminal()
    heard = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]

    def end(number: int) -> None:
        for one in heard:
            loop.remove_signal_handler(one)
        Thread(target=_insist, args=(exit_code_of(number), give_back), daemon=True).start()
        leave(exit_code_of(number))

    for number in heard:
        loop.add_signal_handler(number, end, number)


def _terminal() -> Callable[[], None]:
    """Return what gives the terminal back as it is now; it raises nothing."""
    try:
        descriptor = sys.__stdin__.fileno() if sys.__stdin__ is not None else -1
        attributes = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        return lambda: None

    def give_back() -> None:
        with suppress(OSError, termios.error):
            os.write(descriptor, _AS_BEFORE)
            termios.tcsetattr(descriptor, termios.TCSANOW, attributes)

    return give_back


def _insist(code: int, give_back: Callable[[], None]) -> None:
    time.sleep(GRACE_SECONDS)
    give_back()
    os._exit(code)


@contextmanager
def as_before() -> Iterator[None]:
    """Within, a loop may hear signals; afterwards what handled them before does so again."""
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def hang_up() -> None:
    """End a console whose terminal is gone, as SIGHUP does, even if its loop hangs.

    The kernel sends it only to the terminal's own session, and `nohup` has it ignored.
    """
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    number = signal.SIGTERM if ignored else signal.SIGHUP
    Thread(target=_insist, args=(exit_code_of(number), lambda: None), daemon=True).start()
    os.kill(os.getpid(), number)
