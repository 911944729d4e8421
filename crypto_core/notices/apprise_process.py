"""What runs in a process of its own for each message: apprise sends it, a word on stdout says how it ended.

Apart, because apprise and what it brings wait, log and read answers as they like. A deadline ends it,
what it logs goes nowhere, and an answer without end fills no memory but its own, which is limited.
The URL, which holds a token, comes by stdin: no argument shows it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
from contextlib import suppress

_MEMORY = 256 << 20
_LONGEST_SECONDS = 120
"""Then it ends by itself, where whoever began it was killed."""
_STATUS = re.compile(r"error=(\d{3})\b")
TROUBLES = {
    "sent": "",
    "url": "Its URL is not one that apprise knows.",
    "missing": "apprise is not installed.",
    "unreached": "It could not be reached, or did not answer in time.",
    "refused": "It did not accept the message.",
}
"""What the word stands for that the process prints; a number is the HTTP status of a refusal."""


class _Said(logging.Handler):
    """Keeps of what apprise logs only why a message was not sent: its texts repeat parts of the URL."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.why = "refused"

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            text = record.getMessage()
            if found := _STATUS.search(text):
                self.why = found[1]
            elif re.search(r"connection|socket|timed? ?out|unreachable", text, re.IGNORECASE):
                self.why = "unreached"


def _send(url: str, title: str, body: str, grave: bool) -> str:
    try:
        import apprise
    except ImportError:
        return "missing"
    said = _Said()
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.handlers = [said]
    # Not to the place that a redirect names: the message is for the one in the settings.
    asset = apprise.AppriseAsset(
        async_mode=False,
        secure_logging=True,
        http_redirects=False,
        interpret_escapes=False,
        interpret_emojis=False,
        pgp_autogen=False,
        pem_autogen=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        allow_templates=False,
    )
    service = apprise.Apprise.instantiate(url, asset=asset)
    if service is None:
        return "url"
    # Options of the URL that make each failure a success, or wait for another try.
    service.optional, service.retry = False, 0
    everybody = apprise.Apprise(asset=asset)
    everybody.add(service)
    kind = apprise.NotifyType.FAILURE if grave else apprise.NotifyType.INFO
    sent = everybody.notify(body=body, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
    return "sent" if sent else said.why


def main() -> None:
    """Read a message from stdin, send it, and print a word of `TROUBLES`, or an HTTP status."""
    logging.disable(logging.INFO)
    signal.alarm(_LONGEST_SECONDS)
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    word = "refused"
    with suppress(Exception):
        word = _send(**json.load(sys.stdin))
    os.write(answers, word.encode())
    os._exit(0)


if __name__ == "__main__":
    main()
