"""Caps on libraries' loggers that would write what must stay hidden: requests, responses, rows."""

from __future__ import annotations

import logging
from collections.abc import Iterable


class _Floor(logging.Filter):
    """Lets through only records of a level or above, whatever level the logger is set to."""

    def __init__(self, lowest: int) -> None:
        super().__init__()
        self.lowest = lowest

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= self.lowest


def cap(names: Iterable[str], lowest: int) -> None:
    """Drop what these loggers say below the level `lowest`. Calling it again changes nothing."""
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(f, _Floor) for f in logger.filters):
            logger.addFilter(_Floor(lowest))
