"""Athena and CloudTrail Lake: each scans where the logs are, at a cost that is told before and limited."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from threading import Event

from crypto_core.aws.kms import KmsApi
from crypto_core.cancelling import stop_if
from crypto_core.errors import NotConfirmedError, SettingsError
from crypto_core.trail.columns import seconds
from crypto_core.trail.record_reader import read_record
from crypto_core.trail.sources.engine_rows import MISSING, record_of
from crypto_core.trail.sources.engines.athena import Athena, AthenaSettings
from crypto_core.trail.sources.engines.lake import Lake
from crypto_core.trail.sources.plan import PullPlan
from crypto_core.trail.sources.pull_query import PullQuery, settled
from crypto_core.trail.sources.query_run import MOST_SCANNED, Rest, cost_of, expected_cost, run_to_end
from crypto_core.trail.sources.report import PullRun
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import PullBook, PullScope

MOST_ROWS = 1_000_000
_AT_ONCE = 1_000

_SET_STORE = "Set KEYDECK_LAKE_STORE to the ARN of an event data store."
_STORE = re.compile(
    r"arn:[a-z0-9-]+:cloudtrail:(?P<region>[a-z0-9-]+):\d{12}:eventdatastore/(?P<id>[0-9a-f-]{36})"
)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Which table and which event data store are asked; "" where none is set up."""

    athena: AthenaSettings = field(default_factory=AthenaSettings)
    lake_store: str = ""


@dataclass(frozen=True, slots=True)
class Engines:
    """The query engines. Thread-safe. `rest` waits between two looks at a running query."""

    kms: KmsApi
    store: EventStore
    book: PullBook
    settings: EngineSettings
    clock: Callable[[], datetime]
    rest: Rest

    def covered_until(self, kind: str, scope: str) -> int | None:
        """Return up to when all was fetched. An engine's tables know no single Region."""
        return self.book.covered_until(self._run(kind, scope))

    def plan_query(
        self,
        kind: str,
        asked: PullQuery,
        regions: tuple[str, ...],
        *,
        most: int | None = None,
        cancelled: Event | None = None,
    ) -> PullPlan:
        """Return the query, and what it is expected to scan. Raises RefusedError if that is too much."""
        most = MOST_SCANNED if most is None else most
        engine = self._engine(kind)
        query, scanned, remarks = engine.prepare_query(asked, regions, MOST_ROWS + 1, cancelled)
        told = [
            expected_cost(engine, scanned, most),
            f"Rows don't bring: {', '.join(MISSING)}.",
            *remarks,
        ]
        if query.left:
            told.append(f"Not decided by the query, but here: {', '.join(query.left)}.")
        return PullPlan(
            kind,
            asked,
            regions,
            remarks=tuple(told),
            statement=query.inlined,
            scanned=scanned,
            most=most,
            costs=True,
        )

    def pull_events(self, plan: PullPlan, pull: PullRun) -> tuple[str, ...]:
        """Store the rows of a plan's query; return their Regions. Raises NotConfirmedError if it changed."""
        engine, asked, tally = self._engine(plan.source), plan.asked, pull.tally
        began = self.clock()
        query, _, remarks = engine.prepare_query(
            asked, plan.regions, MOST_ROWS + 1, pull.cancelled, estimate=False
        )
        if query.inlined != plan.statement:
            raise NotConfirmedError(
                "The query has become another one than was agreed to: the table or the aliases of keys are "
                "others now.",
                remedy="Look at it again, then run it.",
            )
        for remark in remarks:
            tally.note(remark)
        execution = engine.start_query(query)
        scanned = run_to_end(engine, execution, plan.most or MOST_SCANNED, pull.cancelled, self.rest)
        tally.note(cost_of(engine, scanned))
        rows = engine.query_rows(execution, pull.cancelled)
        regions: dict[str, None] = {}
        total, whole = 0, True
        while some := list(islice(rows, _AT_ONCE)):
            found = [read_record(record_of(row)) for row in some]
            total += len(some)
            if None in found:
                whole = False
                tally.gap(f"{engine.name}: {found.count(None)} rows are not records.")
            kept = [e for e in found if e is not None and asked.wants(e)]
            kept = [e for e in kept if not plan.regions or e.region in plan.regions]
            regions |= {event.region: None for event in kept}
            stop_if(pull.cancelled)
            added = self.store.add(kept)
            tally.count(engine.name, pages=1, records=len(some), added=added)
        if total > MOST_ROWS:
            whole = False
            tally.gap(f"{engine.name}: more than {MOST_ROWS:,} rows; narrow the filter or the window.")
        if whole and not plan.regions:
            self.book.cover(
                self._run(plan.source, asked.scope), settled(asked.window, began), seconds(self.clock())
            )
        return plan.regions or tuple(sorted(regions))

    def _run(self, kind: str, scope: str) -> PullScope:
        place = self.settings.athena.table if kind == "athena" else self.settings.lake_store
        return PullScope(kind, "", scope, place)

    def _engine(self, kind: str) -> Athena | Lake:
        if kind == "athena":
            return Athena(self.kms, self.settings.athena, self.kms.regions[0])
        arn = self.settings.lake_store
        if not arn:
            raise SettingsError("No event data store is set up.", remedy=_SET_STORE)
        found = _STORE.fullmatch(arn)
        if found is None:
            raise SettingsError(f"{arn!r} is not an event data store.", remedy=_SET_STORE)
        return Lake(self.kms, arn, found["id"], found["region"])
