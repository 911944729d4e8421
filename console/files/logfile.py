"""The log: a private file that rotates, and the latest lines in memory. Both hold redacted text only.

Every record becomes one line: UTC time with milliseconds, level, process, logger, message; consoles side by
side share one file. Exceptions are told by type and stack, without values. Keydeck's own loggers count from
INFO, all others from WARNING.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from console.files.rotating_file import LogFileError, RotatingFile
from console.own_folders import state_folder
from console.settings import Settings
from crypto_core.errors import KeydeckError
from crypto_core.log.logbook import LogLine, Recent
from crypto_core.log.redaction import redacted
from crypto_core.log.tracebacks import chain, stack_lines, type_name
from crypto_core.text.cleaning import NO_TEXT, CleanText, clean
from crypto_core.text.file_paths import expanded

OWN = ("console", "crypto_core", "screens")
"""Loggers whose records count from INFO."""

NOWHERE = "none"
"""The setting that means no file."""

_MESSAGE_LIMIT = 4_000
"""Characters of one message."""
_READ_LIMIT = 100_000
"""Characters of a message that are looked at: redacting more would hold up whoever logs."""


class FileLogBook(logging.Handler):
    """Takes what is logged, keeps the latest lines, and writes them to a file if there is one."""

    def __init__(self, settings: Settings) -> None:
        """Open the file that the settings mean.

        If it can't be opened, `trouble` says why, and there are only the lines in memory.
        """
        super().__init__()
        self._recent = Recent()
        self._trouble = NO_TEXT
        self._file: RotatingFile | None = None
        try:
            path = log_path(settings)
            self._file = RotatingFile(path) if path is not None else None
        except LogFileError as error:
            self._fail(error)

    @property
    def path(self) -> Path | None:
        """The file that is written; None where there is none."""
        return self._file.path if self._file is not None else None

    @property
    def trouble(self) -> CleanText:
        """Why there is no file, or why it is no longer written; "" where all is well."""
        return self._trouble

    @property
    def changes(self) -> int:
        """The number of the latest line."""
        return self._recent.changes

    def lines(self, after: int = 0) -> tuple[LogLine, ...]:
        """Return the lines that are kept, oldest first, only those with a number above `after`."""
        return self._recent.lines(after)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is worth a line."""
        lowest = logging.INFO if record.name.partition(".")[0] in OWN else logging.WARNING
        return record.levelno >= lowest and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line. Never raises."""
        at = datetime.fromtimestamp(record.created, UTC)
        self._write(at, record.levelno, clean(record.name, 120), _message(record))

    def close(self) -> None:
        """Close the file; the lines in memory stay."""
        self.acquire()
        try:
            if self._file is not None:
                self._file.close()
        finally:
            self.release()
        super().close()

    def _write(self, at: datetime, level: int, logger: CleanText, message: CleanText) -> None:
        self._recent.add(at, level, logger, message)
        if self._file is None:
            return
        try:
            lead = f"{_stamp(at)} {logging.getLevelName(level):8} {os.getpid()}"
            self._file.write(f"{lead} {logger}: {message}\n")
        except LogFileError as error:
            if error.message != self._trouble:
                self._fail(error)
        else:
            self._trouble = NO_TEXT

    def _fail(self, error: LogFileError) -> None:
        self._trouble = error.message
        self._recent.add(datetime.now(UTC), logging.WARNING, clean(__name__), error.message)


@contextmanager
def logging_to(settings: Settings) -> Iterator[FileLogBook]:
    """Give the log while the block runs; what is logged goes there."""
    book = start_logging(settings)
    try:
        yield book
    finally:
        stop_logging(book)


def start_logging(settings: Settings) -> FileLogBook:
    """Return the log, open and taking what is logged from now on; `stop_logging` ends it. Never raises."""
    book = FileLogBook(settings)
    logging.getLogger().addHandler(book)
    for name in OWN:
        logging.getLogger(name).setLevel(logging.INFO)
    return book


def stop_logging(book: FileLogBook) -> None:
    """Take nothing more, and close the file."""
    root = logging.getLogger()
    root.removeHandler(book)
    book.close()
    if not any(isinstance(handler, FileLogBook) for handler in root.handlers):
        for name in OWN:
            logging.getLogger(name).setLevel(logging.NOTSET)


def log_path(settings: Settings) -> Path | None:
    """Return the file that the settings mean; None for "none".

    Without a setting it is keydeck/keydeck.log in the user's state folder (XDG Base Directory Specification).
    Raises LogFileError for a user without a home folder.
    """
    if settings.log_file == NOWHERE:
        return None
    if settings.log_file:
        return expanded(settings.log_file)
    folder = state_folder()
    if folder is None:
        raise LogFileError("There is no home folder to keep the log in.")
    return folder / "keydeck.log"


def _message(record: logging.LogRecord) -> CleanText:
    try:
        text = str(record.getMessage())
    except Exception as error:  # noqa: BLE001  # arguments that don't fit, or can't be shown
        text = f"(a message that can't be shown: {type_name(error)})"
    text = redacted(text[:_READ_LIMIT])
    if record.exc_info and record.exc_info[1] is not None:
        text = " | ".join((text, *_told(record.exc_info[1])))
    return clean(text, _MESSAGE_LIMIT)


def _told(error: BaseException) -> Iterator[str]:
    """An exception's log text: each error of its chain with its stack, and messages only of our errors."""
    for cause in chain(error):
        said = f": {redacted(cause.message)}" if isinstance(cause, KeydeckError) else ""
        yield f"{type_name(cause)}{said}"
        yield from (line.strip() for line in stack_lines(cause))


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"
