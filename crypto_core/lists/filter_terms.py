"""What a filter asks, as data: terms, which of them must hold together, and what lets a row through.

SQL lets the same rows through: see database/tokens/inventory_filter_sql.py and trail/term_sql.py.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from crypto_core.lists.regular_expression import Pattern, lower

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Alternative:
    """One value of a term: a text with `*` as wildcard (unless `literal`), or a range with open ends.

    Or a regular expression, or a network of addresses; `text` is then how it was written.
    """

    text: str = ""
    literal: bool = False
    at_least: float | datetime | None = None
    at_most: float | datetime | None = None
    include_least: bool = True
    include_most: bool = True
    pattern: Pattern | None = None
    network: Network | None = None

    @property
    def is_range(self) -> bool:
        return self.at_least is not None or self.at_most is not None

    @property
    def is_text(self) -> bool:
        """With or without wildcards: an index or LIKE can look it up."""
        return not self.is_range and self.pattern is None and self.network is None

    @property
    def is_anything(self) -> bool:
        return self.is_text and len(self.parts) > 1 and not any(self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """Cut at its wildcards; stars next to each other are one."""
        return (self.text,) if self.literal else tuple(re.split(r"\*+", self.text))

    def matches(self, value: str, *, anywhere: bool = False) -> bool:
        """True if a text is what this stands for, or, `anywhere`, has it in itself. Case doesn't count.

        Takes time by the lengths of both, however many stars there are.
        """
        if self.pattern is not None:
            return self.pattern.is_in(value)
        if self.network is not None:
            return _is_inside(value, self.network)
        text = lower(value)
        first, *middle = [lower(part) for part in self.parts]
        if not anywhere and not text.startswith(first):
            return False
        if not middle:
            return first in text if anywhere else text == first
        # The first place that fits leaves most for the rest, so that no other needs to be tried.
        place = text.find(first) if anywhere else 0
        end = len(text) if anywhere else len(text) - len(last := middle.pop())
        for part in [first, *middle]:
            place = text.find(part, place, end) if place >= 0 else -1
            if place < 0:
                return False
            place += len(part)
        return anywhere or (place <= end and text.endswith(last))

    def holds(self, value: float | datetime) -> bool:
        """True if a number or moment is in this range."""
        above = self.at_least is None or (
            value >= self.at_least if self.include_least else value > self.at_least  # type: ignore[operator]
        )
        below = self.at_most is None or (
            value <= self.at_most if self.include_most else value < self.at_most  # type: ignore[operator]
        )
        return above and below


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `field` is None for free text. `position` is where it begins, counted from 0."""

    field: str | None
    alternatives: tuple[Alternative, ...]
    negated: bool
    position: int


@dataclass(frozen=True, slots=True)
class Either:
    """Branches of which one must hold, or none if `negated`; of a branch everything must hold."""

    branches: tuple[tuple[Clause, ...], ...]
    negated: bool
    position: int

    @property
    def enclosed(self) -> bool:
        """Whether it stands in parentheses: a neighbour is then no part of it."""
        return self.position < self.branches[0][0].position


Clause = Term | Either

SET = (Alternative(text="yes", literal=True),)
"""The alternatives of a term that asks for a flag: a row that has the property holds "yes" there."""

Value = str | float | datetime | Iterable[str] | None
"""Of several texts any counts; None is nothing that could be found."""


def terms_of(clauses: Iterable[Clause]) -> Iterator[Term]:
    for one in clauses:
        if isinstance(one, Term):
            yield one
        else:
            for branch in one.branches:
                yield from terms_of(branch)


def simplified(clauses: Iterable[Clause]) -> tuple[Clause, ...]:
    """Return clauses that mean the same with as few branches as may be, for what looks terms up by an index.

    Parentheses around what must hold anyway are gone, and `name:a OR name:b` is `name:a,b`.
    """
    found: list[Clause] = []
    for one in clauses:
        found += [one] if isinstance(one, Term) else _merged(one)
    return tuple(found)


def _merged(one: Either) -> tuple[Clause, ...]:
    branches = tuple(simplified(branch) for branch in one.branches)
    if len(branches) == 1 and not one.negated:
        return branches[0]
    alone = [branch[0] for branch in branches if len(branch) == 1]
    if len(alone) < len(branches):
        return (Either(branches, one.negated, one.position),)
    first = alone[0]
    if len(alone) == 1 and isinstance(first, Either):
        return (Either(first.branches, not first.negated, one.position),)
    terms = [term for term in alone if isinstance(term, Term) and (len(alone) == 1 or not term.negated)]
    if len(terms) < len(alone) or len({term.field for term in terms}) > 1:
        return (Either(branches, one.negated, one.position),)
    values = dict.fromkeys(value for term in terms for value in term.alternatives)
    negated = one.negated is not terms[0].negated
    return (Term(terms[0].field, tuple(values), negated, one.position),)


def passes(clauses: Iterable[Clause], read: Callable[[str], Value], *, free: Iterable[str] = ()) -> bool:
    """True if every clause lets a row's fields through; free text is looked for in `free`."""
    everywhere = tuple(free)

    def found(term: Term, alternative: Alternative) -> bool:
        if term.field is None:
            return any(alternative.matches(t, anywhere=True) for f in everywhere for t in _texts(read(f)))
        value = read(term.field)
        if alternative.is_range:
            return isinstance(value, int | float | datetime) and alternative.holds(value)
        return any(alternative.matches(text) for text in _texts(value))

    def holds(one: Clause) -> bool:
        if isinstance(one, Term):
            return one.negated is not any(found(one, a) for a in one.alternatives)
        return one.negated is not any(all(map(holds, branch)) for branch in one.branches)

    return all(map(holds, clauses))


def _texts(value: Value) -> Iterable[str]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, int | float | datetime):
        return (str(value),)
    return value


def _is_inside(value: str, network: Network) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return address.version == network.version and address in network
