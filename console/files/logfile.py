"""The log: a private file that rotates, and the latest lines in memory. Both hold redacted text only.

Every record becomes one line: UTC time with milliseconds, level, process, logger, message; consoles side by
side share one file. Exceptions are told by type and stack, without values. Keydeck's own loggers count from
INFO, all others from WARNING.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from console.own_folders import state_folder
from console.settings import Settings
from crypto_core.log.logbook import LogLine, Recent
from crypto_core.log.redaction import redacted
from crypto_core.log.tracebacks import chain, stack_lines, type_name
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean
from crypto_core.values.errors import KeydeckError
from crypto_core.values.typed_names import expanded

OWN = ("console", "crypto_core", "screens")
"""Loggers whose records count from INFO."""

NOWHERE = "none"
"""The setting that means no file."""

_MESSAGE_LIMIT = 4_000
"""Characters of one message."""
_READ_LIMIT = 100_000
"""Characters of a message that are looked at: redacting more would hold up whoever logs."""
BYTES = 1_000_000
"""Size at which a file is set aside."""
FILES = 5
"""How many files there are at most, the current one included."""


class FileLogBook(logging.Handler):
    """Takes what is logged, keeps the latest lines, and writes them to a file if there is one."""

    def __init__(self, settings: Settings) -> None:
        """Open the settings' file; if that fails, `trouble` says why, and only lines in memory are kept."""
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
            stamp = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"
            lead = f"{stamp} {logging.getLevelName(level):8} {os.getpid()}"
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
    """Give the log while the block runs; what is logged goes there. It never raises."""
    root, book = logging.getLogger(), FileLogBook(settings)
    root.addHandler(book)
    for name in OWN:
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        yield book
    finally:
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


class LogFileError(KeydeckError, remedy="Set KEYDECK_LOG_FILE to a file that you may write, or to none."):
    """The log file can't be opened or written."""


class RotatingFile:
    """A private log file that several processes append to and rotate together.

    The standard library's RotatingFileHandler renames the file under other processes, which then write on
    into an old one and rotate it again. Here every line is one write in append mode, whoever finds the file
    renamed opens the new one, and who rotates holds a lock and looks again whether it is still due.
    Not thread-safe: logging's handlers have a lock.
    """

    def __init__(self, path: Path, *, size: int = BYTES, files: int = FILES) -> None:
        """Create the file, readable by its owner alone, and its folder. Raises LogFileError."""
        self.path = path
        self._size = size
        self._files = files
        self._descriptor = -1
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise self._failed(error) from error

    def write(self, line: str) -> None:
        """Append a line, which brings its own line end. Raises LogFileError."""
        content = line.encode("utf-8", "replace")
        try:
            if self._descriptor < 0 or self._renamed():
                self._open()
            if os.fstat(self._descriptor).st_size + len(content) > self._size:
                self._rotate()
            while content:
                content = content[os.write(self._descriptor, content) :]
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file. A later write opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        """Open the file by its name. A link, or a file of somebody else's, is not written to."""
        self.close()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self.path, flags, 0o600)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink > 1:
            os.close(descriptor)
            raise LogFileError(f"The log file {clean(self.path)} is not a plain file of yours.")
        if stat.S_IMODE(found.st_mode) & 0o077:
            os.fchmod(descriptor, 0o600)
        self._descriptor = descriptor

    def _renamed(self) -> bool:
        """True if the name no longer means the file that is open: somebody rotated or removed it."""
        try:
            named = self.path.lstat()
        except FileNotFoundError:
            return True
        return not os.path.samestat(named, os.fstat(self._descriptor))

    def _rotate(self) -> None:
        """Set the file aside as .1, the older ones a number further, and open a new one."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        # Whoever waited for the lock finds that another process has done it.
        if not self._renamed():
            for number in range(self._files - 2, 0, -1):
                with suppress(FileNotFoundError):
                    self._aside(number).replace(self._aside(number + 1))
            self.path.replace(self._aside(1))
        self._open()

    def _aside(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _failed(self, error: OSError) -> LogFileError:
        return LogFileError(f"The log file {clean(self.path)} can't be written: {clean(error.strerror)}.")
