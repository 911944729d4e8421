"""Paths and names as people type them, and what somebody may have meant by a name that isn't there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


def expanded(path: str) -> Path:
    """Return a path, a ~ at its beginning replaced by the home folder; it stays for a user without one."""
    # Path.expanduser raises for such a user.
    return Path(os.path.expanduser(path))  # noqa: PTH111


def meant(typed: str, known: Iterable[str]) -> str:
    """Return "Did you mean NAME? " for the most alike of the `known` names, or "" where none is."""
    names = {name.lower(): name for name in known}
    close = get_close_matches(typed[:100].lower(), names, n=1)
    return f"Did you mean {names[close[0]]}? " if close else ""
