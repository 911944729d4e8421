"""What rules ask of events, whoever answers. Terms, never text, say what: a name may hold anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from crypto_core.lists.filter_language import SET, Alternative, Clause, Term
from crypto_core.text.cleaning import CleanText
from crypto_core.trail.columns import moment, seconds
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.term_sql import Bounds


@dataclass(frozen=True, slots=True)
class Burst:
    """The most that one principal did within one stretch of time, from `since` on."""

    principal: CleanText
    number: int
    since: datetime


Stretch = tuple[int, int]
"""How many events there are, and the half of a stretch with which it begins."""


def stretches(halves: Mapping[int, int]) -> list[Stretch]:
    """Each two halves that follow each other."""
    begins = {begin for at in halves for begin in (at - 1, at)}
    return [(halves.get(at, 0) + halves.get(at + 1, 0), at) for at in begins]


def busiest(stretches: Iterable[Stretch]) -> Stretch:
    """The one with the most events, the earliest of several."""
    return max(stretches, key=lambda one: (one[0], -one[1]))


def most_different(stretches: Iterable[Stretch], different: Callable[[int], int]) -> Stretch:
    """The one with the most different values: no stretch has more of these than events."""
    best = (0, 0)
    for events, at in sorted(stretches, key=lambda one: (-one[0], one[1])):
        if events <= best[0]:
            break
        best = max(best, (different(at), at), key=lambda one: one[0])
    return best


def has(field: str, *values: str, negated: bool = False) -> Term:
    """The term that a field is one of some values, word for word."""
    return Term(field, tuple(Alternative(text=value, literal=True) for value in values), negated, 0)


def like(field: str, *patterns: str) -> Term:
    """The term that a field is like one of some patterns, `*` standing for anything."""
    return Term(field, tuple(Alternative(text=pattern) for pattern in patterns), negated=False, position=0)


def flag(name: str, *, negated: bool = False) -> Term:
    """The term that an event has a property, such as `failed`."""
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

    @property
    def terms(self) -> tuple[Term, ...]:
        """The same as a filter."""
        if self.since is None and self.until is None:
            return ()
        value = Alternative(at_least=self.since, at_most=self.until, include_most=False)
        return (Term("time", (value,), negated=False, position=0),)


def _rounded_up(end: datetime) -> int:
    whole = seconds(end)
    return whole if moment(whole) == end else whole + 1


@dataclass(frozen=True, slots=True)
class Group:
    """Events that have the same values in some fields. `first` and `last` are exact to the hour."""

    values: tuple[CleanText, ...]
    events: int
    first: datetime
    last: datetime


class EventQuestions(Protocol):
    """Questions to events. Raises EventStoreError, TrailError, InvalidFilterError, InterruptedRunError."""

    def first(self) -> datetime | None:
        """Return the hour of the oldest event that is dated; None where there is none."""

    def days(self, span: Span) -> int:
        """Return on how many days of a span there were events: a single old event is no history."""

    def any(self, span: Span) -> bool:
        """Return whether there is any event in a span of time."""

    def groups(self, fields: Sequence[str], terms: Iterable[Clause], span: Span) -> tuple[Group, ...]:
        """Return the events of a span counted by some fields, the most common first, then by their values."""

    def hourly(self, terms: Iterable[Clause], span: Span) -> dict[str, Burst]:
        """Return every principal's busiest hour, by principal."""

    def bursts(
        self, terms: Iterable[Clause], span: Span, *, minutes: int, distinct: str = ""
    ) -> dict[str, Burst]:
        """Return every principal's busiest stretch, by events or by different values of `distinct`."""

    def split_by_token(self, terms: Iterable[Clause], span: Span) -> dict[tuple[str, str], tuple[int, int]]:
        """Return how many events named a token and how many did not, by keys and principal."""

    def events(
        self, terms: Iterable[Clause], span: Span, *, limit: int, newest_first: bool = True
    ) -> tuple[TrailEvent, ...]:
        """Return up to `limit` events of a span, in the order of time."""
