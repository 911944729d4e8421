"""How texts are looked for in a copy in Parquet: exactly as in memory.

A column has far fewer texts than events: they are looked at one by one, as `passes` does, and those that are
meant are looked for in the column. Every text is a bound value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from crypto_core.lists.filter_language import Alternative, Term
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.event_sql.conditions import BoundValues

_OTHERWISE = ("key", "material")
"""Columns whose texts are asked for in ways that do not stand in them, or hold several values."""


@dataclass(frozen=True, slots=True)
class AmongTexts:
    """An `Among`. `texts` gives the texts of a column: all, or at least those that have one of some parts."""

    texts: Callable[[str, Sequence[str]], Sequence[str]]

    def __call__(
        self,
        column: str,
        term: Term,
        aliases: Mapping[str, Sequence[str]],
        bound: BoundValues,
        *,
        anywhere: bool = False,
    ) -> str:
        values, spellings = term.alternatives, EVENT_FIELDS[column].spellings

        def meant(text: str) -> bool:
            ways = spellings(text, aliases)
            return any(value.matches(way, anywhere=anywhere) for way in ways for value in values)

        if any(value.is_anything for value in values):
            return f"\"{column}\" <> ''"
        parts = [] if column in _OTHERWISE else [_telling(value) for value in values]
        wanted = [t for t in self.texts(column, parts if all(parts) else ()) if t and meant(t)]
        return f'"{column}" IN (SELECT unnest({bound.bind(wanted)}::VARCHAR[]))' if wanted else "false"


def _telling(value: Alternative) -> str:
    """A part that every text has in it which a value means, in small letters; "" where there is none."""
    part = max(value.parts, key=len) if value.is_text else ""
    return part.lower() if part.isascii() else ""
