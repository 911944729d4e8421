"""How many tokens a transaction writes: as many as it may hold rows for, from its first lock to its end.

A transaction takes some statements, however few its tokens: to a server that is far away fewer tokens would
make nothing shorter, and each of them dearer. What remains goes by the token.
"""

from __future__ import annotations

from math import inf

MOST, FIRST = 500, 32
HELD_SECONDS = 0.08
"""How long a transaction is to hold its rows, so that nobody waits for one of them for twice as long."""
STATEMENTS = 6
"""What a transaction sends while it holds rows: it locks, writes, backs up, reads back, counts, commits."""


class BatchSize:
    """Goes by how long the last transaction took. For one thread."""

    def __init__(self) -> None:
        self.tokens = FIRST
        self._statement = inf
        """Seconds that a statement takes which reads one row: the least of late, as noise only adds to it."""

    def took(self, tokens: int, seconds: float, *, one_statement: float = 0.0) -> None:
        """Tell for how long a transaction held so many tokens, and what a statement took that reads one row.

        A transaction that took too long is followed by one of as many tokens as it could have held; then
        they are doubled for as long as there is time.
        """
        if not tokens:
            return
        self._statement = min(one_statement, self._statement * 1.1)
        waits = min(STATEMENTS * self._statement, seconds * 0.9)
        room = max(HELD_SECONDS - waits, HELD_SECONDS / 2)
        fitting = int(tokens * room / max(seconds - waits, 1e-6))
        if seconds - waits > room:
            self.tokens = max(1, min(self.tokens, fitting))
        elif tokens >= self.tokens:
            self.tokens = min(MOST, self.tokens * 2, max(self.tokens, fitting))
