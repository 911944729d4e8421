"""What our child processes share: they find this package, and end with their parent."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread


def import_path(inherited: str | None) -> str:
    """Return a PYTHONPATH with the folder that holds the `console` package before what is `inherited`."""
    return os.pathsep.join(filter(None, (str(Path(__file__).resolve().parents[2]), inherited)))


def when_parent_ends(call: Callable[[], object]) -> None:
    """Call back, from a thread, once whoever holds the other end of standard input is gone or closes it."""

    def listen() -> None:
        with suppress(OSError):
            while os.read(0, 4_096):
                pass
        call()

    Thread(target=listen, daemon=True).start()
