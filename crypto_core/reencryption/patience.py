"""What a run does when KMS throttles or fails for a moment: it holds back, waits, and asks again.

botocore has tried each call several times by then. KMS's quota is shared with production, so the wait grows
while nothing gets through (AWS Architecture Blog, "Exponential Backoff And Jitter").
"""

from __future__ import annotations

import random
from threading import Event

from crypto_core.errors import (
    KeydeckError,
    KeyUnavailableError,
    KmsDependencyTimeoutError,
    KmsInternalError,
    KmsThrottledError,
)

_PASSING = (KmsThrottledError, KmsInternalError, KmsDependencyTimeoutError, KeyUnavailableError)

ROUNDS = 4
"""How often a run waits without any token getting through before it gives up."""
FIRST_WAIT_SECONDS = 0.4
LONGEST_WAIT_SECONDS = 8.0


def is_passing(error: KeydeckError | None) -> bool:
    """True for a failure that is worth waiting out."""
    return isinstance(error, _PASSING)


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
