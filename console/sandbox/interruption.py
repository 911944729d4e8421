"""Signals that ask a sandbox's process to end, turned into an orderly unwinding."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def terminate_on_signal() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP raise SystemExit(128 + number) in the main thread, as Ctrl-C interrupts it.

    Only the first one counts: the second doesn't disturb the cleaning up. Call it from the main thread.
    """

    def terminate(number: int, _frame: FrameType | None) -> None:
        for other in heard:
            signal.signal(other, signal.SIG_IGN)
        raise SystemExit(128 + number)

    # What is ignored already (nohup does that to SIGHUP) stays ignored.
    heard = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, terminate) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Within, Ctrl-C, SIGTERM and SIGHUP wait until the end: an impatient second one leaves nothing behind.

    Off the main thread signals arrive elsewhere, and nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []

    def keep(number: int, _frame: FrameType | None) -> None:
        waiting.append(number)

    before = {number: signal.signal(number, keep) for number in (signal.SIGINT, *_ENDING)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if waiting:
            signal.raise_signal(signal.Signals(waiting[0]))
