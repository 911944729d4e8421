"""A column of the team's own: a field of the row, or what stands deeper in it, also inside of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crypto_core.values.clean_text import CleanText, clean, cleans

NOTHING, UNREADABLE = "-", "?"
TEXT_LIMIT = 200


@dataclass(frozen=True, slots=True)
@cleans(200, raw=("path",))
class OwnColumn:
    """What a column is called, the lists that have it, and the names that lead from a row to its value."""

    name: CleanText
    heading: CleanText
    lists: tuple[str, ...]
    path: tuple[str, ...]

    def text(self, record: Mapping[str, Any]) -> CleanText:
        """Return the value in a row as it is exported: "-" where there is none, "?" where it can't be told.

        A text on the way is read as JSON; one that was cut, since it is long, can't be.
        """
        value: Any = record
        for name in self.path:
            try:
                value = _inside(value, name)
            except (ValueError, RecursionError):
                return clean(UNREADABLE)
        if value is None or value == "":
            return clean(NOTHING)
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return clean(shown, TEXT_LIMIT)


def _inside(value: Any, name: str) -> Any:
    """What a value has under a name, or at a number; None where it has nothing there. Raises ValueError."""
    if isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, Mapping):
        return value.get(name)
    if isinstance(value, list | tuple) and name.isascii() and name.isdigit() and int(name) < len(value):
        return value[int(name)]
    return None
