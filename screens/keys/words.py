"""What a key's state and rotation are called on a row."""

from __future__ import annotations

from datetime import datetime

from crypto_core.keys.state import KeyState
from crypto_core.text.cleaning import clean
from screens.ages import day

UNKNOWN = ("?", "$disabled")


def state_words(key: KeyState, now: datetime) -> tuple[str, str, str]:
    """Return the key's sign, its state in words, and their style."""
    if key.state is None:
        return "○", "?", "$disabled"
    if key.state == "Enabled":
        return "●", "Enabled", "$success"
    if key.state == "PendingDeletion":
        return (
            "✖",
            f"deletion {day(key.deletion_at, now)}" if key.deletion_at else "pending deletion",
            "$error",
        )
    return "▲", clean(key.state, 40), "$warning"


def rotation_words(key: KeyState) -> tuple[str, str]:
    """Return whether the key rotates by itself and how often, and a style."""
    if key.rotation_enabled is None:
        return UNKNOWN
    if not key.rotation_enabled:
        return "off", "$muted"
    return (f"{key.rotation_period_days} d" if key.rotation_period_days else "on"), ""
