"""What somebody may have meant who typed a name that isn't there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def meant(typed: str, known: Iterable[str]) -> str:
    """Return "Did you mean NAME? " for the most alike of the `known` names, or "" where none is."""
    names = {name.lower(): name for name in known}
    close = get_close_matches(typed[:100].lower(), names, n=1)
    return f"Did you mean {names[close[0]]}? " if close else ""
