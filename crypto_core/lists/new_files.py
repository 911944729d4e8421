"""Files that appear whole or not at all, and overwrite nothing unless they are to replace a file.

No symbolic link is followed that belongs to somebody else than this user or root: in a folder that others may
write to, it could lead to any file of this user's.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from crypto_core.values.errors import KeydeckError

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
