"""Events counted by Athena itself: only the groups leave it, never the events.

Asked is the same question, in the same filter language, as of the store: see event_sql. A query is planned
first, so that what it costs is known before it begins; `run_statistics` runs the plan's own statement.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.errors import InvalidFilterError
from crypto_core.guard.consent import Consent, Danger, require
from crypto_core.lists.filter_language import Clause, Term
from crypto_core.text.cleaning import cleans
from crypto_core.trail.columns import EventProperty
from crypto_core.trail.event_sql.conditions import BoundValues, EventConditions, flag, hides_services
from crypto_core.trail.event_sql.groups import GroupsQuestion
from crypto_core.trail.query import Aliases, parse
from crypto_core.trail.sources.engines.athena import NO_DAYS, OCSF, Athena, AthenaSettings, delivery_days
from crypto_core.trail.sources.engines.event_columns import Has, event_columns
from crypto_core.trail.sources.engines.scanning import MOST_SCANNED, expected_cost, run_to_end
from crypto_core.trail.sources.engines.security_lake import is_ocsf, provided
from crypto_core.trail.sources.engines.table_definition import demanded
from crypto_core.trail.sources.engines.text_patterns import AmongPatterns
from crypto_core.trail.sources.lake_sql import LONGEST, can_be_literal, iso, quoted
from crypto_core.trail.sources.pull_query import KEPT_SOURCES, PullQuery
from crypto_core.trail.sources.query_run import Rest
from crypto_core.trail.store.statistics import EventGroups

_TWICE = (
    "A call with two records, of two accounts' trails or of a VPC endpoint besides, counts twice; a record "
    "that was delivered twice counts once."
)
_ALL = "No --since is given: all of the table is scanned."
_YEARS = range(1_000, 9_000)
"""Those that are compared as texts."""


@dataclass(frozen=True, slots=True)
@cleans(remarks=500)
class StatisticsPlan:
    """A query before it runs; a Subject of consent. `scans` says what of the table it reads.

    `scanned` are the bytes that it is expected to scan, None where that isn't known; `most` is the limit.
    """

    table: str
    question: GroupsQuestion
    statement: str = field(repr=False)
    """The whole query, its values in it."""
    scans: str
    remarks: tuple[str, ...]
    scanned: int | None
    most: int
    sent: str = field(repr=False)
    literals: tuple[str, ...] = field(repr=False)
    """What is sent: a ? for each of the literals."""

    @property
    def danger(self) -> Danger:
        """It costs money, and takes a press."""
        return Danger.CONFIRM

    @property
    def digest(self) -> str:
        """Names exactly this query."""
        said = [self.table, self.statement, self.most]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    @property
    def confirmation(self) -> str:
        """The engine's name."""
        return "athena"


@dataclass(frozen=True, slots=True)
@cleans(notes=500)
class PushedGroups:
    """What a query counted, how many events of AWS services the filter hid, and what it cost."""

    groups: EventGroups
    hidden: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AthenaStatistics:
    """Counts the events in one table of Athena's. `rest` waits between two looks at a running query.

    Raises SettingsError, KmsError, InvalidFilterError, RefusedError, TrailError.
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
        engine = self._athena()
        most = MOST_SCANNED if most is None else most
        clauses = parse(expression, self.clock())
        definition, remarks = engine.definition()
        window = _window(clauses)
        if not any(window):
            remarks.append(_ALL)
        bound = BoundValues()
        scanned: int | None = None
        has: Has
        if is_ocsf(definition):
            has = _within(provided(definition))
            source = engine.security_lake(definition, window, demanded(clauses, "region"))
            rows, more = [*_rows(window, bound)], [OCSF]
        else:
            has = definition.has
            source = engine.table
            by_day = definition.by_day(*delivery_days(*window))
            limits = [*definition.by_place(clauses, ()), *([] if by_day is None else [by_day])]
            rows = [*(one.written(bound) for one in limits), *_rows(window, bound)]
            more = [NO_DAYS] if definition.known and any(window) and by_day is None else []
            if definition.known:
                since, until = window
                files = PullQuery(since, until or self.clock()) if by_day is not None and since else None
                scanned, unlisted = engine.estimate(definition, files, cancelled)
                more += unlisted
        source = f"{source} WHERE {' AND '.join(rows)}"
        statement = self._statement(asked, clauses, event_columns(source, has), bound)
        told = (expected_cost(engine, scanned, most), *remarks, *more, _TWICE)
        literals: list[str] = []

        def placed(value: Any) -> str:
            literals.append(quoted(value))
            return "?"

        sent = bound.written(statement, placed)
        return StatisticsPlan(
            self.settings.table,
            asked,
            bound.written(statement, quoted),
            bound.written(f"FROM {source}", quoted),
            told,
            scanned,
            most,
            sent,
            tuple(literals),
        )

    def run_statistics(
        self, plan: StatisticsPlan, consent: Consent | None, *, cancelled: Event | None = None
    ) -> PushedGroups:
        """Run a plan's query and return what it counted. Raises NotConfirmedError without consent to it.

        Raises InterruptedRunError within moments of `cancelled`.
        """
        require(consent, plan)
        engine = self._athena()
        execution = engine.start_statement(plan.sent, plan.literals)
        note = run_to_end(engine, execution, plan.most, cancelled, self.rest)
        rows: list[Sequence[Any]] = [tuple(r.values()) for r in engine.query_rows(execution, cancelled)]
        groups, hidden = plan.question.read(rows)
        return PushedGroups(groups, hidden, (note,))

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
        _require_literals(bound.values, clauses)
        shown = f"NOT ({flag(EventProperty.SERVICE)})" if len(kept) < len(clauses) else "true"
        return asked.statement(f"({events}) AS event", found, shown=shown, number="DISTINCT event_id")

    def _athena(self) -> Athena:
        return Athena(self.kms, self.settings, self.kms.regions[0])


def _within(columns: frozenset[str]) -> Has:
    return lambda path: path.partition(".")[0] in columns


def _rows(window: tuple[datetime | None, datetime | None], bound: BoundValues) -> Iterator[str]:
    """The conditions on the table's own rows."""
    since, until = window
    yield f"eventsource IN ({', '.join(map(bound.bind, KEPT_SOURCES))})"
    if since:
        yield f"eventtime >= {bound.bind(iso(since))}"
    if until:
        yield f"eventtime <= {bound.bind(iso(until))}"


def _window(clauses: Sequence[Clause]) -> tuple[datetime | None, datetime | None]:
    """The whole seconds between which a filter's events lie, as far as it demands an end in so many words."""
    firsts: list[datetime] = []
    lasts: list[datetime] = []
    for term in clauses:
        if (
            isinstance(term, Term)
            and term.field == "time"
            and not term.negated
            and len(term.alternatives) == 1
        ):
            (value,) = term.alternatives
            firsts += [value.at_least] if isinstance(value.at_least, datetime) else []
            lasts += [value.at_most] if isinstance(value.at_most, datetime) else []
    since = max(firsts).replace(microsecond=0) if firsts else None
    until = min(lasts).replace(microsecond=0) if lasts else None
    return (
        since if since and since.year in _YEARS else None,
        until + timedelta(seconds=1) if until and until.year in _YEARS else None,
    )


def _require_literals(values: Mapping[str, Any], clauses: Sequence[Clause]) -> None:
    """Raise InvalidFilterError for a value that Athena takes none of."""
    if not all(isinstance(value, str) and can_be_literal(value) for value in values.values()):
        raise InvalidFilterError(
            f"Athena takes no value of more than {LONGEST:,} characters, or with control characters.",
            position=clauses[0].position if clauses else 0,
            remedy="Ask for less at once, or fetch the events: keydeck events pull --from athena.",
        )
