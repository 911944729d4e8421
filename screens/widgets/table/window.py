"""The rows that a table holds: some consecutive pages of a list that may be as long as it likes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from crypto_core.lists.paging import Cursor, Page

Row = TypeVar("Row")

MOST = 1_000
"""Rows held at most, plus a page."""


@dataclass(slots=True)
class _Part:
    """How many of the rows came with one page, and where that page begins and ends in the list."""

    rows: int
    first: Cursor | None
    last: Cursor | None


class RowWindow(Generic[Row]):
    """Rows in order, no two with one identity. Far ends are let go as pages come at the other end."""

    def __init__(self, identity: Callable[[Row], Hashable], most: int = MOST) -> None:
        self._identity = identity
        self._most = most
        self._rows: list[Row] = []
        self._places: dict[Hashable, int] = {}
        """Where rows stand, counted from a row that may be gone: what comes above moves no number."""
        self._start = 0
        """The number of the first row that is held."""
        self._parts: deque[_Part] = deque()
        self._before: dict[Hashable, Row] = {}
        self.above = False
        self.below = False
        self.base: int | None = 0
        """How many rows of the list stand above the first one held; None where that isn't known."""

    @property
    def rows(self) -> Sequence[Row]:
        return self._rows

    @property
    def first(self) -> Cursor | None:
        return self._parts[0].first if self._parts else None

    @property
    def last(self) -> Cursor | None:
        return self._parts[-1].last if self._parts else None

    def place(self, identity: Hashable) -> int | None:
        """Return where a row stands among those held, None if it isn't among them."""
        place = self._places.get(identity)
        return place - self._start if place is not None else None

    def show(self, pages: Sequence[Page[Row]], base: int | None) -> None:
        """Hold these pages, in order, instead of what was held. `base` is how many rows stand above them.

        A row that is as it was stays the very same object, so that it's known again.
        """
        self._before = {self._identity(row): row for row in self._rows}
        self._rows.clear()
        self._places.clear()
        self._start = 0
        self._parts.clear()
        self.above = pages[0].above if pages else False
        self.below = pages[-1].below if pages else False
        self.base = base if self.above else 0
        for page in pages:
            self._take(page)
        self._before = {}

    def append(self, page: Page[Row]) -> int:
        """Hold another page below; returns how many rows were let go above."""
        self._take(page)
        self.below = page.below
        gone = 0
        while len(self._rows) - gone > self._most and len(self._parts) > 1:
            gone += self._parts.popleft().rows
        if gone:
            self._forget(self._rows[:gone])
            del self._rows[:gone]
            self._start += gone
            self.above = True
            self.base = self.base + gone if self.base is not None else None
        return gone

    def prepend(self, page: Page[Row]) -> int:
        """Hold another page above; returns how many rows it added. Rows at the other end may be let go."""
        fresh = [row for row in page.rows if self._identity(row) not in self._places]
        self._rows[:0] = fresh
        self._start -= len(fresh)
        self._number(fresh, self._start)
        if page.rows:
            self._parts.appendleft(_Part(len(fresh), page.first, page.last))
        self.above = page.above
        if not self.above:
            self.base = 0
        elif self.base is not None:
            self.base = max(self.base - len(fresh), 0)
        while len(self._rows) > self._most and len(self._parts) > 1:
            left = len(self._rows) - self._parts.pop().rows
            self._forget(self._rows[left:])
            del self._rows[left:]
            self.below = True
        return len(fresh)

    def replace(self, row: Row) -> bool:
        """Hold a row as it is now, where it stands; returns whether it is held at all."""
        at = self.place(self._identity(row))
        if at is not None:
            self._rows[at] = row
        return at is not None

    def remove(self, identity: Hashable) -> int | None:
        """Let a row go that is no longer there; returns where it stood."""
        at = self.place(identity)
        if at is None:
            return None
        del self._rows[at]
        del self._places[identity]
        self._number(self._rows[at:], self._start + at)
        before = 0
        for part in self._parts:
            if at < before + part.rows:
                part.rows -= 1
                break
            before += part.rows
        return at

    def _take(self, page: Page[Row]) -> None:
        """A row that is held already (its place changed meanwhile) stays where it is."""
        fresh = [row for row in page.rows if self._identity(row) not in self._places]
        if self._before:
            fresh = [old if (old := self._before.get(self._identity(row))) == row else row for row in fresh]
        self._number(fresh, self._start + len(self._rows))
        self._rows += fresh
        if page.rows:
            self._parts.append(_Part(len(fresh), page.first, page.last))

    def _number(self, rows: Sequence[Row], start: int) -> None:
        self._places.update((self._identity(row), start + i) for i, row in enumerate(rows))

    def _forget(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._places.pop(self._identity(row), None)
