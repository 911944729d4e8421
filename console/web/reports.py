"""Errors inside the server are printed on its terminal; a browser learns only that there was one."""

from __future__ import annotations

from console.printed.printing import say
from crypto_core.log.tracebacks import crash_lines


def report(error: Exception) -> None:
    """Say where something failed, without values."""
    for line in crash_lines(error):
        say(line)
