"""Questions about events as SQL that DuckDB and Trino read alike, over the columns of a copy in Parquet.

A filter means the same as in memory; how an engine looks for texts is its own: see `Among`. What only the
store knows is refused by name. Texts are bound, or quoted where a statement is shown (SQL-92). Numbers are
ours, and are written out. Of events that are counted only the groups shown leave the engine.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import (
    BindParameter,
    ClauseElement,
    ColumnElement,
    FromClause,
    Select,
    and_,
    false,
    func,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql.compiler import SQLCompiler

from crypto_core.lists.filter_language import Alternative, Clause, Term
from crypto_core.trail.columns import FLAGS, HOUR, OF_STORE, EventProperty, moment, seconds
from crypto_core.trail.event_fields import EVENT_FIELDS, FREE, EventField
from crypto_core.trail.query import Aliases
from crypto_core.trail.store.statistics import MEASURED, GroupsQuestion, by_place
from crypto_core.trail.term_sql import CLOCK, Bounds, marked, named_keys, on_clock, whole
from crypto_core.values.errors import InvalidFilterError

LONGEST = 1_000
"""Characters of one value as a literal; Athena takes 1,024."""


class _DialectCompiler(SQLCompiler):
    """Reckons with numbers, so that no engine's own functions for bits and division are needed."""

    def visit_bindparam(self, bindparam: BindParameter[Any], *args: Any, **kwargs: Any) -> Any:
        if isinstance(bindparam.value, int) or bindparam.value == "":
            return str(bindparam.value) or "''"
        return super().visit_bindparam(bindparam, *args, **kwargs)  # type: ignore[no-untyped-call]

    def visit_floordiv_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        # Divided is only what has no rest.
        two = (self.process(side, **kw) for side in (binary.left, binary.right))
        return f"CAST({' / '.join(two)} AS BIGINT)"

    def visit_bitwise_and_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """Compile & with one bit."""
        marks, bit = self.process(binary.left, **kw), int(binary.right.value)
        return f"({marks} % {2 * bit} - {marks} % {bit})"

    def render_literal_value(self, value: Any, _type: Any) -> str:
        return quoted(value)


class _Dialect(DefaultDialect):
    statement_compiler = _DialectCompiler
    supports_native_boolean = True


_DIALECT = _Dialect(paramstyle="qmark")


@dataclass(frozen=True, slots=True)
class EngineStatement:
    """A statement with a ? for each of its values, or `inlined`; `left` are a filter's fields left to us."""

    statement: str
    values: tuple[str, ...]
    inlined: str
    left: tuple[str, ...] = ()

    @property
    def literals(self) -> tuple[str, ...]:
        return tuple(map(quoted, self.values))


def placed(statement: ClauseElement) -> tuple[str, tuple[Any, ...]]:
    """Return a statement with a ? for each of its values, and the values in order."""
    compiled: Any = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return _in_line(str(compiled)), tuple(compiled.params[name] for name in compiled.positiontup or ())


def inlined(statement: ClauseElement) -> str:
    """Return a statement with its values as literals. Raises ValueError for what can't be one."""
    options = {"render_postcompile": True, "literal_binds": True}
    return _in_line(str(statement.compile(dialect=_DIALECT, compile_kwargs=options)))


def _in_line(statement: str) -> str:
    return re.sub(" ?\n *", " ", statement)


def quoted(value: str) -> str:
    """Return a text as a literal (SQL-92). Raises ValueError for control characters and what is too long."""
    if not can_be_literal(value):
        raise ValueError("a text that can't be a literal")
    return "'" + value.replace("'", "''") + "'"


def can_be_literal(value: str) -> bool:
    """True for a text of bounded length without control, format, private or unassigned characters."""
    length = len(value) + value.count("'")
    return length <= LONGEST and not any(unicodedata.category(c)[0] == "C" for c in value)


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
        if name in EVENT_FIELDS and name in columns:
            known = named_keys(one.alternatives, self.aliases) if name == _NAMED_BY_ALIAS else {}
            return self.among(columns[name], EVENT_FIELDS[name], one, known)
        if name == "id":
            return or_(false(), *map(self._has_id, one.alternatives))
        if not name:
            there = (EVENT_FIELDS[free] for free in FREE if free in columns)
            found = (self.among(columns[field.name], field, one, {}, anywhere=True) for field in there)
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


Question = Callable[[FromClause, ColumnElement[bool]], Select[Any]]
"""Returns a statement over events of which a condition holds."""
Count = Callable[[FromClause], ColumnElement[int]]
"""Counts events, each once where it may stand there twice."""


def each_row(_events: FromClause) -> ColumnElement[int]:
    return func.count()


def each_id(events: FromClause) -> ColumnElement[int]:
    return func.count(events.c.event_id.distinct())


def groups_statement(
    question: GroupsQuestion,
    count: Count,
    shown: ColumnElement[bool],
    events: FromClause,
    where: ColumnElement[bool],
) -> Select[Any]:
    """Return the statement; what isn't `shown` is only counted."""
    columns = {name: events.c[name] for name in EVENT_FIELDS if name in events.c} | {"at": events.c.epoch}
    keys = question.keys(columns, nothing="")
    number: Any = count(events)
    failed, denied = (marked(events.c.marks, one) for one in (EventProperty.FAILED, EventProperty.DENIED))
    numbers = [number.filter(of) for of in (shown, and_(shown, failed), and_(shown, denied))]
    ends = [of(events.c.epoch).filter(shown) for of in (func.min, func.max)]
    measures = zip(MEASURED, [*numbers, *ends, number.filter(not_(shown))], strict=True)
    counted = select(*keys, *(one.label(name) for name, one in measures)).select_from(events).where(where)
    return question.chosen([by_place(counted, len(keys))], nothing="")
