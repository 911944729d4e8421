"""Repeats transactions that PostgreSQL rolled back for another one's sake.

Of two transactions that can't both be done PostgreSQL rolls one back whole, also at its commit. PostgreSQL
documentation, section 13.5, "Serialization Failure Handling".
"""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from crypto_core.errors import DatabaseError, DatabaseUnreachableError

TRIES = 8
FIRST_WAIT_SECONDS = 0.01

_ROLLED_BACK = ("40001", "40P01")
"""A serialization failure, a deadlock."""

_log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


def repeated_if_rolled_back(transaction: Callable[P, R]) -> Callable[P, R]:
    """Repeat a whole transaction that was rolled back for another's sake.

    Besides the transaction it may do nothing that must not be done twice. Raises what the last try raised.
    """

    @functools.wraps(transaction)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> R:
        wait = FIRST_WAIT_SECONDS
        for _ in range(TRIES - 1):
            try:
                return transaction(*args, **kwargs)
            except DatabaseError as error:
                if error.sqlstate not in _ROLLED_BACK:
                    raise
                _log.info("Done again: %s", error.message)
            time.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, no secret
            wait *= 2
        return transaction(*args, **kwargs)

    return repeated


def repeated_if_cut_off(read: Callable[P, R]) -> Callable[P, R]:
    """Read once more if the session was closed meanwhile; `read` may change nothing."""

    @functools.wraps(read)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return read(*args, **kwargs)
        except DatabaseUnreachableError as error:
            _log.info("Read again: %s", error.message)
        return read(*args, **kwargs)

    return repeated
