"""A private text file that several processes append to and rotate together.

The standard library's RotatingFileHandler renames the file under other processes, which then write on into
an old one and rotate it a second time. Here every line is one write in append mode, whoever finds the file
renamed opens the new one, and who rotates holds a lock on the file and looks again whether it is still due.
So consoles side by side share one log, and none loses a line.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from crypto_core.errors import KeydeckError
from crypto_core.text.cleaning import clean

BYTES = 1_000_000
"""Size at which a file is set aside."""
FILES = 5
"""How many files there are at most, the current one included."""


class LogFileError(KeydeckError, remedy="Set KEYDECK_LOG_FILE to a file that you may write, or to none."):
    """The log file can't be opened or written."""


class RotatingFile:
    """One open log file. Not thread-safe: logging's handlers have a lock."""

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
