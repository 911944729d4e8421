"""Terms and spans of the questions that rules ask. Terms, never text, say what: a name may hold anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from crypto_core.lists.filter_language import SET, Alternative, Term
from crypto_core.trail.columns import moment, seconds
from crypto_core.trail.term_sql import Bounds


def has(field: str, *values: str, negated: bool = False) -> Term:
    """The term that a field is one of some values, word for word."""
    return Term(field, tuple(Alternative(text=value, literal=True) for value in values), negated, 0)


def like(field: str, *patterns: str) -> Term:
    """The term that a field is like one of some patterns, `*` standing for anything."""
    return Term(field, tuple(Alternative(text=pattern) for pattern in patterns), negated=False, position=0)


def flag(name: str, *, negated: bool = False) -> Term:
    return Term(name, SET, negated, 0)


@dataclass(frozen=True, slots=True)
class Span:
    """From a moment on, up to another one that is not part of it; None where it is open."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def bounds(self) -> Bounds:
        first, after = (None if end is None else _rounded_up(end) for end in (self.since, self.until))
        return Bounds(first, None if after is None else after - 1)


def _rounded_up(end: datetime) -> int:
    whole = seconds(end)
    return whole if moment(whole) == end else whole + 1
