"""What a filter means over the columns of events in an engine, the same as in memory.

How an engine looks for texts is its own: see `Among`. What only the store knows is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import ColumnElement, FromClause, and_, false, not_, or_, true

from crypto_core.errors import InvalidFilterError
from crypto_core.lists.filter_language import Alternative, Clause, Term
from crypto_core.trail.columns import FLAGS, HOUR, OF_STORE, EventProperty, moment, seconds
from crypto_core.trail.event_fields import EVENT_FIELDS, FREE, EventField
from crypto_core.trail.query import Aliases
from crypto_core.trail.term_sql import CLOCK, Bounds, marked, named_keys, on_clock, whole

_NAMED_BY_ALIAS = "key"


class Among(Protocol):
    """The condition that a column has one of the texts that a term means. Raises InvalidFilterError."""

    def __call__(
        self,
        column: ColumnElement[str],
        field: EventField,
        term: Term,
        aliases: Mapping[str, Sequence[str]],
        *,
        anywhere: bool = False,
    ) -> ColumnElement[bool]:
        """Return the condition; `anywhere` is for texts that need only be a part of the column's."""


@dataclass(frozen=True, slots=True)
class EventConditions:
    """Makes the conditions of one question to `engine`; `by_day`: its column `day` leaves out whole files."""

    engine: str
    events: FromClause
    among: Among
    aliases: Aliases
    by_day: bool = False

    def every(self, clauses: Iterable[Clause]) -> ColumnElement[bool]:
        """Return the condition that all clauses hold. Raises InvalidFilterError for what can't be asked."""
        return and_(true(), *map(self._clause, clauses))

    def _clause(self, one: Clause) -> ColumnElement[bool]:
        found = self._term(one) if isinstance(one, Term) else or_(*map(self.every, one.branches))
        return not_(found) if one.negated else found

    def _term(self, one: Term) -> ColumnElement[bool]:
        name, columns = one.field or "", self.events.c
        if name in FLAGS and name not in OF_STORE:
            return marked(columns.marks, FLAGS[name])
        if name == "time":
            return or_(false(), *(and_(true(), *self._ends(value)) for value in one.alternatives))
        if name in CLOCK:
            return on_clock(name, one.alternatives, whole(columns.epoch, HOUR))
        if name in EVENT_FIELDS:
            known = named_keys(one.alternatives, self.aliases) if name == _NAMED_BY_ALIAS else {}
            return self.among(columns[name], EVENT_FIELDS[name], one, known)
        if name == "id":
            return or_(false(), *map(self._has_id, one.alternatives))
        if not name:
            found = (self.among(columns[free], EVENT_FIELDS[free], one, {}, anywhere=True) for free in FREE)
            return or_(*found, *map(self._has_id, one.alternatives))
        raise InvalidFilterError(
            f"Filter, character {one.position + 1}: {self.engine} can't be asked for {name}.",
            position=one.position,
            remedy="Ask the store itself, without --engine.",
        )

    def _has_id(self, value: Alternative) -> ColumnElement[bool]:
        """Ids are looked up, never searched: there are as many as events."""
        if value.is_anything:
            return true()
        if not value.is_text or len(value.parts) != 1:
            return false()
        return self.events.c.event_id.in_([value.text, value.text.lower()])

    def _ends(self, value: Alternative) -> Iterator[ColumnElement[bool]]:
        yield from Bounds.of(value).on(self.events.c.epoch)
        if self.by_day and isinstance(value.at_least, datetime):
            yield self.events.c.day >= _day(value.at_least)
        if self.by_day and isinstance(value.at_most, datetime):
            yield self.events.c.day <= _day(value.at_most)


def without_service(clauses: Sequence[Clause]) -> list[Clause]:
    """Return a filter without its `-service`, which hides what AWS services do by themselves."""
    return [one for one in clauses if not (isinstance(one, Term) and one.field == "service" and one.negated)]


def shown_events(clauses: Sequence[Clause], events: FromClause) -> ColumnElement[bool]:
    """The condition that an event is none that a filter's `-service` hides."""
    hides = len(without_service(clauses)) < len(clauses)
    return not_(marked(events.c.marks, EventProperty.SERVICE)) if hides else true()


def _day(at: datetime) -> str:
    return f"{moment(seconds(at)):%Y-%m-%d}".rjust(10, "0")
