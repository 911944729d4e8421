"""What a filter's terms mean in the store. Texts are looked up in `term` first; events are asked by number.

Nothing of the operator's text becomes SQL: patterns are bound values. `query.values` says the same of one
event in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
)

from crypto_core.lists.filter_language import Alternative, Clause, Term, simplified, terms_of
from crypto_core.trail import term_sql
from crypto_core.trail.columns import FLAGS, HELD, HOUR, EventProperty, stored_id
from crypto_core.trail.event_fields import DETAILS, EVENT_FIELDS, FREE, ROLLED
from crypto_core.trail.own_calls import OWN, with_callers
from crypto_core.trail.query import Aliases, is_of_record
from crypto_core.trail.store.dialect import TOGETHER
from crypto_core.trail.store.event_places import in_record, numbers_of
from crypto_core.trail.store.own_callers import own_callers
from crypto_core.trail.store.receipt_tables import explained_by
from crypto_core.trail.store.schema import PRESENT, chunks, event, note, presence, profile, term
from crypto_core.trail.term_sql import CLOCK
from crypto_core.values.clean_text import DEFAULT_LIMIT

MOST_NUMBERS = 2_000
"""As many numbers of texts are named one by one; more are looked up by the statement itself."""
_SPELT_OUT = 32
"""As many numbers stand in a statement; more are passed as one value."""
_LONGEST = 2 * DEFAULT_LIMIT

_COLUMNS = ROLLED | DETAILS
_FEW_TEXTS = ("key", "material")
"""Columns whose texts hold several values: a store has as many as keys were used together."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The texts that are meant: their numbers, or, where they are too many, how to look them up."""

    found: frozenset[int] = frozenset()
    lookup: Select[tuple[int]] | None = None
    all: bool = False
    """True if every text is meant, so that it need not be looked up."""

    @property
    def any(self) -> bool:
        return self.all or bool(self.found) or self.lookup is not None

    def among(self, column: ColumnElement[int]) -> ColumnElement[bool]:
        if self.all:
            return column != 0
        if self.lookup is not None:
            return column.in_(self.lookup)
        if len(self.found) > _SPELT_OUT:
            many = func.json_each(json.dumps(sorted(self.found))).table_valued("value")
            return column.in_(select(many.c.value))
        # Numbers of ours may stand in the statement itself, so that a filter of many terms has room.
        numbers: BindParameter[Any] = bindparam(
            None, sorted(self.found), expanding=True, literal_execute=True
        )
        return column.in_(numbers) if self.found else false()


NOWHERE = term_sql.Bounds(1, 0)


@dataclass(frozen=True, slots=True)
class Conditions:
    """One filter, ready for either table.

    `rolled` is True if `rollup` knows all that is asked, but for the bounds in time. `terms` must all hold.
    `reach` is where events can be at all, by the hours of the texts that are asked for.
    """

    terms: tuple[ResolvedTerm, ...] = ()
    bounds: term_sql.Bounds = field(default_factory=term_sql.Bounds)
    rolled: bool = True
    reach: term_sql.Bounds = field(default_factory=term_sql.Bounds)

    def on(self, table: Table) -> ColumnElement[bool]:
        own = (t.on(table) for t in self.terms if not t.of_profile)
        # What is quickest to see stands first.
        return and_(true(), *own, self.profiles(table))

    def profiles(self, table: Table) -> ColumnElement[bool]:
        """The condition about profiles; for properties left out, it asks for those that have one: fewer."""
        asked = [one for one in self.terms if one.of_profile]
        without = self._left_out
        if without is None:
            return _has_profile(table, *(one.condition(profile) for one in asked))
        # Looked up once, however many these are.
        return not_(_has_profile(table, profile.c.marks.bitwise_and(without) != 0)) if without else true()

    @property
    def _left_out(self) -> int | None:
        """The properties that are left out, if that is all that is asked of profiles."""
        without = 0
        for one in self.terms:
            if one.of_profile:
                if one.mark is None or not one.negated:
                    return None
                without |= int(one.mark)
        return without

    def with_text(self, column: str) -> Conditions:
        """The filter for those events that have a text in one of HELD, by properties or the token index."""
        by_index = column == "token" and self.rolled and self._left_out == int(EventProperty.TWIN)
        some = ResolvedTerm(negated=False, column=column, numbers=Numbers(all=True))
        held = ResolvedTerm(negated=False, mark=HELD[column])
        return replace(self, terms=(*self.terms, some if by_index else held))

    def without_own(self) -> Conditions | None:
        """What the filter means for events that have nothing of their own that it names; None for no event.

        Where it names most of what there is, what it means for events that have any of it. That is known by
        the hour. Of all events, those alone can differ from it for which one of `own` holds.
        """
        kept: list[ResolvedTerm] = []
        for one in self.terms:
            rest = one.without_own()
            if rest is False:
                return None
            if isinstance(rest, ResolvedTerm):
                kept.append(rest)
        return replace(self, terms=tuple(kept), rolled=True)

    def own(self) -> list[ResolvedTerm]:
        """All that the filter asks for of an event's own, unnegated; if that is most there is, the rest."""
        return [one for term_ in self.terms for one in term_.own()]

    @property
    def by_hour(self) -> bool:
        return any(one.by_hour for one in self.terms)

    @property
    def names_token(self) -> bool:
        named = EventProperty.NAMED
        return any(not one.negated and (one.column == "token" or one.mark is named) for one in self.terms)

    @property
    def within(self) -> term_sql.Bounds:
        return self.bounds.narrowed(self.reach)

    def present(self) -> Iterator[ColumnElement[bool]]:
        for one in self.terms:
            if one.column in PRESENT and not one.negated and not one.numbers.all:
                yield one.numbers.among(presence.c.text)


@dataclass(frozen=True, slots=True)
class ResolvedTerm:
    """One term. `column` "" is for one that isn't about one column of texts; its condition is `others`.

    `cycle` is the condition of one that is about the hour, given hours since 1970. `branches` are the
    alternatives: of one of them everything must hold. `most` is True where most of an event's own texts
    in a column are asked for.
    """

    negated: bool
    column: str = ""
    numbers: Numbers = field(default_factory=Numbers)
    mark: EventProperty | None = None
    others: tuple[ColumnElement[bool], ...] = ()
    cycle: Callable[[ColumnElement[int]], ColumnElement[bool]] | None = None
    branches: tuple[tuple[ResolvedTerm, ...], ...] = ()
    most: bool = False

    @property
    def of_profile(self) -> bool:
        """True if an event's profile alone tells whether it holds."""
        if self.branches:
            return all(one.of_profile for branch in self.branches for one in branch)
        return self.mark is not None or self.column in ROLLED

    @property
    def rolled(self) -> bool:
        if self.branches:
            return all(one.rolled for branch in self.branches for one in branch)
        return self.of_profile or self.cycle is not None

    def without_own(self) -> ResolvedTerm | bool:
        """What it means for events without own texts; of `most`, for those with any. See Conditions."""
        if self.rolled:
            return self
        if self.most:
            return ResolvedTerm(self.negated, mark=HELD[self.column])
        kept: list[tuple[ResolvedTerm, ...]] = []
        for branch in self.branches:
            rest = [one.without_own() for one in branch]
            if any(one is False for one in rest):
                continue
            terms = tuple(one for one in rest if isinstance(one, ResolvedTerm))
            if not terms:
                return not self.negated
            kept.append(terms)
        return replace(self, branches=tuple(kept)) if kept else self.negated

    def own(self) -> Iterator[ResolvedTerm]:
        for branch in self.branches:
            for one in branch:
                yield from one.own()
        if self.most:
            text = event.c[self.column]
            yield ResolvedTerm(negated=False, others=(and_(text != 0, not_(self.numbers.among(text))),))
        elif not self.branches and not self.rolled:
            yield replace(self, negated=False)

    @property
    def by_hour(self) -> bool:
        return self.cycle is not None or any(one.by_hour for branch in self.branches for one in branch)

    def on(self, table: Table) -> ColumnElement[bool]:
        return _has_profile(table, self.condition(profile)) if self.of_profile else self.condition(table)

    def condition(self, table: Table) -> ColumnElement[bool]:
        """The condition for a row of `profile`, where `of_profile`; of another table where not."""
        found: ColumnElement[bool]
        if self.branches:
            each = ResolvedTerm.condition if self.of_profile else ResolvedTerm.on
            found = any_of(and_(true(), *(each(one, table) for one in branch)) for branch in self.branches)
        elif self.mark is not None:
            found = term_sql.marked(table.c.marks, self.mark)
        elif self.cycle is not None:
            found = self.cycle(table.c.hour if "hour" in table.c else term_sql.whole(table.c.at, HOUR))
        elif self.column:
            column = table.c[self.column]
            found = self.numbers.among(column)
            if self.column == "token" and not self.negated:
                # What a partial index leaves out must be left out by the question too, in so many words.
                found = and_(column != literal_column("0"), found)
        else:
            found = any_of(self.others)
        return not_(found) if self.negated else found


_NEVER = ResolvedTerm(negated=False, column=next(iter(ROLLED)))


def having(table: Table, mark: EventProperty) -> ColumnElement[bool]:
    return _has_profile(table, term_sql.marked(profile.c.marks, mark))


def _has_profile(table: Table, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    if not conditions:
        return true()
    # Of its own, also within a query that has each row's profile beside it.
    return table.c.profile.in_(select(profile.c.id).where(*conditions).correlate(None))


def any_of(conditions: Iterable[ColumnElement[bool]]) -> ColumnElement[bool]:
    every = list(conditions)
    while len(every) > TOGETHER:
        every = [or_(*some) != 0 for some in chunks(every, TOGETHER)]
    return or_(false(), *every)


def resolve(connection: Connection, clauses: Iterable[Clause], aliases: Aliases) -> Conditions:
    """Return what a filter means. Of two records of a call, one counts, unless it asks for twins or ids."""
    asked = tuple(clauses)
    if any(one.field == OWN for one in terms_of(asked)):
        asked = with_callers(asked, own_callers(connection))
    wanted = tuple(simplified(asked))
    resolved: list[ResolvedTerm] = []
    if not any(one.field in ("twin", "id") for one in terms_of(wanted)):
        resolved.append(ResolvedTerm(negated=True, mark=EventProperty.TWIN))
    bounds, rolled = term_sql.Bounds(), True
    for one in wanted:
        if term_sql.is_bound(one):
            bounds = bounds.narrowed(term_sql.Bounds.of(one.alternatives[0]))
            continue
        term_, by_hour = _resolved(connection, one, aliases)
        resolved.append(term_)
        rolled = rolled and by_hour
    found = Conditions(tuple(resolved), bounds, rolled)
    return replace(found, reach=_reach(connection, found))


def _reach(connection: Connection, found: Conditions) -> term_sql.Bounds:
    reach = term_sql.Bounds()
    ends = select(func.min(presence.c.hour), func.max(presence.c.hour))
    for condition in found.present():
        first, last = connection.execute(ends.where(condition)).one()
        reach = reach.narrowed(
            NOWHERE if first is None else term_sql.Bounds(first * HOUR, (last + 1) * HOUR - 1)
        )
    return reach


def _resolved(connection: Connection, one: Clause, aliases: Aliases) -> tuple[ResolvedTerm, bool]:
    if not isinstance(one, Term):
        found = [[_resolved(connection, inner, aliases) for inner in branch] for branch in one.branches]
        branches = tuple(tuple(term_ for term_, _ in branch) for branch in found)
        return ResolvedTerm(one.negated, branches=branches), all(r for branch in found for _, r in branch)
    if one.field in FLAGS:
        return ResolvedTerm(one.negated, mark=FLAGS[one.field]), True
    if one.field == "receipt" and any(value.is_anything for value in one.alternatives):
        return ResolvedTerm(one.negated, mark=EventProperty.RECEIPT), True
    if one.field in HELD and any(value.is_anything for value in one.alternatives):
        return ResolvedTerm(one.negated, mark=HELD[one.field]), True
    if one.field in CLOCK:
        return ResolvedTerm(one.negated, cycle=partial(term_sql.on_clock, one.field, one.alternatives)), True
    if one.field in _COLUMNS:
        numbers = _numbers(connection, one.field, one.alternatives, aliases)
        most = one.field in PRESENT and _are_most(connection, one.field, numbers)
        return ResolvedTerm(one.negated, one.field, numbers, most=most), one.field in ROLLED
    if one.field is None:
        found_anywhere = _found_anywhere(connection, one)
        return found_anywhere, found_anywhere.of_profile
    return ResolvedTerm(one.negated, others=tuple(_others(connection, one))), False


def _are_most(connection: Connection, column: str, numbers: Numbers) -> bool:
    if not numbers.found:
        return False
    twice = 2 * len(numbers.found)
    there = select(term.c.id).where(term.c.kind == _COLUMNS[column]).limit(twice)
    return int(connection.scalar(select(func.count()).select_from(there.subquery())) or 0) < twice


def _found_anywhere(connection: Connection, one: Term) -> ResolvedTerm:
    """What free text means: where nothing has it but profiles, the hours' counts know the answer."""
    meant = [(column, _anywhere(connection, column, value)) for column in FREE for value in one.alternatives]
    terms = [ResolvedTerm(negated=False, column=column, numbers=n) for column, n in meant if n.any]
    ids = [_has_id(connection, value) for value in one.alternatives]
    # What profiles tell is one question to them, however much it is.
    shared = ResolvedTerm(negated=False, branches=tuple((t,) for t in terms if t.of_profile) or ((_NEVER,),))
    own = [t for t in terms if not t.of_profile]
    own += [ResolvedTerm(negated=False, others=(has_id,)) for has_id in ids if has_id is not None]
    return ResolvedTerm(one.negated, branches=((shared,), *((t,) for t in own)))


def _others(connection: Connection, one: Term) -> Iterator[ColumnElement[bool]]:
    if is_of_record(one.field):
        yield in_record(one, event.c.id)
        return
    for value in one.alternatives:
        if one.field == "time":
            yield and_(true(), *term_sql.Bounds.of(value).on(event.c.at))
        elif one.field == "id":
            found = _has_id(connection, value)
            yield false() if found is None else found
        elif one.field == "receipt":
            exact = value.is_text and len(value.parts) == 1
            yield event.c.id.in_(explained_by(value.text)) if exact else false()
        elif one.field == "reviewed":
            yield event.c.id.in_(select(note.c.id).where(note.c.reviewed_at != 0))
        else:  # noted
            yield event.c.id.in_(select(note.c.id).where(note.c.text != ""))


def _has_id(connection: Connection, value: Alternative) -> ColumnElement[bool] | None:
    """Ids are looked up, never searched: there are as many as events. None where no event has it."""
    if value.is_anything:
        return event.c.id.is_not(None)
    if not value.is_text or len(value.parts) != 1:
        return None
    found = numbers_of(connection, [stored_id(text) for text in {value.text, value.text.lower()}])
    return event.c.id.in_(found) if found else None


def _numbers(
    connection: Connection, column: str, alternatives: Sequence[Alternative], aliases: Aliases
) -> Numbers:
    if any(value.is_anything for value in alternatives):
        return Numbers(all=True)
    if column in _FEW_TEXTS:
        return Numbers(
            frozenset(_matching(connection, column, alternatives, term_sql.named_keys(alternatives, aliases)))
        )
    conditions: list[ColumnElement[bool]] = []
    found: set[int] = set()
    one_by_one = [value for value in alternatives if not value.is_text]
    if one_by_one:
        found |= set(_matching(connection, column, one_by_one, {}))
    for value in alternatives:
        if value.is_text and sum(map(len, value.parts)) <= _LONGEST:
            conditions += term_sql.spelt(term.c.folded, value, EVENT_FIELDS[column])
    if not conditions:
        return Numbers(frozenset(found))
    return _looked_up(connection, [term.c.kind == _COLUMNS[column], any_of(conditions)], found)


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


def _anywhere(connection: Connection, column: str, value: Alternative) -> Numbers:
    if column in _FEW_TEXTS or not value.is_text:
        return Numbers(frozenset(_matching(connection, column, [value], {}, anywhere=True)))
    if sum(map(len, value.parts)) > _LONGEST:
        return Numbers()
    within = term_sql.spelt(term.c.folded, value, anywhere=True)
    return _looked_up(connection, [term.c.kind == _COLUMNS[column], *within])


def _matching(
    connection: Connection,
    column: str,
    values: Sequence[Alternative],
    aliases: Mapping[str, Sequence[str]],
    *,
    anywhere: bool = False,
) -> Iterator[int]:
    """The texts that values mean, looked at one by one, as in memory: there are far fewer than events."""
    meant = term_sql.meant_by(EVENT_FIELDS[column], values, aliases, anywhere=anywhere)
    rows = connection.execute(select(term.c.id, term.c.text).where(term.c.kind == _COLUMNS[column]))
    return (number for number, text in rows if meant(text))
