"""Events counted by Athena itself: only the groups leave it, never the events.

Asked is the same question, in the same filter language, as of the store: see event_sql. A query is planned
first, so that what it costs is known before it begins; `run_statistics` runs the plan's own statement.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select

from crypto_core.aws.kms import KmsApi
from crypto_core.guard.consent import Consent, Danger, require
from crypto_core.lists.filter_language import Clause
from crypto_core.text.cleaning import cleans
from crypto_core.trail.event_sql.conditions import shown_events, without_service
from crypto_core.trail.event_sql.dialect import EngineStatement
from crypto_core.trail.event_sql.groups import each_id, groups_statement
from crypto_core.trail.query import Aliases, parse
from crypto_core.trail.sources.engines.athena import MOST_SCANNED, Athena, AthenaSettings
from crypto_core.trail.sources.engines.event_table import EventRows, asked_window, event_rows
from crypto_core.trail.sources.pull_query import PullQuery, Rest
from crypto_core.trail.store.statistics import GroupsQuestion
from crypto_core.trail.store.tallies import Tallies

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
        said = [self.table, self.statement, self.most]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

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

    def _athena(self) -> Athena:
        return Athena(self.kms, self.settings, self.kms.regions[0])

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

        def question(events: FromClause, where: ColumnElement[bool]) -> Select[Any]:
            return groups_statement(asked, each_id, shown_events(clauses, events), events, where)

        told = (engine.expected_cost(scanned, most), *remarks)
        statement = rows.statement(question, without_service(clauses), self.aliases)
        return StatisticsPlan(self.settings.table, asked, statement, rows.shown, told, scanned, most)

    def run_statistics(
        self, plan: StatisticsPlan, consent: Consent | None, *, cancelled: Event | None = None
    ) -> PushedGroups:
        """Run a plan's query, return what it counted. Raises NotConfirmedError, InterruptedRunError."""
        require(consent, plan)
        engine = self._athena()
        execution = engine.start_query(plan.query)
        cost = engine.run_to_end(execution, plan.most, cancelled, self.rest)
        rows: list[Sequence[Any]] = [tuple(r.values()) for r in engine.query_rows(execution, cancelled)]
        groups, hidden = plan.question.read(rows)
        return PushedGroups(groups, hidden, (cost,))

    def _scan(
        self, clauses: Sequence[Clause], cancelled: Event | None
    ) -> tuple[Athena, EventRows, int | None, list[str]]:
        """Return what a filter asks of, the bytes of a window's files (None: not known), and remarks."""
        engine = self._athena()
        definition, remarks = engine.definition()
        rows = event_rows(engine, definition, clauses)
        since, until = asked_window(clauses)
        if since is None and until is None:
            remarks.append(_ALL)
        files = PullQuery(since, until or self.clock()) if rows.table.by_day and since else None
        scanned, unlisted = engine.estimate(definition, files, cancelled)
        return engine, rows, scanned, [*remarks, *rows.table.remarks, *unlisted, TWICE]
