"""What screens and commands call to write tokens anew: plan, run, verify; every one of them journaled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from threading import Event

from sqlalchemy import Engine

from crypto_core.database.state.installation import require_schemas
from crypto_core.database.state.journal import Journal
from crypto_core.database.tokens.attached_code import require_same_code
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent
from crypto_core.guard.guard import Guard
from crypto_core.guard.guarded_change import Ended, GuardedChange, Outcome, Run
from crypto_core.reencryption.plan import Plan, RunProgress, RunResult, Selection, Verb, Verification
from crypto_core.reencryption.planner import Planner
from crypto_core.reencryption.runner import Runner
from crypto_core.reencryption.verification import Verifier
from crypto_core.values.counts import counted
from crypto_core.values.errors import DatabaseError, RefusedError


@dataclass(eq=False, repr=False)
class TokenWorkService:
    """Plans, runs and verifies. Blocks on SQL and KMS: call it from a worker."""

    engine: Engine
    planner: Planner
    runner: Runner
    verifier: Verifier
    journal: Journal
    _: KW_ONLY
    read_only: bool
    approvals: ApprovalGate | None = None
    """Asked before a run; None where nothing needs a second identity."""

    def __post_init__(self) -> None:
        ready = require_schemas(self.engine, self.journal.engine)
        self._guard = Guard(self.journal, read_only=self.read_only, ready=ready, approvals=self.approvals)

    def plan_reencryption(
        self, verb: Verb, selection: Selection, target: str, *, allow_downgrade: bool = False
    ) -> Plan:
        """Return what would happen; journaled as a dry run.

        Without Keydeck's schema, or read only, the plan says that it could not be journaled. Raises
        RefusedError (journaled too) where a run must not start, InvalidReferenceError, KmsError,
        DatabaseError.
        """
        return self._guard.plan(
            verb.value,
            str(selection),
            lambda: self.planner.plan_tokens(verb, selection, target, allow_downgrade=allow_downgrade),
            Plan.as_json,
            {"to": target},
        )

    def run_plan(
        self,
        plan: Plan,
        consent: Consent | None,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> RunResult:
        """Do what the plan says.

        Raises ReadOnlyError, MissingSchemaError, RefusedError for what only a job does or, without a consent
        to this very plan, NotConfirmedError (journaled as refused) before anything is changed. Raises
        DatabaseError if the database fails on the way; what was written before stays written.
        """

        def still() -> None:
            if plan.unlisted:
                raise RefusedError(f"Use a job to {plan.verb.words} {counted(plan.tokens, 'token')}.")
            require_same_code(plan.code, self.planner.store.code_at(plan.by_column))

        change = GuardedChange.of(
            plan,
            plan.verb.value,
            str(plan.selection),
            words=f"{plan.verb.words} {counted(plan.tokens, 'token')}",
            detail={"to": plan.target_key_arn, "planned": plan.tokens},
            still=still,
        )

        def act(run: Run) -> RunResult:
            run.begin({})
            return self.runner.run_plan(plan, run, progress=progress, cancelled=cancelled)

        result, unjournaled = self._guard.run(change, consent, act, _ended)
        if unjournaled:
            raise DatabaseError(
                f"{counted(result.done, 'token')} written; the end could not be journaled: {unjournaled}"
            )
        return result

    def verify_tokens(
        self,
        selection: Selection,
        *,
        progress: Callable[[RunProgress], None] | None = None,
        cancelled: Event | None = None,
    ) -> tuple[Verification, ...]:
        return self.verifier.verify_selection(selection, progress=progress, cancelled=cancelled)


def _ended(_: Run, result: RunResult) -> Ended[RunResult]:
    outcome = Outcome.DONE
    if result.interrupted:
        outcome = Outcome.INTERRUPTED
    elif result.stopped_by:
        outcome = Outcome.FAILED
    counts = (
        f"{result.done} of {result.planned} done, {len(result.poisoned)} not written, "
        f"{result.remaining} remaining, {result.seconds:.1f} s"
    )
    return Ended(result, outcome, result.as_json(), counts)
