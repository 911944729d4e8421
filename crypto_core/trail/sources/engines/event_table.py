"""A table of Athena's as a source of events: its rows, by its partitions, and its columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce

from sqlalchemy import ColumnElement, Select, literal_column, select

from crypto_core.errors import InvalidFilterError
from crypto_core.lists.filter_language import Clause
from crypto_core.trail.columns import moment
from crypto_core.trail.event_sql.conditions import EventConditions
from crypto_core.trail.event_sql.dialect import LONGEST, EngineStatement, can_be_literal, inlined, placed
from crypto_core.trail.event_sql.groups import Question
from crypto_core.trail.query import Aliases
from crypto_core.trail.sources.engines.athena import Athena
from crypto_core.trail.sources.engines.event_columns import event_columns
from crypto_core.trail.sources.engines.table_definition import TableDefinition
from crypto_core.trail.sources.engines.text_patterns import among_patterns
from crypto_core.trail.sources.pull_query import KEPT_SOURCES
from crypto_core.trail.sources.record_sql import RecordTable, between, iso
from crypto_core.trail.term_sql import Bounds, is_bound

_YEARS = range(1_000, 9_000)
"""Those that are compared as texts."""


@dataclass(frozen=True, slots=True)
class EventRows:
    rows: Select[tuple[object]]
    table: RecordTable

    @property
    def shown(self) -> str:
        """What follows SELECT *."""
        return inlined(self.rows).removeprefix("SELECT * ")

    def statement(self, question: Question, clauses: Sequence[Clause], aliases: Aliases) -> EngineStatement:
        """Return a question to those of the events of which clauses hold. Raises InvalidFilterError."""
        events = event_columns(self.rows, self.table.has)
        asked = question(events, EventConditions("Athena", events, among_patterns, aliases).every(clauses))
        statement, values = placed(asked)
        if not all(isinstance(value, str) and can_be_literal(value) for value in values):
            raise InvalidFilterError(
                f"Athena takes no value of more than {LONGEST:,} characters, or with control characters.",
                position=clauses[0].position if clauses else 0,
                remedy="Ask for less at once, or fetch the events: keydeck events pull --from athena.",
            )
        return EngineStatement(statement, values, inlined(asked))


def event_rows(engine: Athena, definition: TableDefinition, clauses: Sequence[Clause]) -> EventRows:
    """Return the rows of a filter's window, in the partitions that it demands. Raises SettingsError."""
    window = asked_window(clauses)
    table = engine.record_table(definition, clauses, window)
    whole: Select[tuple[object]] = select(literal_column("*")).select_from(table.source)
    return EventRows(whole.where(*table.limits, *_rows(window)), table)


def _rows(window: tuple[datetime | None, datetime | None]) -> Iterator[ColumnElement[bool]]:
    since, until = window
    yield literal_column("eventsource").in_(KEPT_SOURCES)
    if since or until:
        yield between(iso(since) if since else None, iso(until) if until else None)


def asked_window(clauses: Sequence[Clause]) -> tuple[datetime | None, datetime | None]:
    """Return the whole seconds between which a filter's events lie, as far as it demands an end of them."""
    bounds = reduce(
        Bounds.narrowed, (Bounds.of(one.alternatives[0]) for one in clauses if is_bound(one)), Bounds()
    )
    since, until = (None if end is None else moment(end) for end in (bounds.first, bounds.last))
    return (
        since if since and since.year in _YEARS else None,
        until + timedelta(seconds=1) if until and until.year in _YEARS else None,
    )
