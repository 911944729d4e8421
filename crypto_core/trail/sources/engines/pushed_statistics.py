"""Events counted by Athena itself: only the groups leave it, never the events.

Asked is the same question, in the same filter language, as of the store: see event_sql. A query is planned
first, so that what it costs is known before it begins; `run_statistics` runs the plan's own statement.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from threading import Event
from typing import Any

import sqlalchemy as sa

from crypto_core.aws.kms import KmsApi
from crypto_core.guard.consent import Consent, Danger, require
from crypto_core.lists.filter_language import Alternative, Clause, Term, lower
from crypto_core.lists.filter_terms import Network
from crypto_core.trail.columns import iso, moment
from crypto_core.trail.event_fields import EventField
from crypto_core.trail.event_sql import (
    LONGEST,
    EngineStatement,
    EventConditions,
    Question,
    can_be_literal,
    each_id,
    groups_statement,
    inlined,
    placed,
    shown_events,
    without_service,
)
from crypto_core.trail.query import Aliases, parse
from crypto_core.trail.sources.engines.athena import MOST_SCANNED, Athena, AthenaSettings
from crypto_core.trail.sources.engines.event_columns import event_columns
from crypto_core.trail.sources.engines.record_sql import RecordTable, between
from crypto_core.trail.sources.engines.table_definition import TableDefinition
from crypto_core.trail.sources.pull_query import KEPT_SOURCES, PullQuery, Rest
from crypto_core.trail.store.statistics import GroupsQuestion
from crypto_core.trail.store.tallies import Tallies
from crypto_core.trail.term_sql import Bounds, is_bound, spelt
from crypto_core.values.clean_text import cleans
from crypto_core.values.errors import InvalidFilterError

_SPACE = sa.literal_column("' '", sa.String)
_SEVERAL = ("key", "material")
_LONGEST = 400
"""Characters of a value: written as a pattern it may be twice as long, and Athena takes 1,024."""
_CONTROL = re.compile("[\x00-\x1f]")
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])"


def among_patterns(
    column: sa.ColumnElement[str],
    field: EventField,
    term: Term,
    aliases: Mapping[str, Sequence[str]],
    *,
    anywhere: bool = False,
) -> sa.ColumnElement[bool]:
    """An `Among` for Trino."""
    found: list[sa.ColumnElement[bool]] = []
    for value in term.alternatives:
        if value.is_anything:
            return column != ""
        reason = _unsaid(field, value)
        if reason:
            raise InvalidFilterError(
                f"Filter, character {term.position + 1}: Athena can't be asked for {reason}.",
                position=term.position,
                remedy="Fetch the events and ask the store: keydeck events pull --from athena.",
            )
        found += _meant(column, field, value, aliases, anywhere=anywhere)
    return sa.and_(column != "", sa.or_(sa.false(), *found))


def _unsaid(field: EventField, value: Alternative) -> str:
    """What Athena can't be asked for, "" where it can."""
    if not can_be_literal(value.text) or len(value.text) > _LONGEST:
        return f"a value of more than {_LONGEST} characters, or with control characters"
    if value.network is not None and value.network.version != 4:
        return "a network of IPv6"
    if value.pattern is not None and (
        field.name in _SEVERAL
        or (field.shortened and "^" in value.pattern.written)
        or (field.ending and "$" in value.pattern.written)
    ):
        return f"this regular expression of {field.name}"
    return ""


def _meant(
    column: sa.ColumnElement[str],
    field: EventField,
    value: Alternative,
    aliases: Mapping[str, Sequence[str]],
    *,
    anywhere: bool,
) -> Iterator[sa.ColumnElement[bool]]:
    small = _folded(column)
    if value.pattern is not None:
        # No text of an event has control characters; a class may name some.
        written = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", value.pattern.translated)
        yield sa.func.regexp_like(small, written)
    elif value.network is not None:
        yield sa.func.regexp_like(column, _addresses(value.network))
    elif field.name in _SEVERAL:
        for one in _each_of_several(field, value, anywhere=anywhere):
            yield sa.func.regexp_like(_SPACE.concat(small).concat(_SPACE), one)
        for arn, names in aliases.items():
            if any(value.matches(name, anywhere=anywhere) for name in names):
                yield sa.func.strpos(_SPACE.concat(column).concat(_SPACE), f" {arn} ") > 0
    else:
        yield from spelt(small, value, field, anywhere=anywhere)


def _folded(column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """Return a column in lower case as `lower` has it: of a letter that becomes two, it is itself."""
    dotted, unused = sa.func.chr(304), sa.func.chr(57344)
    return sa.func.replace(sa.func.lower(sa.func.replace(column, dotted, unused)), unused, dotted)


def _each_of_several(field: EventField, value: Alternative, *, anywhere: bool) -> Iterator[str]:
    """Regular expressions of one of the values in a column of several; a key may be named by its id alone."""
    written = "[^ ]*".join(re.escape(lower(part)) for part in value.parts)
    if anywhere:
        yield written
        return
    yield f" {written} "
    if field.name == "key":
        yield f"/{written.replace('[^ ]*', '[^ /]*')} "


def _addresses(network: Network) -> str:
    first, last = (str(end).split(".") for end in (network.network_address, network.broadcast_address))
    parts = [_numbers(int(low), int(high)) for low, high in zip(first, last, strict=True)]
    return rf"\A{'[.]'.join(parts)}\z"


def _numbers(low: int, high: int) -> str:
    return _OCTET if (low, high) == (0, 255) else f"({'|'.join(map(str, range(low, high + 1)))})"


_YEARS = range(1_000, 9_000)
"""Those that are compared as texts."""


@dataclass(frozen=True, slots=True)
class EventRows:
    rows: sa.Select[tuple[object]]
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
    whole: sa.Select[tuple[object]] = sa.select(sa.literal_column("*")).select_from(table.source)
    ends = [iso(end) if end else None for end in window]
    within = [between(*ends)] if any(ends) else []
    kept = sa.literal_column("eventsource").in_(KEPT_SOURCES)
    return EventRows(whole.where(*table.limits, kept, *within), table)


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


TWICE = (
    "A call with two records, of two accounts' trails or of a VPC endpoint besides, counts twice; a record "
    "that was delivered twice counts once."
)
_ALL = "No --since is given: all of the table is scanned."


@dataclass(frozen=True, slots=True)
@cleans(remarks=500)
class StatisticsPlan:
    """A Subject of consent. It may scan `scanned` bytes (None: unknown) of `scans`, not more than `most`."""

    table: str
    question: GroupsQuestion
    query: EngineStatement = field(repr=False)
    scans: str
    remarks: tuple[str, ...]
    scanned: int | None
    most: int

    @property
    def statement(self) -> str:
        return self.query.inlined

    @property
    def danger(self) -> Danger:
        return Danger.CONFIRM

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps([self.table, self.statement, self.most]).encode()).hexdigest()

    @property
    def confirmation(self) -> str:
        return "athena"


@dataclass(frozen=True, slots=True)
@cleans(notes=500)
class PushedGroups:
    """What a query counted, how many events of AWS services the filter hid, and what it cost."""

    groups: Tallies
    hidden: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AthenaStatistics:
    """Counts the events of a table of Athena's. `rest` waits between two looks at a running query.

    Raises SettingsError, KmsError, RefusedError, TrailError, InvalidFilterError.
    """

    kms: KmsApi
    settings: AthenaSettings
    clock: Callable[[], datetime]
    aliases: Aliases = dict
    rest: Rest = Event.wait

    def plan_statistics(
        self,
        asked: GroupsQuestion,
        expression: str,
        *,
        most: int | None = None,
        cancelled: Event | None = None,
    ) -> StatisticsPlan:
        """Return the query, and what it is expected to scan. Raises RefusedError if that is too much."""
        most = MOST_SCANNED if most is None else most
        clauses = parse(expression, self.clock())
        engine, rows, scanned, remarks = self._scan(clauses, cancelled)

        def question(events: sa.FromClause, where: sa.ColumnElement[bool]) -> sa.Select[Any]:
            return groups_statement(asked, each_id, shown_events(clauses, events), events, where)

        told = (engine.expected_cost(scanned, most), *remarks)
        statement = rows.statement(question, without_service(clauses), self.aliases)
        return StatisticsPlan(self.settings.table, asked, statement, rows.shown, told, scanned, most)

    def run_statistics(
        self, plan: StatisticsPlan, consent: Consent | None, *, cancelled: Event | None = None
    ) -> PushedGroups:
        """Run a plan's query, return what it counted. Raises NotConfirmedError, InterruptedRunError."""
        require(consent, plan)
        engine = Athena(self.kms, self.settings)
        execution = engine.start_query(plan.query)
        cost = engine.run_to_end(execution, plan.most, cancelled, self.rest)
        rows: list[Sequence[Any]] = [tuple(r.values()) for r in engine.query_rows(execution, cancelled)]
        groups, hidden = plan.question.read(rows)
        return PushedGroups(groups, hidden, (cost,))

    def _scan(
        self, clauses: Sequence[Clause], cancelled: Event | None
    ) -> tuple[Athena, EventRows, int | None, list[str]]:
        """Return what a filter asks of, the bytes of a window's files (None: not known), and remarks."""
        engine = Athena(self.kms, self.settings)
        definition, remarks = engine.definition()
        rows = event_rows(engine, definition, clauses)
        since, until = asked_window(clauses)
        if since is None and until is None:
            remarks.append(_ALL)
        files = PullQuery(since, until or self.clock()) if rows.table.by_day and since else None
        scanned, unlisted = engine.estimate(definition, files, cancelled)
        return engine, rows, scanned, [*remarks, *rows.table.remarks, *unlisted, TWICE]
