"""Capabilities that are left out of this tree: what names something of theirs is excused."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.capabilities import OWN, OWN_ENGINES

ROOT = Path(__file__).resolve().parents[1]
CAPABILITIES = sorted({*OWN.values(), *OWN_ENGINES.values()})
FLOORS_BELOW = {
    "evidence": ("screens/compliance", "crypto_core/compliance"),
    "forensics": ("screens/forensics", "crypto_core/forensics"),
    "service": ("crypto_core/notices",),
    "engines": ("crypto_core/trail/sources/engines",),
}


def folders_of(name: str) -> tuple[str, ...]:
    """Return the folders of a capability; its tests stand in the same ones below `tests`."""
    return (f"console/{name}", *FLOORS_BELOW.get(name, ()))


GONE = tuple(
    f"{folder}/" for name in CAPABILITIES for folder in folders_of(name) if not (ROOT / folder).exists()
)


def needs(*capabilities: str) -> pytest.MarkDecorator:
    """Return what skips a test where one of the capabilities is not here."""
    missing = [name for name in capabilities if not (ROOT / "console" / name).exists()]
    return pytest.mark.skipif(bool(missing), reason=f"left out: {', '.join(missing)}")


def is_left_out(path: str) -> bool:
    """Whether a path below the tree, or below `tests`, is one of a capability that is not here."""
    return path.startswith(GONE)
