"""Does what a plan says, in this process, and looks again for what was written under the old key meanwhile.

No row is locked while KMS is asked. A token that changed between read and write is read and tried again; the
other writer's value is never overwritten. Interrupted or stopped, a run leaves only whole tokens behind, old
or new, and can be started again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from threading import Event
from time import monotonic

from crypto_core.database.state.journal import Journal
from crypto_core.database.tokens.attribution import Attributor
from crypto_core.database.tokens.store import StoredToken, TokenStore
from crypto_core.envelope import DEV_KEY
from crypto_core.guard.guarded_change import Run
from crypto_core.log.observation import SILENT, Observer
from crypto_core.reencryption.bulk.batch_sink import BatchSink
from crypto_core.reencryption.bulk.engine import Engine, OpenEngine
from crypto_core.reencryption.bulk.ports import TokenTask
from crypto_core.reencryption.bulk.quota import quota_of
from crypto_core.reencryption.bulk.token_sealer import Sealing
from crypto_core.reencryption.plan import Plan, RunProgress, RunResult
from crypto_core.reencryption.planner import Planner
from crypto_core.reencryption.run_ledger import RunLedger, run_sink
from crypto_core.values.errors import KmsError, RefusedError
from crypto_core.values.key_names import region_of

PAGE = 200
PASSES = 10

Progress = Callable[[RunProgress], None]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Runner:
    planner: Planner
    attributor: Attributor
    journal: Journal
    open_engine: OpenEngine
    _: KW_ONLY
    same_database: bool
    """True if the journal is in the tokens' own database."""
    dev_key: str = DEV_KEY
    observer: Observer = SILENT

    def run_plan(
        self, plan: Plan, run: Run, *, progress: Progress | None = None, cancelled: Event | None = None
    ) -> RunResult:
        """Carry out the plan; see RunResult. `progress` is called from another thread.

        Raises DatabaseError; what was written before stays.
        """
        began, stop = monotonic(), cancelled or Event()
        order = TokenTask.over(
            self.attributor.keyring,
            plan.verb,
            plan.target_key_arn,
            plan.source_key_arn,
            write_format=plan.write_format,
            allow_downgrade=plan.allow_downgrade,
            dev_key=self.dev_key,
            observer=self.observer,
        )

        def heard() -> None:
            counts = ledger.counts
            run.so_far["done"] = counts.done
            if progress is not None:
                seconds = monotonic() - began
                told = RunProgress(plan.tokens, counts.done, len(ledger.left), counts.conflicts, seconds)
                progress(told)

        detail = {"run": str(run.id), "to": plan.target_key_arn}
        ledger = RunLedger(
            self.attributor.answers, self.journal, plan.verb.value, detail, self.same_database, heard
        )
        sink = run_sink(self.attributor, order, run.id, plan.verb.value, ledger, stop)
        left_over, stopped_by = 0, ""
        try:
            with self.open_engine(order.keyring, quota_of(region_of(order.target) or "")) as engine:
                left_over, stopped_by = self._passes(plan, engine, sink, ledger, stop)
        except KmsError as error:
            stopped_by = str(error)
        counts, interrupted = ledger.counts, stop.is_set()
        if interrupted or stopped_by:
            left_over = plan.tokens - counts.done - counts.changed - len(ledger.left)
        return RunResult(
            verb=plan.verb,
            target_key_arn=plan.target_key_arn,
            planned=plan.tokens,
            done=counts.done,
            conflicts_retried=counts.conflicts,
            poisoned=ledger.unwritten,
            changed_meanwhile=counts.changed,
            remaining=max(left_over, 0),
            seconds=monotonic() - began,
            kms_calls=counts.kms_calls,
            interrupted=interrupted,
            stopped_by=stopped_by,
        )

    def _passes(
        self, plan: Plan, engine: Engine, sink: BatchSink, ledger: RunLedger, stop: Event
    ) -> tuple[int, str]:
        """Write what there is, until nothing is left or nothing more can be done.

        Returns how many are left, and what keeps the run from looking again.
        """
        scope, left_over, store = plan.scope, 0, self.attributor.store
        for _ in range(PASSES):
            before = ledger.counts.done
            pages = _RunPages(store, plan, ledger, store.pages(scope, size=PAGE))
            engine.pass_tokens(pages, sink, Sealing(sink.order).seal_token, stop)
            if stop.is_set() or not _repeats(plan):
                break
            # What the platform wrote under the old key meanwhile is found by looking again.
            try:
                resolved = self.planner.resolve_selection(plan.verb, plan.selection, plan.target_key_arn)
            except RefusedError as error:
                return left_over, str(error)
            scope = resolved.scope
            left_over = store.count(scope).total()
            left_over -= store.count(replace(scope, references=tuple(ledger.left))).total()
            if left_over <= 0 or ledger.counts.done == before:
                break
        return left_over, ""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _RunPages:
    store: TokenStore
    plan: Plan
    ledger: RunLedger
    pages: Iterator[list[StoredToken]]

    def next(self) -> Sequence[StoredToken]:
        """Return some tokens, none at the end; without those that can't be written. Raises DatabaseError."""
        left = ([t for t in page if t.ref not in self.ledger.left] for page in self.pages)
        return next((page for page in left if page), [])

    def again(self, tokens: Sequence[StoredToken]) -> Sequence[StoredToken]:
        """Return those tokens, read anew, that the plan is still about. Raises DatabaseError."""
        found = [t for t in self.store.read_many(t.ref for t in tokens) if t.format in self.plan.verb.formats]
        # Vanished, or written anew by the platform in a form that this plan is not about.
        self.ledger.count(changed=len(tokens) - len(found))
        return found


def _repeats(plan: Plan) -> bool:
    """True where a written token leaves the selection, so that looking again finds only what is left."""
    return bool(plan.selection.under_key or plan.selection.unprotected)
