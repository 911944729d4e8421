"""Ends the console when its terminal is gone.

The kernel sends SIGHUP only to the terminal's own session, and `nohup` has it ignored. A console that is left
without a terminal would wait for keys for ever, one processor busy with that.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

GRACE_SECONDS = 15.0
"""How long the process may take to clean up behind itself, where it does at all on SIGHUP."""


@contextmanager
def ended_with_the_terminal() -> Iterator[None]:
    """Within, the end of the terminal on standard input ends the process, as SIGHUP does."""
    if sys.__stdin__ is None or not sys.__stdin__.isatty():
        yield
        return
    awake, wake = os.pipe()
    left = Event()
    watching = Thread(
        target=_watch, args=(sys.__stdin__.fileno(), awake, left), name="keydeck-hangup", daemon=True
    )
    watching.start()
    try:
        yield
    finally:
        left.set()
        os.close(wake)
        watching.join()
        os.close(awake)


def _watch(terminal: int, awake: int, left: Event) -> None:
    poll = select.poll()
    # Hang-ups are told unasked; asked for anything else, keys would wake this thread too.
    poll.register(terminal, 0)
    poll.register(awake, 0)
    while not left.is_set():
        for descriptor, told in poll.poll():
            if descriptor == terminal and told & select.POLLHUP:
                os.kill(os.getpid(), signal.SIGHUP)
                if not left.wait(GRACE_SECONDS):
                    os._exit(128 + signal.SIGHUP)
            if descriptor == terminal:
                # This system can't tell of its terminals.
                return
