"""The guard of one token column: whether it is there, since when it holds, and what it lets through."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.envelope import Format
from crypto_core.values.json_records import JsonRecord, shape

_PREFIX = "keydeck_envelopes_"
_LONGEST = 63
"""Bytes of an identifier that PostgreSQL keeps."""


class GuardState(StrEnum):
    MISSING = "missing"
    NOT_VALIDATED = "not validated"
    """What is written is checked; what was there before may be anything."""
    VALIDATED = "validated"
    CHANGED = "other definition"
    """A constraint of this name is there, and is not what Keydeck makes: somebody changed it."""
    IMPOSSIBLE = "not possible"


@dataclass(frozen=True, slots=True)
class ColumnGuard(JsonRecord):
    """One token column and its guard. `place` and `quoted` are the table and the column, ready for SQL."""

    column: TokenColumn
    place: str
    quoted: str
    type: str
    owner: str
    owned: bool
    """Whether this role may do what the table's owner may."""
    state: GuardState
    least: Format | None = None
    """The oldest envelope format that the guard lets through; None where there is none."""
    takes_all: bool = False
    """Whether every later format passes too; a guard made before v2-bound lets that one not through."""
    document: bool = False
    has_default: bool = False
    """Whether new rows get a value that isn't empty where none is given."""
    obstacle: str = ""

    json_shape = shape("column state least constraint owner owned obstacle")

    @property
    def constraint(self) -> str:
        return constraint_name(self.column.column)

    @property
    def guards(self) -> bool:
        """Whether nothing but envelopes can be written."""
        return self.state in (GuardState.NOT_VALIDATED, GuardState.VALIDATED)

    @property
    def constrained(self) -> bool:
        """Whether a constraint of this name is there, with whatever definition."""
        return self.state not in (GuardState.MISSING, GuardState.IMPOSSIBLE)


def constraint_name(column: str) -> str:
    """Return the name of a column's constraint, its own, of 63 bytes at most."""
    whole = f"{_PREFIX}{column}"
    if len(whole.encode()) <= _LONGEST:
        return whole
    digest = hashlib.sha256(column.encode()).hexdigest()[:12]
    return whole.encode()[: _LONGEST - 13].decode(errors="ignore") + f"_{digest}"
