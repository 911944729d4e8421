"""Anchors in a file that is only ever appended to, best on another machine's disk or under `chattr +a`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from crypto_core.database.state.anchors.checkpoint_anchors import LARGEST_ANCHOR, anchor_of
from crypto_core.lists.new_files import followed, open_to_append
from crypto_core.proof.forms import Anchor, kept_anchors
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.errors import AbsentAnchorsError, AnchorError, RefusedError

MOST_BYTES = 256 * 1024 * 1024
"""A larger file is not read to its end, which is reported."""


class AnchorFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def where(self) -> CleanText:
        return clean(self._path)

    def keep(self, anchor: Anchor) -> None:
        """Append an anchor, and have it on the disk. A file that is not there is made for its owner alone.

        Raises AnchorError, also for what is no plain file of this user's; ExportError for somebody else's
        link on the way.
        """
        try:
            descriptor = open_to_append(self._path)
            try:
                line = anchor.line()
                if os.write(descriptor, line) != len(line):
                    raise AnchorError(f"{self.where} took a part of the anchor only: is the disk full?")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            folder = os.open(followed(self._path).parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise AnchorError(f"{self.where} can't be written: {clean(error.strerror)}.") from error

    def read(self) -> Iterator[Anchor | str]:
        yield from read_anchors(self._path)


def read_anchors(path: Path) -> Iterator[Anchor | str]:
    """Yield the anchors of a file, and a sentence for each line that is none, or for lines that aren't read.

    Raises AbsentAnchorsError for a file that is not there, AnchorError.
    """
    where = clean(path)
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise AnchorError(f"{where} is not a plain file.")
            size = 0
            number = 0
            while line := file.readline(LARGEST_ANCHOR + 1):
                number += 1
                size += len(line)
                if size > MOST_BYTES:
                    yield f"{where} was read up to line {number:,} only: it is too large."
                    return
                if not line.strip():
                    continue
                place = clean(f"{where}, line {number}")
                try:
                    yield anchor_of(line, place)
                except RefusedError as error:
                    yield error.message
    except FileNotFoundError as error:
        raise AbsentAnchorsError(f"{where} is not there.") from error
    except OSError as error:
        raise AnchorError(f"{where} can't be read: {clean(error.strerror)}.") from error


def kept_in(path: Path) -> tuple[Anchor | str, ...]:
    """Return the anchors of a file to verify by, and a sentence for each line that is none, or for no line.

    Raises RefusedError for one that can't be read.
    """
    name = clean(path.name)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise RefusedError(f"{clean(path)} can't be read: {clean(error.strerror)}.") from error
    more = () if len(content) <= MOST_BYTES else (f"{name} was read in part only: it is too large.",)
    return (*kept_anchors(name, content[:MOST_BYTES]), *more)
