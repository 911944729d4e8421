"""Token references: `table.column:row-id` names one token, `table:row-id` every token of a row."""

from __future__ import annotations

import re
from dataclasses import dataclass

from crypto_core.errors import InvalidReferenceError
from crypto_core.text.cleaning import clean

SHORT = 20
"""Characters up to which no provider's token is."""

_REFERENCE = re.compile(r"(?P<table>[A-Za-z_]\w*)(?:\.(?P<column>[A-Za-z_]\w*))?:(?P<row>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class TokenRef:
    """One token. `row_id` is the id as text, whatever its type in the table."""

    table: str
    column: str
    row_id: str

    def __str__(self) -> str:
        """The reference as typed and shown, row id cleaned of control characters."""
        return f"{self.table}.{self.column}:{clean(self.row_id, 200)}"


@dataclass(frozen=True, slots=True)
class RowRef:
    """Every token column of one row."""

    table: str
    row_id: str

    def __str__(self) -> str:
        return f"{self.table}:{clean(self.row_id, 200)}"


def parse_reference(text: str) -> TokenRef | RowRef:
    """Return the reference that `text` names. Raises InvalidReferenceError if it is neither form."""
    match = _REFERENCE.fullmatch(text)
    if not match:
        # Whoever pastes a token here must not find it in an error; none is short or has a colon.
        shown = f": {clean(text, 80)!r}" if ":" in text or len(text) <= SHORT else ""
        raise InvalidReferenceError(
            f"Not a token reference{shown}.",
            remedy="Write table.column:row-id, such as gh_connection.access_token:gh-42, or table:row-id.",
        )
    if match["column"]:
        return TokenRef(match["table"], match["column"], match["row"])
    return RowRef(match["table"], match["row"])
