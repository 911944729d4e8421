"""A folder of files that appears whole or not at all, for its owner alone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crypto_core.lists.new_files import ExportError, followed


class NewFolder:
    """A folder that is being filled. What is written is on the disk when `write` returns."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._names: list[str] = []

    def write(self, name: str, parts: Iterable[bytes]) -> tuple[int, str]:
        """Write a new file for its owner alone; return its bytes and SHA-256 in hex. Raises OSError."""
        digest, size = hashlib.sha256(), 0
        descriptor = os.open(self._place / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self._names.append(name)
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
                digest.update(part)
                size += len(part)
            file.flush()
            os.fsync(descriptor)
        return size, digest.hexdigest()

    def remove(self) -> None:
        for name in self._names:
            (self._place / name).unlink(missing_ok=True)
        with suppress(OSError):
            self._place.rmdir()


@contextmanager
def new_folder(path: Path) -> Iterator[NewFolder]:
    """Give a new folder (mode 700), which appears under its name once the block has ended well.

    Nothing is left of it otherwise; a process that is killed leaves a hidden folder beside it. Raises
    ExportError for what is there already or can't be written.
    """
    if os.path.lexists(path):
        raise ExportError(f"{path} already exists.", remedy="Choose another name.")
    followed(path.absolute().parent)
    partial = path.absolute().with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.mkdir(mode=0o700)
        folder = NewFolder(partial)
        try:
            yield folder
            _to_disk(partial)
            # An empty folder that came meanwhile is replaced; one that holds anything makes this fail.
            partial.rename(path)
        except BaseException:  # also an interrupt must leave nothing behind
            folder.remove()
            raise
        _to_disk(partial.parent)
    except OSError as error:
        raise ExportError(f"{path} can't be written: {error.strerror or type(error).__name__}.") from error


def _to_disk(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
