"""Signals to a PostgreSQL server and its children.

Each of its children leads a process group of its own, so the group that we started isn't all of it.
"""

from __future__ import annotations

import signal
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
    """Send a signal to those that still live."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
