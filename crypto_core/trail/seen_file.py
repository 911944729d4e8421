"""A file whose events are all in the store."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

FileName = bytes
"""An absolute path in the file system's own bytes."""

_LARGEST = 2**63 - 1
"""The store's largest number; some file systems count higher."""


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file as it was once read whole, with the number of its events; `inode` is cut to its range."""

    path: FileName
    size: int
    mtime_ns: int
    inode: int
    records: int = 0
    kms: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "inode", self.inode & _LARGEST)

    def __reduce__(self) -> tuple[type[SeenFile], tuple[object, ...]]:
        """How it is pickled: in a third of the time that a dataclass takes by itself."""
        return SeenFile, _ALL(self)

    def same_as(self, other: SeenFile) -> bool:
        return _AS_IT_WAS(self) == _AS_IT_WAS(other)


_ALL = attrgetter("path", "size", "mtime_ns", "inode", "records", "kms")
_AS_IT_WAS = attrgetter("path", "size", "mtime_ns", "inode")
