"""What the parts of a filter mean in SQL, over the columns of events: the same for every engine.

Nothing of the operator's text becomes SQL: it is bound. `query.values` says the same of one event in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeGuard

from sqlalchemy import ColumnElement, Integer, and_, case, false, literal_column

from crypto_core.lists.filter_language import HOURS, WEEKDAYS, Alternative, Clause, Term, lower
from crypto_core.trail.columns import DAY, HOUR, EventProperty, moment, seconds
from crypto_core.trail.event import UNDATED
from crypto_core.trail.event_fields import EventField
from crypto_core.trail.query import Aliases
from crypto_core.values.key_names import is_key_arn

_KEY_ID = re.compile("(?:mrk-)?[0-9a-f-]{32,36}")
_UNDATED = seconds(UNDATED) // HOUR
_ESCAPE = "!"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The seconds in which events lie, both included; None where there is no limit."""

    first: int | None = None
    last: int | None = None

    @classmethod
    def of(cls, value: Alternative) -> Bounds:
        first = last = None
        if isinstance(value.at_least, datetime):
            exact = seconds(value.at_least)
            first = exact if value.at_least == moment(exact) and value.include_least else exact + 1
        if isinstance(value.at_most, datetime):
            exact = seconds(value.at_most)
            last = exact - 1 if value.at_most == moment(exact) and not value.include_most else exact
        return cls(first, last)

    def narrowed(self, other: Bounds) -> Bounds:
        firsts = [b for b in (self.first, other.first) if b is not None]
        lasts = [b for b in (self.last, other.last) if b is not None]
        return Bounds(max(firsts, default=None), min(lasts, default=None))

    @property
    def empty(self) -> bool:
        return self.first is not None and self.last is not None and self.first > self.last

    def on(self, at: ColumnElement[int]) -> Iterator[ColumnElement[bool]]:
        if self.first is not None:
            yield at >= self.first
        if self.last is not None:
            yield at <= self.last

    @property
    def hours(self) -> Bounds:
        return Bounds(*(None if end is None else end // HOUR for end in (self.first, self.last)))


def is_bound(one: Clause) -> TypeGuard[Term]:
    """True for one range of time in which all events of a filter must lie."""
    return isinstance(one, Term) and one.field == "time" and not one.negated and len(one.alternatives) == 1


def marked(marks: ColumnElement[int], mark: EventProperty) -> ColumnElement[bool]:
    return marks.bitwise_and(int(mark)) != 0


# Time


def whole(at: ColumnElement[int], width: int) -> ColumnElement[int]:
    """Whole hours or days since 1970, rounded down also before it: SQL's division rounds towards zero."""
    return (at - _modulo(at, width)) // width


def _modulo(number: ColumnElement[int], by: int) -> ColumnElement[int]:
    """Never negative, also before 1970."""
    return ((number % by) + by) % by


def _hour_of_day(hours: ColumnElement[int]) -> ColumnElement[int]:
    return _modulo(hours, 24)


def _weekday(hours: ColumnElement[int]) -> ColumnElement[int]:
    return _modulo(whole(hours, 24) + 3, 7)  # 1970 began on a Thursday; 0 is Monday


_CYCLES = {"hour": (_hour_of_day, HOURS), "weekday": (_weekday, WEEKDAYS)}
CLOCK = ("hour", "day", "weekday")
"""What events can be counted by besides their fields, in UTC."""


def on_clock(field: str, values: Sequence[Alternative], hours: ColumnElement[int]) -> ColumnElement[bool]:
    """The condition that hours since 1970 are some hours of the day, or on some weekdays."""
    of, names = _CYCLES[field]
    wanted = [place for place, name in enumerate(names) if any(v.matches(name) for v in values)]
    if not wanted:
        return false()
    return and_(hours != _UNDATED, of(hours).in_([literal_column(str(place), Integer) for place in wanted]))


def clock_number(name: str, hours: ColumnElement[int]) -> ColumnElement[int | None]:
    """What one of CLOCK is, as a number, for hours since 1970; NULL for events that tell no time."""
    number = whole(hours, 24) if name == "day" else _CYCLES[name][0](hours)
    return case((hours != _UNDATED, number))


def clock_text(name: str, number: int | None) -> str:
    """Return the number that one of CLOCK is as a filter calls it; "" for NULL."""
    if number is None:
        return ""
    return moment(number * DAY).date().isoformat() if name == "day" else _CYCLES[name][1][number]


# Texts


def spelt(
    folded: ColumnElement[str], value: Alternative, field: EventField | None = None, *, anywhere: bool = False
) -> Iterator[ColumnElement[bool]]:
    """The conditions, of which any will do, that a column in lower case is what a text means.

    It may be written in every way that the field allows; `anywhere`, it need only be a part of the column's.
    """
    parts = [lower(part) for part in value.parts]
    if anywhere:
        yield _like(folded, ["", *parts, ""])
        return
    yield _like(folded, parts)
    for sign in field.shortened if field else "":
        yield _like(folded, ["", sign + parts[0], *parts[1:]])
    if field and field.ending:
        yield _like(folded, [*parts[:-1], parts[-1] + field.ending])


def holds(folded: ColumnElement[str], text: str) -> ColumnElement[bool]:
    return _like(folded, ["", lower(text), ""])


def _like(folded: ColumnElement[str], parts: Sequence[str]) -> ColumnElement[bool]:
    if len(parts) == 1:
        return folded == parts[0]
    return folded.like("%".join(re.sub("([!%_])", r"!\1", part) for part in parts), escape=_ESCAPE)


def meant_by(
    field: EventField,
    values: Sequence[Alternative],
    aliases: Mapping[str, Sequence[str]],
    *,
    anywhere: bool = False,
) -> Callable[[str], bool]:
    """Return what tells whether values mean a text, as in memory: for texts far fewer than events."""

    def meant(text: str) -> bool:
        ways = field.spellings(text, aliases)
        return any(value.matches(way, anywhere=anywhere) for way in ways for value in values)

    return meant


def named_keys(values: Sequence[Alternative], aliases: Aliases) -> Mapping[str, Sequence[str]]:
    """Return the aliases of keys, where a value may be one; they are not asked for where none can be."""
    by_arn = all(is_key_arn(value.text) or _KEY_ID.fullmatch(value.text) for value in values)
    return {} if by_arn else aliases()
