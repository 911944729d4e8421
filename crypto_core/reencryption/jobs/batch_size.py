"""How many tokens a transaction writes: as many as it may hold rows for, from its first lock to its end.

A transaction takes some statements, however few its tokens: to a server that is far away, or from a host
whose processors are busy, fewer tokens would make nothing shorter, and each of them dearer. What remains goes
by the token.
"""

from __future__ import annotations

MOST, FIRST = 500, 32
HELD_SECONDS = 0.08
"""How long a transaction is to hold its rows, so that nobody waits for one of them for twice as long."""
STATEMENTS = 6
"""What a transaction sends while it holds rows: it locks, writes, backs up, reads back, counts, commits."""
_NEWS = 0.2
"""How much a transaction counts against those before it."""


class BatchSize:
    """Goes by how long transactions took of late. For one thread."""

    def __init__(self) -> None:
        self.tokens = FIRST
        self._statement: float | None = None
        """Seconds that a statement takes which reads one row, waiting for a processor included: a mean."""
        self._written, self._spent = 0.0, 0.0
        """Tokens of late, and the seconds that went into them: a single transaction says little."""

    def took(self, tokens: int, seconds: float, *, one_statement: float = 0.0) -> None:
        """Tell for how long a transaction held so many tokens, and what a statement took that reads one row.

        A transaction that took too long is followed by one of as many tokens as it could have held; then
        they are doubled for as long as there is time.
        """
        if not tokens:
            return
        before = one_statement if self._statement is None else self._statement
        self._statement = before + (one_statement - before) * _NEWS
        waits = STATEMENTS * self._statement
        self._written = self._written * (1 - _NEWS) + tokens
        self._spent = self._spent * (1 - _NEWS) + seconds - waits
        waits = min(waits, seconds * 0.9)
        room = max(HELD_SECONDS - waits, HELD_SECONDS / 2)
        fitting = int(tokens * room / max(seconds - waits, 1e-6))
        if seconds - waits > room:
            # Of a few tokens noise tells as much as they do; of many it is the server that has become slow.
            of_late = int(self._written * room / max(self._spent, 1e-6)) if tokens < FIRST else 0
            self.tokens = max(1, min(self.tokens, max(fitting, of_late)))
        elif tokens >= self.tokens:
            self.tokens = min(MOST, self.tokens * 2, max(self.tokens, fitting))
