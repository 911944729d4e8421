"""Signals to a PostgreSQL server and its children.

Each of its children leads a process group of its own, so the group that we started isn't all of it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable

import psutil


def family(pid: int) -> list[psutil.Process]:
    """Return the process, first, and everything below it; nothing where it is gone."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def still_running(processes: Iterable[psutil.Process], limit: float) -> list[psutil.Process]:
    """Wait at most `limit` seconds for processes to end; return those that haven't.

    One that has ended but that its parent hasn't asked about, as in a container without an init, doesn't run.
    """
    deadline = time.monotonic() + limit
    while running := [process for process in processes if _runs(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return running


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
