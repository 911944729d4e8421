"""How many tokens a transaction writes: as many as it may hold rows for, from its first lock to its end.

A transaction takes some statements, however few its tokens: to a server that is far away, or from a host
whose processors are busy, fewer tokens would make nothing shorter, and each of them dearer. What remains goes
by the token. Both are medians of late: a packet that is lost once says nothing of the next transaction.
"""

from __future__ import annotations

from collections import deque
from statistics import median

MOST, FIRST = 500, 32
HELD_SECONDS = 0.08
"""How long a transaction is to hold its rows, so that nobody waits for one of them for twice as long."""
STATEMENTS = 7
"""What a transaction sends while it holds rows: it locks, writes, backs up, reads back, looks for rows of
others, counts, commits."""


class BatchSize:
    """Goes by how long transactions took of late. For one thread."""

    def __init__(self) -> None:
        self.tokens = FIRST
        self._statements: deque[float] = deque(maxlen=9)
        """Seconds that a statement took which reads one row, waiting for a processor included."""
        self._by_token: deque[float] = deque(maxlen=5)
        """Seconds that a token took beside them."""

    def took(self, tokens: int, seconds: float, *, one_statement: float = 0.0) -> None:
        """Tell for how long a transaction held so many tokens, and what a statement took that reads one row.

        Many tokens that took too long are followed by as many as would have had the time. Of few tokens a
        single transaction says little. While there is time, each is followed by twice as many. Where the
        statements alone take long, tokens may add half of that.
        """
        if not tokens:
            return
        self._statements.append(one_statement)
        waits = STATEMENTS * median(self._statements)
        room = max(HELD_SECONDS - waits, HELD_SECONDS / 2, waits / 2)
        beside = max(seconds - waits, 1e-6)
        if beside <= room and tokens < self.tokens:
            return
        if beside > room and tokens >= FIRST:
            self._by_token.clear()
        self._by_token.append(beside / tokens)
        self.tokens = max(1, min(MOST, self.tokens * 2, int(room / median(self._by_token))))
