"""Sends messages to receivers, each in a process of its own, all at once, within a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from crypto_core.notices.apprise_process import TROUBLES
from crypto_core.notices.notice import Message, Receiver

SECONDS = 10.0
"""How long receivers have for one message, all together."""
_LOOK_SECONDS = 0.05
_MOST_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Letter:
    """A message for a receiver; `grave` marks it as a failure where a service tells these apart."""

    receiver: Receiver
    message: Message
    grave: bool = False


SendLetters = Callable[[Sequence[Letter], Event | None], Mapping[str, str]]
"""Sends letters, to each receiver at most one; returns by receiver why that failed, "" where it did not."""


def send_letters(
    letters: Sequence[Letter], cancelled: Event | None = None, *, seconds: float = SECONDS
) -> Mapping[str, str]:
    """Send by apprise; return by receiver why its letter was not sent, in a sentence, "" where it was.

    Whoever has not answered in time is given up, and its process ended: it delays no other. Raises nothing.
    """
    told: dict[str, str] = {}
    for first in range(0, len(letters), _MOST_AT_ONCE):
        told |= _sent(letters[first : first + _MOST_AT_ONCE], cancelled, time.monotonic() + seconds)
    return told


def _sent(letters: Sequence[Letter], cancelled: Event | None, end: float) -> dict[str, str]:
    under_way: dict[str, subprocess.Popen[bytes]] = {}
    told: dict[str, str] = {}
    try:
        for letter in letters:
            try:
                under_way[letter.receiver.name] = _begin(letter)
            except OSError:
                told[letter.receiver.name] = "No process could be started."
        while any(one.poll() is None for one in under_way.values()) and time.monotonic() < end:
            if cancelled is not None and cancelled.is_set():
                break
            time.sleep(_LOOK_SECONDS)
    finally:
        for name, process in under_way.items():
            told[name] = _end(process)
    return told


def _begin(letter: Letter) -> subprocess.Popen[bytes]:
    # -P: what lies in the working directory is not imported.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "crypto_core.notices.apprise_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
        start_new_session=True,
    )
    content = {
        "url": letter.receiver.url,
        "title": letter.message.title,
        "body": letter.message.body,
        "grave": letter.grave,
    }
    if process.stdin is not None:
        with suppress(OSError):  # it ended at once, and `_end` says so
            process.stdin.write(json.dumps(content).encode())
            process.stdin.close()
    return process


def _end(process: subprocess.Popen[bytes]) -> str:
    late = process.poll() is None
    if late:
        process.kill()
    word = process.stdout.read(20).decode("ascii", "replace") if process.stdout is not None else ""
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
    if late:
        return "It did not answer in time."
    if word.isdecimal():
        return f"It answered with HTTP status {word}."
    return TROUBLES.get(word, "Sending failed.")


def _environment() -> dict[str, str]:
    """This process's, without what only Keydeck needs: no URL of a database and no credentials of AWS."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KEYDECK_", "AWS_", "DATABASE_", "PG", "TOKEN_", "DEV_"))
    }
    folder = str(Path(__file__).resolve().parents[2])
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, (folder, kept.get("PYTHONPATH"))))}
