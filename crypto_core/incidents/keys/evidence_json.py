"""Evidence as JSON: its texts are cleaned and bounded, and it lists what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from typing import Any

from crypto_core.values.clean_text import clean

MOST_TEXT = 2_000
MOST_ITEMS = 1_000
MOST_DEEP = 12


def kept(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content as it is kept. `left_out` names the lists of which not all is."""
    left_out: list[str] = []
    found = {
        clean(name, 200): _plain(value, clean(name, 200), left_out, 1) for name, value in content.items()
    }
    return found | {"left_out": left_out}


def _plain(value: Any, path: str, left_out: list[str], depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Enum):
        return clean(value.value, MOST_TEXT)
    if depth > MOST_DEEP:
        left_out.append(f"{path}: nested too deeply")
        return None
    if isinstance(value, Mapping):
        items = list(value.items())
        _note(path, len(items), left_out)
        return {
            (key := clean(name, 300)): _plain(one, f"{path}.{key}", left_out, depth + 1)
            for name, one in items[:MOST_ITEMS]
        }
    if isinstance(value, list | tuple | set | frozenset):
        entries = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
        _note(path, len(entries), left_out)
        return [_plain(one, path, left_out, depth + 1) for one in entries[:MOST_ITEMS]]
    return clean(value, MOST_TEXT)


def _note(path: str, number: int, left_out: list[str]) -> None:
    if number > MOST_ITEMS:
        left_out.append(f"{path}: {number - MOST_ITEMS:,} of {number:,} entries")
