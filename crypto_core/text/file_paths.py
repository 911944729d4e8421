"""Paths as they are typed."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str) -> Path:
    """Return a path, a ~ at its beginning replaced by the home folder; it stays for a user without one."""
    # Path.expanduser raises for such a user.
    return Path(os.path.expanduser(path))  # noqa: PTH111
