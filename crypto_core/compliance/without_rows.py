"""Texts without the rows that they name: evidence says which column and how many, never whose token."""

from __future__ import annotations

import re
from collections.abc import Iterable

from crypto_core.text.cleaning import CleanText, clean
from crypto_core.text.counting import counted

_ROW = re.compile(
    r"(?<![\w:/.@%-])(?!arn:|aws:|https?:|s3:|kms:)(?P<place>[A-Za-z_][\w.%*-]*):(?=[^\s:/]).*", re.DOTALL
)
"""`table.column:row-id` or `table:row-id`, and whatever follows: an id may hold anything."""
_ADDRESS = re.compile(r"[^\s@<>(),;:/]+@[^\s@<>(),;:/]+\.[^\s@<>(),;:/]+")


def without_rows(text: str, limit: int = 600) -> CleanText:
    """Return a text in which a row's id, and all behind it, is left out, and e-mail addresses are."""
    return clean(_ADDRESS.sub("(address)", _ROW.sub(r"\g<place> (a row)", text)), limit)


def counted_by_column(references: Iterable[str]) -> str:
    """Return how many tokens references name, by column: `gh_connection.access_token: 12 tokens`."""
    numbers: dict[str, int] = {}
    for one in references:
        place = one.partition(":")[0]
        numbers[place] = numbers.get(place, 0) + 1
    return ", ".join(f"{place}: {counted(number, 'token')}" for place, number in sorted(numbers.items()))
