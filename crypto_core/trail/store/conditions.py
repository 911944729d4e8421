"""What a filter's terms mean in the store. Texts are looked up in `term` first; events are asked by number.

Nothing of the operator's text becomes SQL: patterns are bound values. `query.values` says the same of one
event in memory.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    false,
    literal_column,
    not_,
    or_,
    select,
    true,
)

from crypto_core.key_names import is_key_arn
from crypto_core.lists.filter_language import Alternative, Term, lower
from crypto_core.text.cleaning import DEFAULT_LIMIT
from crypto_core.trail.columns import FLAGS, HOUR, EventProperty, moment, seconds, stored_id
from crypto_core.trail.event_fields import DETAILS, EVENT_FIELDS, FREE, ROLLED, key_names
from crypto_core.trail.query import Aliases
from crypto_core.trail.store.schema import PARTIAL, event, note, term

MOST_NUMBERS = 2_000
"""As many numbers of texts are named one by one; of more, SQLite looks them up itself."""
_LONGEST = 2 * DEFAULT_LIMIT
"""No text in the store is longer."""

_COLUMNS = ROLLED | DETAILS
_KEY_ID = re.compile("(?:mrk-)?[0-9a-f-]{32,36}")


@dataclass(frozen=True, slots=True)
class Numbers:
    """The texts that are meant: their numbers, or, where they are too many, how to look them up."""

    found: frozenset[int] = frozenset()
    lookup: Select[tuple[int]] | None = None
    all: bool = False
    """True if every text is meant, so that it need not be looked up."""

    def among(self, column: ColumnElement[int]) -> ColumnElement[bool]:
        """The condition that a column holds one of them."""
        if self.all:
            return column != 0
        if self.lookup is not None:
            return column.in_(self.lookup)
        return column.in_(sorted(self.found)) if self.found else false()


@dataclass(frozen=True, slots=True)
class Bounds:
    """The seconds in which events lie, both included; None where there is no limit."""

    first: int | None = None
    last: int | None = None

    def narrowed(self, other: Bounds) -> Bounds:
        """The bounds that hold both."""
        firsts = [b for b in (self.first, other.first) if b is not None]
        lasts = [b for b in (self.last, other.last) if b is not None]
        return Bounds(max(firsts, default=None), min(lasts, default=None))

    @property
    def empty(self) -> bool:
        """True if nothing can lie in them."""
        return self.first is not None and self.last is not None and self.first > self.last

    def on(self, at: ColumnElement[int]) -> Iterator[ColumnElement[bool]]:
        """The conditions that a column of seconds lies in them."""
        if self.first is not None:
            yield at >= self.first
        if self.last is not None:
            yield at <= self.last

    @property
    def hours(self) -> Bounds:
        """The hours since 1970 that they touch."""
        return Bounds(*(None if end is None else end // HOUR for end in (self.first, self.last)))


@dataclass(frozen=True, slots=True)
class Conditions:
    """One filter, ready for either table.

    `rolled` is True if `rollup` knows all that is asked, but for the bounds in time.
    """

    terms: tuple[ResolvedTerm, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)
    rolled: bool = True

    def on(self, table: Table) -> ColumnElement[bool]:
        """The condition for a row of `event` or `rollup`, the bounds in time not among them."""
        return and_(true(), *(t.on(table) for t in self.terms))


@dataclass(frozen=True, slots=True)
class ResolvedTerm:
    """One term. `column` "" is for one that isn't about one column of texts; its condition is `others`."""

    negated: bool
    column: str = ""
    numbers: Numbers = field(default_factory=Numbers)
    mark: EventProperty | None = None
    others: tuple[ColumnElement[bool], ...] = ()

    def on(self, table: Table) -> ColumnElement[bool]:
        """The condition for a row."""
        if self.mark is not None:
            found: ColumnElement[bool] = table.c.marks.bitwise_and(int(self.mark)) != 0
        elif self.column:
            column = table.c[self.column]
            found = self.numbers.among(column)
            if self.column in PARTIAL and not self.negated:
                # What a partial index leaves out must be left out by the question too, in so many words.
                found = and_(column != literal_column("0"), found)
        else:
            found = or_(false(), *self.others)
        return not_(found) if self.negated else found


def whole(at: ColumnElement[int], width: int) -> ColumnElement[int]:
    """Whole hours or days since 1970, rounded down also before it: SQLite's division rounds towards zero."""
    return (at - ((at % width) + width) % width) // width


def resolve(connection: Connection, terms: Iterable[Term], aliases: Aliases) -> Conditions:
    """Return what a filter's terms mean. Aliases are asked for only where a key isn't named by ARN or id."""
    resolved: list[ResolvedTerm] = []
    bounds, rolled = Bounds(), True
    for one in terms:
        if one.field == "time" and not one.negated and len(one.alternatives) == 1:
            bounds = bounds.narrowed(_bounds(one.alternatives[0]))
            continue
        rolled = rolled and (one.field in FLAGS or one.field in ROLLED)
        if one.field in FLAGS:
            resolved.append(ResolvedTerm(one.negated, mark=FLAGS[one.field]))
        elif one.field in _COLUMNS:
            numbers = _numbers(connection, one.field, one.alternatives, aliases)
            resolved.append(ResolvedTerm(one.negated, one.field, numbers))
        else:
            resolved.append(ResolvedTerm(one.negated, others=tuple(_others(connection, one))))
    return Conditions(tuple(resolved), bounds, rolled)


def _others(connection: Connection, one: Term) -> Iterator[ColumnElement[bool]]:
    """The conditions on `event` of which one must hold, for what the store keeps no texts of."""
    for value in one.alternatives:
        if one.field == "time":
            yield and_(true(), *_bounds(value).on(event.c.at))
        elif one.field == "id":
            yield _has_id(value)
        elif one.field == "reviewed":
            yield event.c.id.in_(select(note.c.id).where(note.c.reviewed_at != 0))
        elif one.field == "noted":
            yield event.c.id.in_(select(note.c.id).where(note.c.text != ""))
        else:
            for column in FREE:
                yield _anywhere(connection, column, value).among(event.c[column])
            yield _has_id(value)


def _bounds(value: Alternative) -> Bounds:
    """The whole seconds of a range in time: what CloudTrail's events have."""
    first = last = None
    if isinstance(value.at_least, datetime):
        exact = seconds(value.at_least)
        whole = value.at_least == moment(exact)
        first = exact if whole and value.include_least else exact + 1
    if isinstance(value.at_most, datetime):
        exact = seconds(value.at_most)
        whole = value.at_most == moment(exact)
        last = exact - 1 if whole and not value.include_most else exact
    return Bounds(first, last)


def _has_id(value: Alternative) -> ColumnElement[bool]:
    """Ids are looked up, never searched: there are as many as events."""
    if len(value.parts) != 1:
        return event.c.id.is_not(None) if not any(value.parts) else false()
    spellings = {value.text, value.text.lower()}
    return event.c.event_id.in_([stored_id(text) for text in spellings])


def _numbers(
    connection: Connection,
    column: str,
    alternatives: Sequence[Alternative],
    aliases: Aliases,
) -> Numbers:
    if any(len(value.parts) > 1 and not any(value.parts) for value in alternatives):
        return Numbers(all=True)
    if column == "key":
        by_arn = all(is_key_arn(value.text) or _KEY_ID.fullmatch(value.text) for value in alternatives)
        return Numbers(frozenset(_keys(connection, alternatives, {} if by_arn else aliases())))
    if column == "material":
        return Numbers(frozenset(_materials(connection, alternatives)))
    conditions: list[ColumnElement[bool]] = []
    found: set[int] = set()
    for value in alternatives:
        network = _network(value) if column == "ip" else None
        if network is not None:
            found |= set(_inside(connection, network))
        elif sum(map(len, value.parts)) <= _LONGEST:
            conditions += _spelt(value, column)
    if not conditions:
        return Numbers(frozenset(found))
    return _looked_up(connection, [term.c.kind == _COLUMNS[column], or_(*conditions)], found)


def _looked_up(
    connection: Connection, conditions: Sequence[ColumnElement[bool]], found: Iterable[int] = ()
) -> Numbers:
    lookup = select(term.c.id).where(*conditions)
    numbers = set(connection.scalars(lookup.limit(MOST_NUMBERS + 1)))
    if len(numbers) <= MOST_NUMBERS:
        return Numbers(frozenset(numbers | set(found)))
    if found:
        lookup = select(term.c.id).where(or_(and_(*conditions), term.c.id.in_(sorted(found))))
    return Numbers(lookup=lookup)


def _spelt(value: Alternative, column: str) -> Iterator[ColumnElement[bool]]:
    yield _like(value)
    for character in EVENT_FIELDS[column].shortened:
        yield term.c.folded.like("%" + _escape(character) + _pattern(value), escape="\\")
    if column == "source":
        yield _like(Alternative(text=f"{value.text}.amazonaws.com", literal=value.literal))


def _like(value: Alternative) -> ColumnElement[bool]:
    if len(value.parts) == 1:
        return term.c.folded == lower(value.text)
    return term.c.folded.like(_pattern(value), escape="\\")


def _pattern(value: Alternative) -> str:
    return "%".join(_escape(lower(part)) for part in value.parts)


def _escape(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


def _anywhere(connection: Connection, column: str, value: Alternative) -> Numbers:
    if column == "key":
        return Numbers(frozenset(_keys(connection, [value], {}, anywhere=True)))
    if sum(map(len, value.parts)) > _LONGEST:
        return Numbers()
    within = term.c.folded.like(f"%{_pattern(value)}%", escape="\\")
    return _looked_up(connection, [term.c.kind == _COLUMNS[column], within])


def _keys(
    connection: Connection,
    alternatives: Sequence[Alternative],
    aliases: Mapping[str, Sequence[str]],
    *,
    anywhere: bool = False,
) -> Iterator[int]:
    """Sets of keys are few: a store has as many as keys were used together."""
    rows = connection.execute(select(term.c.id, term.c.text).where(term.c.kind == _COLUMNS["key"]))
    for number, text in rows:
        names = [name for arn in text.split(" ") for name in key_names(arn, aliases)]
        if any(value.matches(name, anywhere=anywhere) for value in alternatives for name in names):
            yield number


def _materials(connection: Connection, alternatives: Sequence[Alternative]) -> Iterator[int]:
    rows = connection.execute(select(term.c.id, term.c.text).where(term.c.kind == _COLUMNS["material"]))
    for number, text in rows:
        if any(value.matches(one) for value in alternatives for one in text.split(" ")):
            yield number


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(value: Alternative) -> Network | None:
    """The network that a value such as 10.20.0.0/16 means."""
    if "/" not in value.text:
        return None
    try:
        return ipaddress.ip_network(value.text, strict=False)
    except ValueError:
        return None


def _inside(connection: Connection, network: Network) -> Iterator[int]:
    rows = connection.execute(select(term.c.id, term.c.text).where(term.c.kind == _COLUMNS["ip"]))
    for number, text in rows:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if address.version == network.version and address in network:
            yield number
