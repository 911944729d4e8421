"""A query under way: looked at until it ends, and stopped when it scans too much or nobody waits any more."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Event

from crypto_core.cancelling import stop_if
from crypto_core.errors import InterruptedRunError, KmsError, TrailError
from crypto_core.text.cleaning import clean
from crypto_core.trail.sources.tally import PullTally

_LOOK_SECONDS = 1.0

Rest = Callable[[Event, float], object]


@dataclass(frozen=True, slots=True)
class QueryStatus:
    """How a query stands. `failure` is set if it came to nothing, `scanned` are bytes so far."""

    scanned: int
    done: bool = False
    failure: str = ""


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """How long a query is waited for: until it has scanned `most` bytes, or `cancelled` is set."""

    most: int
    rest: Rest
    cancelled: Event | None


def run_to_end(
    name: str,
    look: Callable[[], QueryStatus],
    stop: Callable[[], object],
    price: Callable[[int], str],
    patience: QueryLimits,
    tally: PullTally,
) -> None:
    """Return once the query `name` is done. Raises TrailError, InterruptedRunError, KmsError."""
    ended = False
    try:
        while not ended:
            stop_if(patience.cancelled)
            now = look()
            ended = now.done or bool(now.failure)
            _judge(name, now, patience.most)
            if not ended:
                patience.rest(patience.cancelled or Event(), _LOOK_SECONDS)
    except (InterruptedRunError, KmsError, TrailError):
        if not ended:
            with suppress(KmsError):
                stop()
        raise
    tally.note(f"{name} scanned {now.scanned:,} bytes, {price(now.scanned)} at list price.")


def _judge(name: str, now: QueryStatus, most: int) -> None:
    """Raise TrailError for a query that came to nothing, or goes on for too long."""
    if now.failure:
        raise TrailError(
            f"{name}'s query came to nothing: {clean(now.failure, 300)}.",
            remedy="Check the table or store that is set up, and what may read it.",
        )
    if now.scanned > most and not now.done:
        raise TrailError(
            f"{name}'s query was stopped: it had scanned {now.scanned:,} bytes, {most:,} are allowed.",
            remedy="Ask for a shorter window, or allow more with --max-bytes.",
        )
