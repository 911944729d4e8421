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


def list_lines(
    keys: Sequence[KeyState], status: Status | None, write_key: str | None, now: datetime, width: int
) -> list[Line]:
    """A heading and a line for each key: those with most tokens first, then by name."""
    words = KeyWords(keys)
    ordered = sorted(keys, key=lambda k: (-(status.tokens_under(k.key_arn) if status else 0), k.name))
    wide = width >= 110
    name_width = width - 2 - 18 - 10 - 9 - 14 - (20 + 12 if wide else 0) - (7 if wide else 0)
    heading = (
        fit("  key", name_width + 2)
        + fit("state", 18)
        + (fit("spec", 20) if wide else "")
        + fit("rotation", 14)
        + (fit("material", 7 + 3) if wide else "")
        + fit("tokens", 9, right=True)
        + "  "
        + fit("last used", 10 if not wide else 19)
    )
    lines = [Line(Content.assemble((heading, "$muted")))]
    for key in ordered:
        sign, state, style = state_words(key, now)
        count = status.tokens_under(key.key_arn) if status else None
        parts: list[str | tuple[str, str]] = [
            (f"{sign} ", style),
            (fit(words.long(key.key_arn), name_width), "bold"),
            (fit(state, 18), style if style != "$success" else ""),
        ]
        if wide:
            parts.append(fit(clean(key.spec) or "?", 20))
        rotation, rotation_style = rotation_words(key)
        parts.append((fit(rotation, 14), rotation_style))
        if wide:
            generation = words.generation(key.key_arn, key.current_material_id)
            parts.append((fit(generation or "?", 10), "" if generation else "$disabled"))
        parts += [
            (fit("?" if count is None else f"{count:,}", 9, right=True), "" if count else "$muted"),
            "  ",
        ]
        used, used_style = last_used(key, now)
        parts.append((fit(used, 10 if not wide else 19), used_style))
        lines.append(Line(Content.assemble(*parts), KeyBehind(key.key_arn), hint=_hint(key)))
    return lines


def _hint(key: KeyState) -> str:
    if key.missing:
        part, reason = next(iter(key.missing.items()))
        return f"{clean(part)}: {clean(reason)} Enter: more."
    return "Enter: the key, its materials and its rotation."


def state_words(key: KeyState, now: datetime) -> tuple[str, str, str]:
    """The key's sign, its state in words, and their style."""
    if key.state is None:
        return "○", "?", "$disabled"
    if key.state == "Enabled":
        return "●", "Enabled", "$success"
    if key.state == "PendingDeletion":
        until = f" {day(key.deletion_at, now)}" if key.deletion_at else ""
        return "✖", f"deletion{until}", "$error"
    return "▲", clean(key.state, 40), "$warning"


def rotation_words(key: KeyState) -> tuple[str, str]:
    """Whether the key rotates by itself, and how often."""
    if key.rotation_enabled is None:
        return "?", "$disabled"
    if not key.rotation_enabled:
        return "off", "$muted"
    return (f"{key.rotation_period_days} d" if key.rotation_period_days else "on"), ""


def last_used(key: KeyState, now: datetime) -> tuple[str, str]:
    """When KMS last saw the key used."""
    if key.last_used_at is None:
        return "?", "$disabled"
    return ago(key.last_used_at, now), "$muted"
