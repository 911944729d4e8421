"""Signals that end the console as `q` does: the terminal as it was, jobs and leases given back.

A shell says by 128 and the signal's number that a program was ended by one.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def exit_code_of(number: int) -> int:
    """Return the exit code of what a signal ended."""
    return 128 + number


def hear(leave: Callable[[int], None]) -> None:
    """Have the running loop call `leave` with the exit code at the first of them; a second one ends at once.

    One that is ignored, as SIGHUP is under nohup, stays so. For the main thread.
    """
    loop = asyncio.get_running_loop()
    heard = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]

    def end(number: int) -> None:
        for one in heard:
            loop.remove_signal_handler(one)
        leave(exit_code_of(number))

    for number in heard:
        loop.add_signal_handler(number, end, number)


@contextmanager
def as_before() -> Iterator[None]:
    """Within, a loop may hear signals; afterwards what handled them before does so again."""
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
