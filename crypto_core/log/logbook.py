"""The latest log lines in memory, for the log screen.

A line in here has been cleaned and redacted by whoever adds it. The book is bounded in lines and in
characters; what had to go is told by the first line's number.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from crypto_core.values.clean_text import CleanText, clean

LINES = 5_000

CHARACTERS = 4_000_000


@dataclass(frozen=True, slots=True)
class LogLine:
    """One record: one line of text, cleaned and redacted.

    `number` counts from 1 without a gap, `at` is aware and in UTC, `level` is one of logging's numbers.
    """

    number: int
    at: datetime
    level: int
    logger: CleanText
    message: CleanText

    @property
    def word(self) -> str:
        return logging.getLevelName(self.level).lower()


class LogBook(Protocol):
    """The log as screens see it. All of it is quick, thread-safe, and never raises."""

    @property
    def path(self) -> Path | None:
        """The file that is written; None where there is none."""

    @property
    def trouble(self) -> CleanText:
        """Why there is no file, or why it is no longer written: one sentence. "" where all is well."""

    @property
    def changes(self) -> int:
        """The number of the latest line, 0 before the first. Compare it with the last one shown."""

    def lines(self, after: int = 0) -> tuple[LogLine, ...]:
        """Return the lines that are kept, oldest first, only those with a number above `after`."""


class Recent:
    def __init__(self, lines: int = LINES, characters: int = CHARACTERS) -> None:
        self._lock = threading.Lock()
        self._kept: deque[LogLine] = deque()
        self._most_lines = lines
        self._most_characters = characters
        self._characters = 0
        self._number = 0

    @property
    def changes(self) -> int:
        return self._number

    def add(self, at: datetime, level: int, logger: str, message: str) -> None:
        """Keep one more line; the oldest go where there is no room. `message` is at most cut to the room."""
        line, name = clean(message, self._most_characters), clean(logger, 120)
        with self._lock:
            self._number += 1
            self._kept.append(LogLine(self._number, at, level, name, line))
            self._characters += len(line)
            while len(self._kept) > self._most_lines or self._characters > self._most_characters:
                self._characters -= len(self._kept.popleft().message)

    def lines(self, after: int = 0) -> tuple[LogLine, ...]:
        with self._lock:
            newer = min(self._number - after, len(self._kept))
            if newer == len(self._kept):
                return tuple(self._kept)
            return tuple(
                self._kept[index] for index in range(len(self._kept) - max(newer, 0), len(self._kept))
            )
