"""Ctrl-C during a run: the first one lets the page in hand be written, the second one ends at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, current_thread, main_thread
from types import FrameType

import click

from console.printed.output import say

IN_HAND = "Stopping after the tokens in flight; what is written stays. Press again to stop at once."


@contextmanager
def cancelled_by_interrupt(message: str = IN_HAND) -> Iterator[Event]:
    """Give an event that SIGINT or SIGTERM sets, saying `message`; a second signal ends the process."""
    event = Event()
    if current_thread() is not main_thread():
        yield event
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if event.is_set():
            # Calls that hang are not waited for; the database rolls an open transaction back.
            click.echo("\x1b[?25hInterrupted." if sys.stderr.isatty() else "Interrupted.", err=True)
            os._exit(130)
        event.set()
        say(message)

    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
