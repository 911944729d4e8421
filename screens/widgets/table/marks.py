"""Which rows an operator marked: some by one, or all that a filter lets through but for some."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Row = TypeVar("Row")


class Marks(Generic[Row]):
    """Marks belong to rows, not to places, so they survive a refresh and rows that are scrolled away."""

    def __init__(self, identity: Callable[[Row], Hashable]) -> None:
        self._identity = identity
        self._rows: dict[Hashable, Row] = {}
        self.filter: str | None = None
        """The filter all of whose rows are marked, None while rows are marked one by one."""

    @property
    def whole(self) -> bool:
        """True if all rows of a filter are marked, but for `rows`."""
        return self.filter is not None

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows that were marked, in that order; where all are marked, those that were unmarked."""
        return tuple(self._rows.values())

    def __bool__(self) -> bool:
        return self.whole or bool(self._rows)

    def __contains__(self, row: Row) -> bool:
        if not self._rows:
            return self.whole
        return (self._identity(row) in self._rows) is not self.whole

    def count(self, total: int | None) -> int | None:
        """Return how many rows are marked, of `total` that the filter lets through; None if not known."""
        if not self.whole:
            return len(self._rows)
        return max(total - len(self._rows), 0) if total is not None else None

    def set(self, row: Row, *, marked: bool) -> None:
        if marked is not self.whole:
            self._rows[self._identity(row)] = row
        else:
            self._rows.pop(self._identity(row), None)

    def mark_all(self, expression: str) -> None:
        self._rows.clear()
        self.filter = expression

    def clear(self) -> None:
        self._rows.clear()
        self.filter = None

    def forget(self, identity: Hashable) -> None:
        self._rows.pop(identity, None)

    def learn(self, row: Row) -> None:
        """A row is something else now; its mark stays."""
        identity = self._identity(row)
        if identity in self._rows:
            self._rows[identity] = row
