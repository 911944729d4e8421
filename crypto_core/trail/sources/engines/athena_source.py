"""Events out of a table of Athena's, at a cost that is told before and limited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from threading import Event

from crypto_core.aws.kms import KmsApi
from crypto_core.cancelling import stop_if
from crypto_core.errors import NotConfirmedError
from crypto_core.trail.columns import seconds
from crypto_core.trail.record_reader import read_record
from crypto_core.trail.sources.engine_rows import MISSING, record_of
from crypto_core.trail.sources.engines.athena import MOST_SCANNED, Athena, AthenaSettings
from crypto_core.trail.sources.plan import PullPlan
from crypto_core.trail.sources.pull_query import PullQuery, Rest, settled
from crypto_core.trail.sources.report import PullRun
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import PullBook, PullScope

ATHENA = "athena"
MOST_ROWS = 1_000_000
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class AthenaSource:
    """Thread-safe. `rest` waits between two looks at a running query."""

    kms: KmsApi
    store: EventStore
    book: PullBook
    settings: AthenaSettings
    clock: Callable[[], datetime]
    rest: Rest

    def covered_until(self, scope: str) -> int | None:
        """Return up to when all was fetched. A table knows no single Region."""
        return self.book.covered_until(self._run(scope))

    def plan_query(
        self,
        asked: PullQuery,
        regions: tuple[str, ...],
        *,
        most: int | None = None,
        cancelled: Event | None = None,
    ) -> PullPlan:
        """Return the query, and what it is expected to scan. Raises RefusedError if that is too much."""
        most = MOST_SCANNED if most is None else most
        engine = self._athena()
        query, scanned, remarks = engine.prepare_query(asked, regions, MOST_ROWS + 1, cancelled)
        told = [
            engine.expected_cost(scanned, most),
            f"Rows don't bring: {', '.join(MISSING)}.",
            *remarks,
        ]
        if query.left:
            told.append(f"Not decided by the query, but here: {', '.join(query.left)}.")
        return PullPlan(
            ATHENA,
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
        engine, asked, tally = self._athena(), plan.asked, pull.tally
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
        tally.note(engine.run_to_end(execution, plan.most or MOST_SCANNED, pull.cancelled, self.rest))
        rows = engine.query_rows(execution, pull.cancelled)
        regions: dict[str, None] = {}
        total, whole = 0, True
        while some := list(islice(rows, _AT_ONCE)):
            found = [read_record(record_of(row)) for row in some]
            total += len(some)
            if None in found:
                whole = False
                tally.gap(f"Athena: {found.count(None)} rows are not records.")
            kept = [e for e in found if e is not None and asked.wants(e)]
            kept = [e for e in kept if not plan.regions or e.region in plan.regions]
            regions |= {event.region: None for event in kept}
            stop_if(pull.cancelled)
            added = self.store.add(kept)
            tally.count("Athena", pages=1, records=len(some), added=added)
        if total > MOST_ROWS:
            whole = False
            tally.gap(f"Athena: more than {MOST_ROWS:,} rows; narrow the filter or the window.")
        if whole and not plan.regions:
            window = settled(asked.window, began)
            self.book.cover(self._run(asked.scope), window, seconds(self.clock()))
        return plan.regions or tuple(sorted(regions))

    def _run(self, scope: str) -> PullScope:
        return PullScope(ATHENA, "", scope, self.settings.table)

    def _athena(self) -> Athena:
        return Athena(self.kms, self.settings, self.kms.regions[0])
