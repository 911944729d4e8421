"""The tokens of one column that something has picked, as SQL: to be counted or listed where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crypto_core.database.tokens.tables import TokenColumn


@dataclass(frozen=True, slots=True)
class Picked:
    """`ids` selects the rows' ids, as "id", in their own type; `but` are ids as text that are left out."""

    column: TokenColumn
    ids: Any
    but: tuple[str, ...] = ()
