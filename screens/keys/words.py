"""What a key's state and rotation are called on a row."""

from __future__ import annotations

from datetime import datetime

from crypto_core.keys.state import KeyState
from crypto_core.text.cleaning import clean
from screens.ages import day
from screens.signs import Sign

UNKNOWN = ("?", "$disabled")


def state_words(key: KeyState, now: datetime) -> tuple[Sign, str]:
    """Return the key's sign, and its state in words."""
    if key.state is None:
        return Sign("○", "$disabled"), "?"
    if key.state == "Enabled":
        return Sign("●", "$success"), "Enabled"
    if key.state == "PendingDeletion":
        on = f"deletion {day(key.deletion_at, now)}" if key.deletion_at else "pending deletion"
        return Sign("✖", "$error"), on
    return Sign("▲", "$warning"), clean(key.state, 40)


def rotation_words(key: KeyState) -> tuple[str, str]:
    """Return whether the key rotates by itself and how often, and a style."""
    if key.rotation_enabled is None:
        return UNKNOWN
    if not key.rotation_enabled:
        return "off", "$muted"
    return (f"{key.rotation_period_days} d" if key.rotation_period_days else "on"), ""
