"""Sends messages to receivers, each in a process of its own, all at once, within a time."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event

from crypto_core.notices.apprise_process import TROUBLES
from crypto_core.notices.notice import Message, Receiver
from crypto_core.trail.sources.python_process import start_python

SECONDS = 10.0
"""How long receivers have for one message, all together."""
_LOOK_SECONDS = 0.05
_MOST_AT_ONCE = 8
_ON_THE_WAY = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF", "OPENSSL_MODULES", "LANG", "LC_ALL", "LC_CTYPE", "TZ"),
    *("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "DISPLAY"),
)
"""Variables by which a message finds its way: proxies, certificate authorities, language, the desktop."""


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
    process = start_python("crypto_core.notices.apprise_process", *_ON_THE_WAY)
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
