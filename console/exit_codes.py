"""What a command ends with."""

from __future__ import annotations


def exit_code(error: Exception) -> int:
    """Return the exit code for an error of ours."""
    from crypto_core import errors as e

    if isinstance(error, e.InterruptedRunError):
        return 130
    if isinstance(error, e.RowVanishedError | e.EventVanishedError):
        return 2
    if isinstance(
        error, e.KmsError | e.DatabaseError | e.TrailError | e.MissingPermissionError | e.ProviderError
    ):
        return 3
    if isinstance(error, e.EnvelopeError | e.InvalidTokenError | e.EvidenceError | e.ApprovalNeededError):
        return 1
    return 2
