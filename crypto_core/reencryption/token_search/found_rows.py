"""What a search has found so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from time import monotonic

from crypto_core.database.tokens.store import StoredToken
from crypto_core.reencryption.bulk.ports import Opened
from crypto_core.reencryption.plan import RunProgress
from crypto_core.reencryption.token_search.matching import TokenMatcher
from crypto_core.reencryption.token_search.result import OldValue, UnopenedToken
from crypto_core.references import TokenRef
from crypto_core.secret import Secret

EXAMPLES = 20
"""Values that could not be compared and are named."""


@dataclass(slots=True)
class FoundRows:
    """What is found so far.

    One thread reads and compares what is no envelope while another one is told what opened. `values` are the
    stored values that hold a token, with its number.
    """

    matcher: TokenMatcher
    progress: Callable[[RunProgress], None] | None
    rows: dict[int, set[TokenRef]]
    values: list[tuple[int, TokenRef, bytes]] = field(default_factory=list)
    total: int = 0
    compared: int = 0
    unopened: int = 0
    examples: list[UnopenedToken] = field(default_factory=list)
    started: float = field(default_factory=monotonic)
    moments: Mapping[tuple[TokenRef, bytes], datetime] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def apart(self) -> FoundRows:
        """For other values of the same rows: nothing is found of them yet, and no progress is told."""
        return FoundRows(self.matcher, None, {number: set() for number in self.rows})

    def look_at(self, stored: StoredToken, token: Secret) -> bool:
        """Note it if a token is one of those wanted; returns whether it is."""
        numbers = self.matcher.numbers(token)
        with self.lock:
            for number in numbers:
                self.rows[number].add(stored.ref)
                self.values.append((number, stored.ref, stored.digest))
        return bool(numbers)

    def replaced(self) -> dict[int, tuple[OldValue, ...]]:
        """The values as replaced ones, by the number of their token, but for rows that hold it still."""
        old: dict[int, set[OldValue]] = {}
        for number, ref, digest in self.values:
            if ref not in self.rows[number] and (ref, digest) in self.moments:
                old.setdefault(number, set()).add(OldValue(ref, self.moments[ref, digest]))
        return {n: tuple(sorted(v, key=lambda one: (one.ref, one.replaced_at))) for n, v in old.items()}

    def count(self, compared: int) -> None:
        with self.lock:
            self.compared += compared

    def could_not_open(self, ref: TokenRef, reason: str) -> None:
        with self.lock:
            self.unopened += 1
            if len(self.examples) < EXAMPLES:
                self.examples.append(UnopenedToken(ref, reason))

    def hear(self, found: Sequence[Opened]) -> None:
        self.count(sum(one.verification.opened for one in found))
        for one in found:
            if not one.verification.opened:
                self.could_not_open(one.verification.ref, one.verification.reason)
        self.tell()

    def tell(self) -> None:
        if self.progress is not None:
            seconds = monotonic() - self.started
            self.progress(RunProgress(self.total, self.compared, self.unopened, 0, seconds))
