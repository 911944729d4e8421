"""Capabilities that are left out of this tree: what names something of theirs is excused."""

from __future__ import annotations

from pathlib import Path

from console.capabilities import OWN

ROOT = Path(__file__).resolve().parents[1]
_GONE = tuple(f"console/{name}/" for name in set(OWN.values()) if not (ROOT / "console" / name).exists())


def is_left_out(path: str) -> bool:
    """Whether a path below the tree, or below `tests`, is one of a capability that is not here."""
    return path.startswith(_GONE)
