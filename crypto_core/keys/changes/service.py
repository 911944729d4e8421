"""What screens and commands call to change KMS keys: plan and run, every one of them journaled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from threading import Event
from typing import Any

from crypto_core.database.state.installation import require_schemas
from crypto_core.database.state.journal import Journal
from crypto_core.database.tokens.sweep.full_read import ReadingProgress
from crypto_core.guard.approvals import ApprovalGate
from crypto_core.guard.consent import Consent, Origin
from crypto_core.guard.guard import Guard
from crypto_core.guard.guarded_change import Ended, GuardedChange, Outcome, Run, ended_by
from crypto_core.keys.changes import creation, lifecycle, policies
from crypto_core.keys.changes.blocks import Blocks, read_blocks
from crypto_core.keys.changes.change import ChangeKind, KeyChange, check
from crypto_core.keys.changes.key_reader import KeyReader
from crypto_core.keys.changes.plan import UNCOUNTED, ChangedFact, ChangePlan, ChangeResult
from crypto_core.keys.changes.recipe import CallRecorder, Readings, Recipe
from crypto_core.values import errors

RECIPES: Mapping[ChangeKind, Recipe] = {
    **creation.RECIPES,
    **lifecycle.RECIPES,
    **policies.RECIPES,
}

PATIENCE = (0.3, 0.7, 1.5, 3.0)
"""Seconds between readings of an effect: KMS shows a change everywhere only after a while."""

MAYBE_DONE = (
    errors.KmsUnreachableError,
    errors.KmsInternalError,
    errors.KmsDependencyTimeoutError,
    errors.KmsUnreadableError,
)
"""Failures after which KMS may have done what it was asked for."""


class KeyChangeService:
    """Plans and makes changes of KMS keys. Blocks on KMS and SQL: call it from a worker."""

    def __init__(
        self,
        reader: KeyReader,
        journal: Journal,
        *,
        read_only: bool,
        approvals: ApprovalGate | None = None,
        patience: tuple[float, ...] = PATIENCE,
    ) -> None:
        """`approvals` is asked before anything is sent; None where nothing needs a second identity."""
        self._guard = Guard(
            journal, read_only=read_only, ready=require_schemas(journal.engine), approvals=approvals
        )
        self._reader = reader
        self._journal = journal
        self._patience = patience

    def plan_change(self, change: KeyChange, *, cancelled: Event | None = None) -> ChangePlan:
        """Return what would happen; journaled as a dry run.

        Without Keydeck's schema, or read only, the plan says that it could not be journaled. Raises
        RefusedError (journaled too) where the change can't be, PolicyError, SettingsError for what is no key
        name, KmsError, and InterruptedRunError once `cancelled` is set.
        """
        told = change.as_json()
        return self._guard.plan(
            _action(change),
            change.subject,
            lambda: self._draft(change, cancelled),
            lambda plan: told | _told(plan),
            told,
        )

    def watching_reading(self, show: Callable[[ReadingProgress], None]) -> AbstractContextManager[None]:
        """Have `show` called with how far the reading before a plan is, by the thread that plans."""
        return self._reader.status.sweeps.watching(show)

    def read_blocks(self, keys: Iterable[str], *, cancelled: Event | None = None) -> Blocks:
        """Return who is blocked on keys, by their ARNs; what can't be read is a gap.

        Raises InterruptedRunError once `cancelled` is set.
        """
        return read_blocks(self._reader, self._journal, keys, cancelled)

    def make_change(
        self, plan: ChangePlan, consent: Consent | None, *, cancelled: Event | None = None
    ) -> ChangeResult:
        """Do what the plan says, and read back what came of it.

        The key is read once more right before, and left alone if it is no longer what the plan saw. KMS has
        no write that depends on a state: what somebody else changes between that and the call goes unnoticed.

        Raises ReadOnlyError, MissingSchemaError or, without a consent to this very plan given as it demands,
        NotConfirmedError (journaled as refused) before anything is sent; RefusedError, journaled too, if the
        key is no longer what the plan saw; ApprovalNeededError, journaled too, where the settings want a
        second identity and none has approved this plan; KmsError, journaled as failed, if KMS did nothing of
        it. Where KMS did a part, or may have, the result says so in `stopped_by` instead. Raises
        InterruptedRunError once `cancelled` is set, if nothing was done by then.
        """

        def still() -> None:
            _require_number(plan, consent)
            _require_unchanged(plan, self._draft(plan.change, cancelled))

        change = GuardedChange(
            action=_action(plan.change),
            subject=plan.change.subject,
            words=f"{plan.change.kind.value.replace('-', ' ')} ({plan.change.subject})",
            plan=plan,
            summary=plan.title,
            shown=plan.as_json(),
            detail=plan.change.as_json(),
            still=still,
            changes_nothing=plan.changes_nothing,
        )
        if plan.changes_nothing:
            self._guard.agreed(change, consent)
            return ChangeResult(plan, plan.key_arn, verified=True, facts=plan.facts)
        recipe = RECIPES[plan.change.kind]
        calls = CallRecorder(self._reader.kms, plan.key_arn, plan.region, cancelled)

        def act(run: Run) -> errors.KeydeckError | None:
            run.begin(_told(plan))
            run.so_far["done"] = calls.done
            try:
                recipe.act(calls, plan)
            except errors.KeydeckError as error:
                if not calls.done and not isinstance(error, MAYBE_DONE):
                    raise
                return error
            except BaseException:  # raised again, with what was sent and not answered
                if calls.trying:
                    run.so_far["unanswered"] = calls.trying
                raise
            return None

        def read_back(run: Run, stopped: errors.KeydeckError | None) -> Ended[ChangeResult]:
            result = self._read_back(plan, recipe, calls, stopped, cancelled)
            outcome = ended_by(stopped) if stopped is not None and not result.verified else Outcome.DONE
            verified = "verified" if result.verified else "not verified"
            return Ended(result, outcome, result.as_json(), f"{outcome.value}, {verified}")

        result, unjournaled = self._guard.run(change, consent, act, read_back)
        return replace(result, unjournaled=unjournaled)

    def _read_back(
        self,
        plan: ChangePlan,
        recipe: Recipe,
        calls: CallRecorder,
        stopped: errors.KeydeckError | None,
        cancelled: Event | None,
    ) -> ChangeResult:
        """Look whether the effect is there, a few times: KMS does not show it everywhere at once."""
        seen: Readings = {}
        there, why = False, ""
        if calls.key_arn:
            # After a failure one look tells what there is.
            for pause in (*self._patience, None) if stopped is None else (None,):
                try:
                    seen, why = recipe.read_back(self._reader, plan, calls.key_arn), ""
                except errors.KeydeckError as error:
                    why = str(error)
                there = not why and recipe.there(plan, seen)
                if there or pause is None or (cancelled or Event()).wait(pause):
                    break
        if not there and not why:
            why = _not_seen(plan, seen, made=bool(calls.key_arn))
        self._reader.keys.refresh_aliases()
        return ChangeResult(
            plan=plan,
            key_arn=calls.key_arn,
            verified=there,
            facts=tuple(ChangedFact(name, plan.seen.get(name, "-"), value) for name, value in seen.items()),
            done=tuple(calls.done),
            stopped_by=_stop(stopped, calls, there=there) if stopped else "",
            unverified=why,
            next_steps=recipe.follow(plan, calls.key_arn, calls.done),
        )

    def _draft(self, change: KeyChange, cancelled: Event | None) -> ChangePlan:
        check(change)
        return RECIPES[change.kind].draft(self._reader.until(cancelled), change)


def _action(change: KeyChange) -> str:
    return f"keys {change.kind.value}"


def _require_number(plan: ChangePlan, given_by: Consent | None) -> None:
    """Raise NotConfirmedError where tokens would be lost, unless their number was typed."""
    tokens = plan.tokens
    if tokens is None or not plan.refused_unless_typed:
        return
    if given_by is not None and given_by.origin is Origin.TYPED:
        return
    if tokens.confirmation != UNCOUNTED:
        raise errors.NotConfirmedError(
            f"{plan.title}: refused, there are tokens under the key ({tokens}).",
            remedy=(
                "Re-encrypt them under another key first. To lose them all the same, type their number: "
                f"--lose-tokens {plan.confirmation}."
            ),
        )
    raise errors.NotConfirmedError(
        f"{plan.title}: refused, there may be tokens under the key: {' '.join(tokens.gaps)}",
        remedy=(
            "Remove what keeps them from being counted. To lose all the same what was not counted, type: "
            f"--lose-tokens {plan.confirmation}."
        ),
    )


def _require_unchanged(plan: ChangePlan, now: ChangePlan) -> None:
    names = dict.fromkeys((*plan.seen, *now.seen))
    changed = [
        f"{name} was {plan.seen.get(name, 'not there')}, is {now.seen.get(name, 'not there')}"
        for name in names
        if plan.seen.get(name) != now.seen.get(name)
    ]
    if plan.key_arn != now.key_arn:
        changed.append(f"{plan.change.key} was {plan.key_arn}, is {now.key_arn}")
    if not changed and (plan.expected, plan.operations) != (now.expected, now.operations):
        changed.append("the plan would now make other calls")
    if changed:
        raise errors.RefusedError(
            f"{plan.key_name} has changed since the preview: {'; '.join(changed)}. Nothing was sent.",
            remedy="Open a new preview.",
        )


def _not_seen(plan: ChangePlan, seen: Readings, *, made: bool) -> str:
    if not made:
        return "KMS named no key that could be looked at."
    missing = [
        f"{name} is {seen.get(name, 'not told')} instead of {value}"
        for name, value in plan.expected.items()
        if seen.get(name) != value
    ]
    return "; ".join(missing) or "; ".join(f"{name} is {value} as before" for name, value in seen.items())


def _stop(stopped: errors.KeydeckError, calls: CallRecorder, *, there: bool) -> str:
    done = ", ".join(f"kms:{operation}" for operation in calls.done)
    after = f" Done before that: {done}." if done else ""
    if isinstance(stopped, MAYBE_DONE) and calls.trying:
        seen = (
            "its effect is there" if there else "its effect could not be confirmed, but it may have been done"
        )
        return f"{stopped} kms:{calls.trying} was sent: {seen}.{after}"
    return f"{stopped}{after}"


def _told(plan: ChangePlan) -> dict[str, Any]:
    """What the journal keeps of a plan: all that was shown, without the policy's lines."""
    told = plan.as_json()
    del told["policy_diff"]
    return told
