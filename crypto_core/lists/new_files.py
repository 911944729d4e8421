"""Files and folders that appear whole or not at all, and overwrite nothing unless they are to replace a file.

No symbolic link is followed that belongs to somebody else than this user or root: in a folder that others may
write to, it could lead to any file of this user's.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from crypto_core.errors import KeydeckError

_MOST_LINKS = 40


class ExportError(KeydeckError):
    """A file that can't be written; nothing was left of it."""


@contextmanager
def new_file(path: Path) -> Iterator[TextIO]:
    """Give a new file that only its owner reads, to be written as UTF-8 with line ends as they are given.

    It appears under its name once the block has ended well, and nothing is left of it otherwise. Raises
    ExportError for a file that is there already or can't be written.
    """
    with _appearing(path, []) as file:
        yield file


def write_new(texts: Mapping[Path, str]) -> None:
    """Write texts to new files, as `new_file` does: all of them, or none. Raises ExportError."""
    appeared: list[Path] = []
    try:
        with ExitStack() as files:
            for path, text in texts.items():
                files.enter_context(_appearing(path, appeared)).write(text)
    except BaseException:  # raised again: all of them, or none
        for path in appeared:
            path.unlink(missing_ok=True)
        raise


def replace_file(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write a UTF-8 file that is whole whenever somebody reads it, in place of one that may be there.

    A link of this user's stays, and its file is replaced. Raises ExportError.
    """
    try:
        target = followed(path)
        # Its name must not end like the file's: a textfile collector reads *.prom.
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            unfinished.replace(target)
        except BaseException:  # also an interrupt must leave no unfinished file behind
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ExportError(f"{path} can't be written: {error.strerror or type(error).__name__}.") from error


def open_to_append(path: Path) -> int:
    """Return a descriptor for the end of a file, made for its owner alone where it isn't there.

    A line that was cut short, by a full disk for instance, is ended: it must not swallow the next one. Raises
    OSError, also for what is no plain file of this user's or root's; ExportError as `followed`.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with ExitStack() as failed:
        descriptor = os.open(followed(path), flags, 0o600)
        failed.callback(os.close, descriptor)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, "it is not a plain file of yours")
        if found.st_size and os.pread(descriptor, 1, found.st_size - 1) != b"\n":
            os.write(descriptor, b"\n")
        failed.pop_all()
        return descriptor


def followed(path: Path) -> Path:
    """Return the file behind any links. Raises ExportError for somebody else's link on the way."""
    pending = list(reversed(path.absolute().parts[1:]))
    reached, links = Path(path.absolute().anchor), 0
    while pending:
        part = pending.pop()
        reached = reached.parent if part == ".." else reached / part
        try:
            found = reached.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ExportError(f"{path} can't be written: {error.strerror}.") from error
        if not stat.S_ISLNK(found.st_mode):
            continue
        if found.st_uid not in (0, os.geteuid()):
            raise ExportError(
                f"{reached} is a link that belongs to somebody else: nothing is written where it leads.",
                remedy="Name the file itself, in a folder where nobody else can write.",
            )
        links += 1
        if links > _MOST_LINKS:
            raise ExportError(f"{path} leads in circles.")
        target = reached.readlink()
        pending += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        reached = Path(target.anchor) if target.is_absolute() else reached.parent
    return reached


@contextmanager
def _appearing(path: Path, appeared: list[Path]) -> Iterator[TextIO]:
    if os.path.lexists(path):
        raise ExportError(f"{path} already exists.", remedy="Choose another name.")
    followed(path.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    begun = False
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        begun = True
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
        # link fails where the name is taken by now, rename would overwrite.
        os.link(partial, path)
        appeared.append(path)
    except FileExistsError as error:
        raise ExportError(f"{path} already exists.", remedy="Choose another name.") from error
    except OSError as error:
        raise ExportError(f"{path} can't be written: {error.strerror}.") from error
    finally:
        if begun:
            partial.unlink(missing_ok=True)


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
