"""What a command does once nobody reads its output any more, as behind `| head`: it ends, silently."""

from __future__ import annotations

import os
import select
import signal
import sys

UNREAD = 128 + signal.SIGPIPE
"""The exit code, as a shell has it for what SIGPIPE ends."""


def is_unread() -> bool:
    """True if stdout is a pipe that nobody reads any more. What is written there from then on is lost."""
    try:
        file = sys.stdout.fileno()
    except (OSError, ValueError):  # no file behind it
        return False
    watched = select.poll()
    watched.register(file, 0)  # errors are reported without being asked for
    if not any(state & select.POLLERR for _, state in watched.poll(0)):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file)
    os.close(nowhere)
    return True
