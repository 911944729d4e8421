"""What a source can't give, in a few words."""

from __future__ import annotations

from crypto_core.errors import KeydeckError, KmsAccessDeniedError


def why(error: KeydeckError) -> str:
    """Return why something is missing: the permission, or what AWS said."""
    if isinstance(error, KmsAccessDeniedError):
        return f"{error.action} is not allowed."
    return error.message
