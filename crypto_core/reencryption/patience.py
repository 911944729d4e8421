"""What a run does when KMS throttles or fails for a moment: it holds back, waits, and asks again.

botocore has tried each call several times by then. KMS's quota is shared with production, so the wait grows
while nothing gets through (AWS Architecture Blog, "Exponential Backoff And Jitter").
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from threading import Event
from typing import TypeVar

from crypto_core.database.tokens.store import StoredToken
from crypto_core.errors import (
    KeydeckError,
    KeyUnavailableError,
    KmsDependencyTimeoutError,
    KmsError,
    KmsInternalError,
    KmsThrottledError,
)

_PASSING = (KmsThrottledError, KmsInternalError, KmsDependencyTimeoutError, KeyUnavailableError)

T = TypeVar("T")

ROUNDS = 4
"""How often a run waits without any token getting through before it gives up."""
FIRST_WAIT_SECONDS = 0.4
LONGEST_WAIT_SECONDS = 8.0


def is_passing(error: KeydeckError | None) -> bool:
    """True for a failure that is worth waiting out."""
    return isinstance(error, _PASSING)


def ask_patiently(
    pool: Executor,
    ask: Callable[[StoredToken], T | KmsError],
    tokens: Sequence[StoredToken],
    cancelled: Event | None,
) -> Iterator[list[T]]:
    """Ask KMS about tokens, and give the outcomes round by round: what fails for a moment is asked again.

    `ask` returns the KmsError of a token that has no outcome. Ends once `cancelled` is set. Raises the
    KmsError that waiting does not mend.
    """
    stop = cancelled or Event()
    patience = Patience(stop)
    while tokens and not stop.is_set():
        held = Event()

        def one(token: StoredToken, held: Event = held) -> T | KmsError | None:
            if held.is_set() or stop.is_set():
                return None
            outcome = ask(token)
            if isinstance(outcome, KmsError):
                held.set()
            return outcome

        outcomes = list(pool.map(one, tokens))
        done = [o for o in outcomes if o is not None and not isinstance(o, KmsError)]
        yield done
        failed = [o for o in outcomes if isinstance(o, KmsError)]
        if failed and not (all(map(is_passing, failed)) and patience.wait(progress=bool(done))):
            if stop.is_set():
                return
            raise next((error for error in failed if not is_passing(error)), failed[0])
        tokens = [t for t, o in zip(tokens, outcomes, strict=True) if o is None or isinstance(o, KmsError)]


class Patience:
    """Counts the rounds in which nothing got through."""

    def __init__(self, cancelled: Event | None = None) -> None:
        self._cancelled = cancelled or Event()
        self._in_vain = 0

    def wait(self, *, progress: bool) -> bool:
        """Wait before the next round. Returns False if there is no point in one: cancelled, or in vain."""
        self._in_vain = 0 if progress else self._in_vain + 1
        if self._in_vain > ROUNDS:
            return False
        seconds = min(FIRST_WAIT_SECONDS * 2**self._in_vain, LONGEST_WAIT_SECONDS)
        return not self._cancelled.wait(seconds * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, no secret
