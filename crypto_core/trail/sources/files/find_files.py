"""Finds CloudTrail's files below folders. Nothing is opened, so nothing blocks."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_SUFFIXES = (".json", ".jsonl", ".ndjson", ".gz")
_OTHERS = re.compile(r"_CloudTrail-(Digest|Insight)_")
"""Names of what CloudTrail delivers beside events: digests of files, and unusual activity."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file to read. `trouble` says why it can't be, or that a folder can't be listed."""

    path: str
    status: os.stat_result | None = None
    trouble: str = ""


class Walk:
    """The files that are named, or lie below folders that are named; in each folder by name.

    Links are followed, each folder is entered once. In folders, hidden files and files of other suffixes than
    CloudTrail's are left out; what is named is read whatever it is called.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self.skipped: Counter[str] = Counter()
        """What was left out, by what it is: Digest, Insight, hidden, other."""

    def __iter__(self) -> Iterator[Found]:
        entered: set[tuple[int, int]] = set()
        for named in self._paths:
            # The last is next: a folder's content comes before its sisters.
            waiting = [(os.path.abspath(named), True)]  # noqa: PTH100  # links stay as they are named
            while waiting:
                path, is_named = waiting.pop()
                try:
                    status = os.stat(path)  # noqa: PTH116  # a Path for each file costs more than the call
                except OSError as error:
                    yield Found(path, trouble=why(error))
                    continue
                if not stat.S_ISDIR(status.st_mode):
                    if is_named and self._is_other(path):
                        continue
                    regular = stat.S_ISREG(status.st_mode)
                    yield Found(path, status) if regular else Found(path, trouble=NO_FILE)
                elif (status.st_dev, status.st_ino) not in entered:
                    entered.add((status.st_dev, status.st_ino))
                    try:
                        names = sorted(os.listdir(path), reverse=True)  # noqa: PTH208
                    except OSError as error:
                        yield Found(path, trouble=why(error))
                        continue
                    waiting += [(inner, False) for name in names if (inner := self._wanted(path, name))]

    def _wanted(self, folder: str, name: str) -> str:
        """The path of what lies in a folder; "" if it is left out."""
        path = f"{folder.rstrip('/')}/{name}"
        if name.startswith("."):
            self.skipped["hidden"] += 1
        elif not name.lower().endswith(_SUFFIXES) and not os.path.isdir(path):  # noqa: PTH112
            self.skipped["other"] += 1
        elif not self._is_other(path):
            return path
        return ""

    def _is_other(self, path: str) -> bool:
        other = _OTHERS.search(os.path.basename(path))  # noqa: PTH119
        if other:
            self.skipped[other[1]] += 1
        return other is not None


NO_FILE = "It is no plain file. What a pipe brings is read as -"


def why(error: OSError) -> str:
    """Why the system refuses a file, without its path."""
    return error.strerror or type(error).__name__
