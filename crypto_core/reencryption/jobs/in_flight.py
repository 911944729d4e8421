"""Which tokens of a chunk are handed out and not finished, and what was counted but not yet written down."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from threading import Lock

from crypto_core.database.tokens.chunks import BatchCounts


@dataclass(slots=True)
class Outstanding:
    """Shared by a chunk's pages and its sink, each in a thread of its own.

    A chunk that is claimed again goes on behind its position: the last id up to which all are finished.
    """

    _order: deque[str] = field(default_factory=deque)
    _settled: set[str] = field(default_factory=set)
    _counted: BatchCounts = field(default_factory=BatchCounts)
    _position: str | None = None
    _lock: Lock = field(default_factory=Lock)

    def hand_out(self, ids: Iterable[str]) -> None:
        """Tell which ids follow, in the order of the chunk."""
        with self._lock:
            self._order.extend(ids)

    def settle(self, ids: Iterable[str]) -> None:
        """Tell which ids are finished."""
        with self._lock:
            self._settled.update(ids)
            while self._order and self._order[0] in self._settled:
                self._position = self._order.popleft()
                self._settled.discard(self._position)

    def position(self, ids: Collection[str] = ()) -> str | None:
        """Return the position that there would be if `ids` were finished as well."""
        with self._lock:
            last = self._position
            for row_id in self._order:
                if row_id not in self._settled and row_id not in ids:
                    break
                last = row_id
            return last

    def count(self, *, changed: int = 0, conflicts: int = 0, kms_calls: int = 0) -> None:
        """Count what is written down with the next batch."""
        with self._lock:
            self._counted += BatchCounts(changed=changed, conflicts=conflicts, kms_calls=kms_calls)

    def counted(self) -> BatchCounts:
        """Return what has been counted since `written_down`."""
        with self._lock:
            return self._counted

    def written_down(self, counted: BatchCounts) -> None:
        """Forget what has been written down."""
        with self._lock:
            self._counted -= counted
