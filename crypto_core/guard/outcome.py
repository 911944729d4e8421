"""Outcomes of changes, in the journal's words."""

from __future__ import annotations

from enum import StrEnum

from crypto_core.errors import (
    ConflictError,
    DatabaseError,
    InterruptedRunError,
    KeydeckError,
    KeyDisabledError,
    KeyNotFoundError,
    KeyStateError,
    KmsError,
    MissingSchemaError,
    ProviderError,
    RowVanishedError,
    TrailError,
    UntrustedKeyError,
)

_OUTSIDE = (KmsError, DatabaseError, ProviderError, TrailError)
"""What says that something outside did not do its part, and nothing of whether it may be done."""
_OURS = (
    MissingSchemaError,
    RowVanishedError,
    ConflictError,
    UntrustedKeyError,
    KeyNotFoundError,
    KeyDisabledError,
    KeyStateError,
)
"""Those of them that will fail again however often the change is tried."""


class Outcome(StrEnum):
    """How a requested change ended."""

    STARTED = "started"
    DONE = "done"
    DRY_RUN = "dry run"
    REFUSED = "refused"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


def ended_by(error: BaseException) -> Outcome:
    """Return how something ended by an error: interrupted, refused by a rule of ours, or failed."""
    if isinstance(error, InterruptedRunError) or not isinstance(error, Exception):
        return Outcome.INTERRUPTED
    refused = isinstance(error, KeydeckError) and (
        isinstance(error, _OURS) or not isinstance(error, _OUTSIDE)
    )
    return Outcome.REFUSED if refused else Outcome.FAILED
