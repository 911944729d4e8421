"""The rules' questions asked of Athena: counts come down, and records of what findings name alone.

One examination takes many statements. What they may scan together, and how many they may be, is agreed to
before the first, and neither is exceeded: a rule that would is a gap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, select

from crypto_core.errors import InvalidFilterError, QueryLimitError, RefusedError, TrailError
from crypto_core.guard.consent import Consent, Danger, require
from crypto_core.lists.filter_language import Clause, Term
from crypto_core.text.cleaning import cleans
from crypto_core.text.counting import counted
from crypto_core.trail.event import S3, TrailEvent
from crypto_core.trail.event_sql.dialect import EngineStatement
from crypto_core.trail.event_sql.groups import Count, each_id
from crypto_core.trail.event_sql.questions import Question
from crypto_core.trail.query import Aliases
from crypto_core.trail.record_reader import read_record
from crypto_core.trail.sources.engine_rows import record_of
from crypto_core.trail.sources.engines.athena import LEAST_BYTES, Athena
from crypto_core.trail.sources.engines.event_columns import RECORD_COLUMNS
from crypto_core.trail.sources.engines.event_table import event_rows
from crypto_core.trail.sources.engines.pushed_statistics import AthenaTable
from crypto_core.trail.sources.engines.table_definition import TableDefinition
from crypto_core.trail.sources.pull_query import KEPT_SOURCES
from crypto_core.trail.sources.query_run import MOST_SCANNED, Rest, run_to_end, size
from crypto_core.trail.store.event_questions import Span

_FURTHER = ("vpcEndpointId", "sessionCredentialFromConsole")
"""What records are read of besides what a pull brings, but for the version of TLS."""


def event_of_row(row: Mapping[str, str | None]) -> TrailEvent:
    """Return the event that a row with RECORD_COLUMNS tells of, as far as it does. Raises TrailError."""
    texts = {name: value or None for name, value in row.items()}
    record = record_of(texts) | {name: texts.get(name.lower()) for name in _FURTHER}
    found = read_record(record | {"tlsDetails": {"tlsVersion": texts.get("tlsdetails.tlsversion")}})
    if found is None:
        raise TrailError("A row of Athena's is no event.", remedy="Look at the table that is set up.")
    return found


HISTORY = timedelta(days=30)
MOST_STATEMENTS = 300
_LONGEST_STATEMENT = 262_144
"""Bytes that Athena takes."""


@dataclass(frozen=True, slots=True)
@cleans(remarks=500)
class ExaminationPlan:
    """A Subject of consent. One statement may scan `scanned` bytes (None: unknown), all of them `most`."""

    table: str
    since: datetime
    until: datetime
    remarks: tuple[str, ...]
    scanned: int | None
    most: int
    statements: int = MOST_STATEMENTS

    @property
    def danger(self) -> Danger:
        return Danger.CONFIRM

    @property
    def digest(self) -> str:
        said = [self.table, str(self.since), str(self.until), self.most, self.statements]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    @property
    def confirmation(self) -> str:
        return "athena"

    @property
    def begin(self) -> datetime:
        return _history(self.since)

    @property
    def scans(self) -> str:
        return f"{self.table}, events from {self.begin:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class AthenaExaminations(AthenaTable):
    """Examines a table's events. Raises SettingsError, KmsError, RefusedError, TrailError."""

    def plan_examination(
        self,
        since: datetime,
        until: datetime,
        *,
        most: int | None = None,
        cancelled: Event | None = None,
    ) -> ExaminationPlan:
        """Return what an examination of a window may take. Raises RefusedError if that is surely too much."""
        most = MOST_SCANNED if most is None else most
        span = Span(_history(since), until)
        window = _history(since), min(until, self.clock())
        engine, _, scanned, remarks = self.scan(span.terms, window, cancelled)
        told = (_expected(engine, scanned, most), *remarks)
        return ExaminationPlan(self.settings.table, since, until, told, scanned, most)

    def open_events(
        self, plan: ExaminationPlan, consent: Consent | None, *, cancelled: Event | None = None
    ) -> AthenaEvents:
        """Return what answers a plan's questions. Raises NotConfirmedError without consent to it."""
        require(consent, plan)
        engine = self._athena()
        return AthenaEvents(engine, engine.definition()[0], plan, self.aliases, self.rest, cancelled)


@dataclass(slots=True)
class AthenaEvents:
    """An EventEngine over a table, within the limits of a plan. The same question is asked once.

    Raises QueryLimitError, InterruptedRunError, TrailError, KmsError, InvalidFilterError.
    """

    engine: Athena
    definition: TableDefinition
    plan: ExaminationPlan
    aliases: Aliases
    rest: Rest
    cancelled: Event | None = None
    statements: int = 0
    scanned: int = 0
    _charged: int = 0
    _known: dict[EngineStatement, list[Mapping[str, str | None]]] = field(default_factory=dict)

    @property
    def count(self) -> Count:
        return each_id

    @property
    def note(self) -> str:
        price = self.engine.price(self._charged)
        ran = counted(self.statements, "statement")
        return f"Athena ran {ran} and scanned {self.scanned:,} bytes, {price} at list price."

    def rows(self, question: Question, clauses: Sequence[Clause]) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self._ask(question, clauses)]

    def records(self, clauses: Sequence[Clause], *, newest_first: bool, limit: int) -> tuple[TrailEvent, ...]:
        def question(events: FromClause, where: ColumnElement[bool]) -> Select[Any]:
            of = events.c
            order = [one.desc() if newest_first else one for one in (of.epoch, of.event_id)]
            wanted = select(of.event_id, of.epoch, *(of[name] for name in RECORD_COLUMNS)).distinct()
            return wanted.where(where).order_by(*order).limit(limit)

        return tuple(map(event_of_row, self._ask(question, clauses, RECORD_COLUMNS)))

    def _ask(
        self, question: Question, clauses: Sequence[Clause], also: Mapping[str, str] | None = None
    ) -> list[Mapping[str, str | None]]:
        within = (*clauses, *Span(self.plan.begin).terms)
        rows = event_rows(self.engine, self.definition, within, _sources(clauses))
        asked = rows.statement(question, within, self.aliases, also or {})
        if asked not in self._known:
            self._known[asked] = self._run(asked)
        return self._known[asked]

    def _run(self, asked: EngineStatement) -> list[Mapping[str, str | None]]:
        if len(asked.statement.encode()) > _LONGEST_STATEMENT:
            raise InvalidFilterError("Athena takes no statement that names so many values.", position=0)
        if self.statements >= self.plan.statements or self.scanned >= self.plan.most:
            raise QueryLimitError(
                f"Athena is asked no more: {counted(self.plan.statements, 'statement')} and "
                f"{size(self.plan.most)} are allowed."
            )
        execution = self.engine.start_query(asked)
        self.statements += 1
        left = self.plan.most - self.scanned
        try:
            self._count(run_to_end(self.engine, execution, left, self.cancelled, self.rest))
        except QueryLimitError:
            self._count(left)  # at least
            raise
        return list(self.engine.query_rows(execution, self.cancelled))

    def _count(self, scanned: int) -> None:
        self.scanned += scanned
        self._charged += max(scanned, LEAST_BYTES)


def _sources(clauses: Sequence[Clause]) -> tuple[str, ...]:
    """Whose events are read: those that a store keeps, or S3's where only these are asked for."""
    only = any(
        isinstance(one, Term)
        and (one.field, one.negated) == ("source", False)
        and [value.text for value in one.alternatives] == [S3]
        for one in clauses
    )
    return (S3,) if only else KEPT_SOURCES


def _expected(engine: Athena, scanned: int | None, most: int) -> str:
    """What is expected, as a sentence. Raises RefusedError where one statement alone is too much."""
    if scanned is not None and scanned > most:
        raise RefusedError(
            f"One statement would scan about {size(scanned)}; {size(most)} are allowed for all.",
            remedy="Ask for a shorter window, or allow more with --max-bytes.",
        )
    whole = MOST_STATEMENTS * max(scanned or 0, LEAST_BYTES)
    expected = "how much they scan is not known before"
    if scanned is not None:
        expected = f"each scans up to {size(scanned)}, all up to {size(whole)}, {engine.price(whole)}"
    return (
        f"{engine.name}: at most {MOST_STATEMENTS} statements over the window and {HISTORY.days} days before "
        f"it; {expected}; none runs beyond {size(most)} together, {engine.price(most)}. List prices; they "
        "vary by Region."
    )


def _history(since: datetime) -> datetime:
    return since - min(HISTORY, since - datetime.min.replace(tzinfo=UTC))
