"""What a query of an engine's scans: what that is expected to cost, how much is allowed, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import Protocol

from crypto_core.cancelling import stop_if
from crypto_core.errors import InterruptedRunError, KmsError, QueryLimitError, RefusedError, TrailError
from crypto_core.text.cleaning import clean

MOST_SCANNED = 100 * 10**9
"""Bytes that a query may scan unless the operator says otherwise."""
_LOOK_SECONDS = 1.0

Rest = Callable[[Event, float], object]
"""Waits so many seconds, or until the event is set."""


@dataclass(frozen=True, slots=True)
class QueryStatus:
    """How a query stands. `failure` is set if it came to nothing, `scanned` are bytes so far."""

    scanned: int
    done: bool = False
    failure: str = ""

    def check(self, name: str, most: int) -> None:
        """Raise TrailError for a query that came to nothing, QueryLimitError for one that scans too much."""
        if self.failure:
            raise TrailError(
                f"{name}'s query came to nothing: {clean(self.failure, 300)}.",
                remedy="Check the table or store that is set up, and what may read it.",
            )
        if self.scanned > most and not self.done:
            raise QueryLimitError(
                f"{name}'s query was stopped: it had scanned {self.scanned:,} bytes, {most:,} are allowed."
            )


class Engine(Protocol):
    """A query engine that charges for what it scans."""

    name: str

    def price(self, count: int) -> str:
        """What scanning so many bytes costs."""

    def query_status(self, execution: str) -> QueryStatus:
        """Return how a run stands."""

    def stop_query(self, execution: str) -> None:
        """Stop a run."""


def expected_cost(engine: Engine, scanned: int | None, most: int) -> str:
    """Say what a query is expected to scan and cost. Raises RefusedError if more than allowed."""
    if scanned is not None and scanned > most:
        raise RefusedError(
            f"The query would scan about {size(scanned)}; {size(most)} are allowed.",
            remedy="Ask for a shorter window, or allow more with --max-bytes.",
        )
    expected = (
        f"expected to scan about {size(scanned)}, {engine.price(scanned)}"
        if scanned is not None
        else "how much it scans is not known before"
    )
    return (
        f"{engine.name}: {expected}; it is stopped beyond {size(most)}, {engine.price(most)}. "
        "List prices; they vary by Region."
    )


def run_to_end(engine: Engine, execution: str, most: int, cancelled: Event | None, rest: Rest) -> int:
    """Wait for a query, return its bytes; stop it if it scans too much. Raises TrailError, KmsError."""
    ended = False
    try:
        while not ended:
            stop_if(cancelled)
            now = engine.query_status(execution)
            ended = now.done or bool(now.failure)
            now.check(engine.name, most)
            if not ended:
                rest(cancelled or Event(), _LOOK_SECONDS)
    except (InterruptedRunError, KmsError, TrailError):
        if not ended:
            with suppress(KmsError):
                engine.stop_query(execution)
        raise
    return now.scanned


def cost_of(engine: Engine, scanned: int) -> str:
    """Return what a query cost that scanned so many bytes, as a sentence."""
    return f"{engine.name} scanned {scanned:,} bytes, {engine.price(scanned)} at list price."


def size(count: int) -> str:
    """Bytes as an operator reads them, in powers of ten."""
    number = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1_000:
            return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"
        number /= 1_000
    return f"{number:,.1f} TB"
