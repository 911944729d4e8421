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

from crypto_core.aws.kms import KmsApi
from crypto_core.guard.consent import Consent, Danger, require
from crypto_core.lists.filter_language import Clause
from crypto_core.text.cleaning import cleans
from crypto_core.trail.columns import EventProperty
from crypto_core.trail.event_sql.conditions import BoundValues, EventConditions, flag, hides_services
from crypto_core.trail.event_sql.groups import GroupsQuestion
from crypto_core.trail.query import Aliases, parse
from crypto_core.trail.sources.engines.athena import Athena, AthenaSettings
from crypto_core.trail.sources.engines.event_columns import event_columns
from crypto_core.trail.sources.engines.event_table import asked_window, event_rows, require_literals
from crypto_core.trail.sources.engines.scanning import MOST_SCANNED, cost_of, expected_cost, run_to_end
from crypto_core.trail.sources.engines.text_patterns import AmongPatterns
from crypto_core.trail.sources.lake_sql import quoted
from crypto_core.trail.sources.pull_query import PullQuery
from crypto_core.trail.sources.query_run import Rest
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
    statement: str = field(repr=False)
    scans: str
    remarks: tuple[str, ...]
    scanned: int | None
    most: int
    sent: str = field(repr=False)
    literals: tuple[str, ...] = field(repr=False)

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
class AthenaTable:
    """A table of Athena's. `rest` waits between two looks at a running query."""

    kms: KmsApi
    settings: AthenaSettings
    clock: Callable[[], datetime]
    aliases: Aliases = dict
    rest: Rest = Event.wait

    def _athena(self) -> Athena:
        return Athena(self.kms, self.settings, self.kms.regions[0])


@dataclass(frozen=True, slots=True)
class AthenaStatistics(AthenaTable):
    """Counts a table's events. Raises as AthenaExaminations, and InvalidFilterError."""

    def plan_statistics(
        self,
        asked: GroupsQuestion,
        expression: str,
        *,
        most: int | None = None,
        cancelled: Event | None = None,
    ) -> StatisticsPlan:
        """Return the query, and what it is expected to scan. Raises RefusedError if that is too much."""
        engine = self._athena()
        most = MOST_SCANNED if most is None else most
        clauses = parse(expression, self.clock())
        definition, remarks = engine.definition()
        window = asked_window(clauses)
        if not any(window):
            remarks.append(_ALL)
        bound = BoundValues()
        rows = event_rows(engine, definition, clauses, bound)
        since, until = window
        files = PullQuery(since, until or self.clock()) if rows.by_day and since else None
        scanned, unlisted = engine.estimate(definition, files, cancelled)
        statement = self._statement(asked, clauses, event_columns(rows.source, rows.has), bound)
        told = (expected_cost(engine, scanned, most), *remarks, *rows.remarks, *unlisted, TWICE)
        sent, literals = bound.placed(statement, quoted)
        return StatisticsPlan(
            self.settings.table,
            asked,
            bound.written(statement, quoted),
            bound.written(f"FROM {rows.source}", quoted),
            told,
            scanned,
            most,
            sent,
            literals,
        )

    def run_statistics(
        self, plan: StatisticsPlan, consent: Consent | None, *, cancelled: Event | None = None
    ) -> PushedGroups:
        """Run a plan's query, return what it counted. Raises NotConfirmedError, InterruptedRunError."""
        require(consent, plan)
        engine = self._athena()
        execution = engine.start_statement(plan.sent, plan.literals)
        scanned = run_to_end(engine, execution, plan.most, cancelled, self.rest)
        rows: list[Sequence[Any]] = [tuple(r.values()) for r in engine.query_rows(execution, cancelled)]
        groups, hidden = plan.question.read(rows)
        return PushedGroups(groups, hidden, (cost_of(engine, scanned),))

    def _statement(
        self,
        asked: GroupsQuestion,
        clauses: Sequence[Clause],
        events: str,
        bound: BoundValues,
    ) -> str:
        kept = [one for one in clauses if not hides_services(one)]
        conditions = EventConditions("Athena", AmongPatterns(), self.aliases, bound)
        found = conditions.every(kept)
        require_literals(bound.values, clauses)
        shown = f"NOT ({flag(EventProperty.SERVICE)})" if len(kept) < len(clauses) else "true"
        return asked.statement(f"({events}) AS event", found, shown=shown, number="DISTINCT event_id")
