"""What a command ends with."""

from __future__ import annotations

from collections.abc import Mapping

EXIT_CODES: Mapping[int, str] = {
    0: "done",
    1: "the answer is not well",
    2: "wrong usage or settings",
    3: "something outside failed (database, AWS, provider)",
    130: "interrupted",
}
"""What each means; whatever a signal ends has 128 and the signal's number."""


def exit_codes_text() -> str:
    return f"Exit codes: {', '.join(f'{code} {words}' for code, words in EXIT_CODES.items())}."


def exit_code(error: Exception) -> int:
    from crypto_core.values import errors as e

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
