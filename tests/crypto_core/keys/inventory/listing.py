"""One key of the list."""

from __future__ import annotations

from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.state import KeyState


def listed(keys: KeyInventory, arn: str) -> KeyState:
    (found,) = [state for state in keys.list() if state.key_arn == arn]
    return found
