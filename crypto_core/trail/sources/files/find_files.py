"""Finds files below folders, CloudTrail's or others. Nothing is opened, so nothing blocks."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crypto_core.trail.seen_file import FileName, SeenFile

_SUFFIXES = (
    *(".json", ".jsonl", ".ndjson", ".csv", ".zip", ".tar", ".tgz"),
    *(".gz", ".zst", ".bz2", ".xz", ".lzma"),
)
_OTHERS = re.compile(r"_CloudTrail-(Digest|Insight)_")
"""Names of what CloudTrail delivers beside events: digests of files, and unusual activity."""


_SMALL = 2 * 1024 * 1024
"""Bytes, packed, of the largest file that another process reads."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file, or a folder that can't be listed (`trouble` says why); `known` if it need not be read again."""

    path: FileName
    status: os.stat_result | None = None
    trouble: str = ""
    known: SeenFile | None = None

    @property
    def size(self) -> int:
        return self.status.st_size if self.status is not None and self.known is None else 0

    @property
    def to_read(self) -> bool:
        return self.known is None and not self.trouble

    @property
    def small(self) -> bool:
        return self.to_read and self.size <= _SMALL


class Walk:
    """Files named, or below named folders: links are followed, hidden and other files are left out.

    `suffixes` are the endings of the files that are no others; with `digests`, digests and insights are none.
    """

    def __init__(
        self, paths: Sequence[str], suffixes: tuple[str, ...] = _SUFFIXES, *, digests: bool = False
    ) -> None:
        self._paths = paths
        self._suffixes = suffixes
        self._digests = digests
        self.skipped: Counter[str] = Counter()
        """Files left out, by kind: Digest, Insight, hidden, other."""

    def __iter__(self) -> Iterator[FoundFile]:
        entered: set[tuple[int, int]] = set()
        for named in self._paths:
            # The last is next: a folder's content comes before its sisters.
            waiting = [(os.path.abspath(named), True)]  # noqa: PTH100  # links stay as they are named
            while waiting:
                path, is_named = waiting.pop()
                try:
                    status = os.stat(path)  # noqa: PTH116  # a Path for each file costs more than the call
                except OSError as error:
                    yield _unread(path, why(error))
                    continue
                if not stat.S_ISDIR(status.st_mode):
                    if is_named and self._is_other(path):
                        continue
                    regular = stat.S_ISREG(status.st_mode)
                    yield FoundFile(os.fsencode(path), status) if regular else _unread(path, NO_FILE)
                elif (status.st_dev, status.st_ino) not in entered:
                    entered.add((status.st_dev, status.st_ino))
                    try:
                        names = sorted(os.listdir(path), reverse=True)  # noqa: PTH208
                    except OSError as error:
                        yield _unread(path, why(error))
                        continue
                    waiting += [(inner, False) for name in names if (inner := self._wanted(path, name))]

    def _wanted(self, folder: str, name: str) -> str:
        """The path of what lies in a folder; "" if it is left out."""
        path = f"{folder.rstrip('/')}/{name}"
        if name.startswith("."):
            self.skipped["hidden"] += 1
            self.skipped["hidden folder"] += os.path.isdir(path)  # noqa: PTH112
        elif not name.lower().endswith(self._suffixes) and not os.path.isdir(path):  # noqa: PTH112
            self.skipped["other"] += 1
        elif not self._is_other(path):
            return path
        return ""

    def _is_other(self, path: str) -> bool:
        other = None if self._digests else _OTHERS.search(os.path.basename(path))  # noqa: PTH119
        if other:
            self.skipped[other[1]] += 1
        return other is not None


def _unread(path: str, trouble: str) -> FoundFile:
    return FoundFile(os.fsencode(path), trouble=trouble)


NO_FILE = "It is not a plain file. What a pipe brings is read as -"


def why(error: OSError) -> str:
    """Why the system refuses a file, without its path."""
    return error.strerror or type(error).__name__
