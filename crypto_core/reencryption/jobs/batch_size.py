"""How many tokens a transaction writes: as many as take a tenth of a second, since it holds their rows."""

from __future__ import annotations

MOST, FEWEST, FIRST = 500, 50, 125
HELD_SECONDS = 0.1
"""How long a batch is to hold its rows, so that nobody waits for one of them for twice as long."""


class BatchSize:
    """Goes by how long the last transaction took. For one thread."""

    def __init__(self) -> None:
        self.tokens = FIRST

    def took(self, tokens: int, seconds: float) -> None:
        """Tell how long a transaction over so many tokens took, from its first lock to its end.

        Below FEWEST, what a transaction costs besides would come with each token.
        """
        if seconds > HELD_SECONDS:
            self.tokens = max(FEWEST, min(tokens, self.tokens) // 2)
        elif tokens >= self.tokens and seconds < HELD_SECONDS / 2:
            self.tokens = min(MOST, self.tokens * 2)
