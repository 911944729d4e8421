"""Outcomes of changes, in the journal's words."""

from __future__ import annotations

from enum import StrEnum

from crypto_core import errors

_OUTSIDE = (errors.KmsError, errors.DatabaseError, errors.ProviderError, errors.TrailError)
"""Something outside did not do its part, which refuses nothing."""
_OURS = (
    errors.MissingSchemaError,
    errors.RowVanishedError,
    errors.ConflictError,
    errors.UntrustedKeyError,
    errors.KeyNotFoundError,
    errors.KeyDisabledError,
    errors.KeyStateError,
)
"""Those that fail again however often the change is tried."""


class Outcome(StrEnum):
    STARTED = "started"
    DONE = "done"
    DRY_RUN = "dry run"
    REFUSED = "refused"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


def ended_by(error: BaseException) -> Outcome:
    """Return how something ended by an error: interrupted, refused by a rule of ours, or failed."""
    if isinstance(error, errors.InterruptedRunError) or not isinstance(error, Exception):
        return Outcome.INTERRUPTED
    refused = isinstance(error, errors.KeydeckError) and (
        isinstance(error, _OURS) or not isinstance(error, _OUTSIDE)
    )
    return Outcome.REFUSED if refused else Outcome.FAILED
