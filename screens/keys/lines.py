"""The list of keys as lines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from textual.content import Content

from crypto_core.foreign import clean
from crypto_core.keys.state import KeyState
from crypto_core.keys.status import Status
from screens.ages import ago, day
from screens.key_words import KeyWords
from screens.routes import KeyBehind
from screens.widgets.cells import fit
from screens.widgets.line_list import Line

_STATE = 20
_SPEC = 20
_ROTATION = 10
_MATERIAL = 10
_TOKENS = 8
_USED = 12
WIDE = 105
"""From this width on there is room for the key's spec and current material."""

_UNKNOWN = ("?", "$disabled")


def list_lines(keys: Sequence[KeyState], status: Status | None, now: datetime, width: int) -> list[Line]:
    """Return a heading and a line for each key, those with most tokens first. What isn't known is "?"."""
    words = KeyWords(keys)
    ordered = sorted(keys, key=lambda k: (-(status.tokens_under(k.key_arn) if status else 0), k.name))
    more = _SPEC + _MATERIAL if width >= WIDE else 0
    name_width = width - 2 - _STATE - _ROTATION - _TOKENS - 2 - _USED - more
    heading = (
        fit("  key", name_width + 2)
        + fit("state", _STATE)
        + (fit("spec", _SPEC) if more else "")
        + fit("rotation", _ROTATION)
        + (fit("material", _MATERIAL) if more else "")
        + fit("tokens", _TOKENS, right=True)
        + "  "
        + fit("last used", _USED)
    )
    return [
        Line(Content.assemble((heading, "$muted"))),
        *(
            Line(
                _row(key, words, status, now, name_width, wide=bool(more)), KeyBehind(key.key_arn), _hint(key)
            )
            for key in ordered
        ),
    ]


def _row(
    key: KeyState, words: KeyWords, status: Status | None, now: datetime, name_width: int, *, wide: bool
) -> Content:
    sign, state, style = state_words(key, now)
    count = status.tokens_under(key.key_arn) if status else None
    generation = words.generation(key.key_arn, key.current_material_id)
    cells: list[tuple[tuple[str, str], int]] = [
        ((words.long(key.key_arn), "bold"), name_width),
        ((state, style if style != "$success" else ""), _STATE),
        ((clean(key.spec), "") if key.spec else _UNKNOWN, _SPEC if wide else 0),
        (rotation_words(key), _ROTATION),
        ((generation, "") if generation else _UNKNOWN, _MATERIAL if wide else 0),
    ]
    return Content.assemble(
        (f"{sign} ", style),
        *((fit(text, cell), text_style) for (text, text_style), cell in cells),
        (fit("?" if count is None else f"{count:,}", _TOKENS, right=True), "bold" if count else "$muted"),
        "  ",
        (fit(ago(key.last_used_at, now), _USED), "") if key.last_used_at else (fit("?", _USED), "$disabled"),
    )


def _hint(key: KeyState) -> str:
    if key.missing:
        part, reason = next(iter(key.missing.items()))
        return f"Enter: the whole key. {clean(part)}: {clean(reason)}"
    return "Enter: the whole key, asked anew."


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
        return _UNKNOWN
    if not key.rotation_enabled:
        return "off", "$muted"
    return (f"{key.rotation_period_days} d" if key.rotation_period_days else "on"), ""
