"""Runs the actions of steps: planned, confirmed, started, stored, proved.

That a step was begun is written before its action runs, what came of it after: whatever ends a console in
between, the next one sees a step that was begun, and runs it again or looks at its check. A second
identity is asked by the service that an action calls, right before anything is changed; until somebody has
approved, the step is as if it was not begun.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from threading import Event

from crypto_core.database.state.leases import leased
from crypto_core.guard.consent import Consent, require
from crypto_core.guard.guarded_change import Outcome, ended_by
from crypto_core.guard.held_step import performing
from crypto_core.incidents.model import EntryKind, IncidentView, StepState, StepView
from crypto_core.incidents.runbooks.catalogue import StepAction
from crypto_core.incidents.steps.conditions import require_decided
from crypto_core.incidents.steps.evidence_text import Hiding, joined, kept_text, told_inputs
from crypto_core.incidents.steps.parts import IncidentParts, out_of_order, still_open
from crypto_core.incidents.steps.step_checks import ENDED, INCOMPLETE, StepProof
from crypto_core.incidents.steps.step_contracts import (
    ActionPlan,
    ActionResult,
    Captured,
    IncidentAction,
    InputField,
    Situation,
)
from crypto_core.values import errors
from crypto_core.values.secret import Secret

_log = logging.getLogger(__name__)

Inputs = Mapping[str, str | Secret]


class StepActions:
    """Plans and runs the actions of steps. Everything blocks on SQL and AWS."""

    def __init__(self, parts: IncidentParts, proof: StepProof) -> None:
        self._parts = parts
        self._proof = proof

    def fields(
        self, number: int, step_id: str, inputs: Inputs | None = None, *, cancelled: Event | None = None
    ) -> tuple[InputField, ...]:
        """Return what has to be entered before a step's action can be planned. Raises RefusedError."""
        view, step = self._parts.open_step(number, step_id)
        action, _ = self._action(view, step)
        require_decided(view.runbook, number, step_id, view.step)
        return action.fields(Situation(view.incident, step.step, inputs or {}, cancelled))

    def plan_action(
        self, number: int, step_id: str, inputs: Inputs | None = None, *, cancelled: Event | None = None
    ) -> ActionPlan:
        """Return what a step's action would do; journaled as a dry run, or as refused. Raises as it."""
        given = inputs or {}
        view, step = self._parts.open_step(number, step_id)
        action, does = self._action(view, step)
        subject = f"{view.incident.name} {step_id}"
        detail = {"action": str(step.step.action), **told_inputs(given)}

        def make() -> ActionPlan:
            require_decided(view.runbook, number, step_id, view.step)
            with performing(does.operations):
                return action.plan_action(Situation(view.incident, step.step, given, cancelled))

        return self._parts.guard.plan(
            "incident plan",
            subject,
            make,
            lambda plan: detail | {"plan": plan.digest, "title": kept_text(plan.title)},
            detail,
            lambda error: kept_text(error.message),
        )

    def run_action(
        self,
        number: int,
        step_id: str,
        plan: ActionPlan,
        consent: Consent | None,
        inputs: Inputs | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Event | None = None,
    ) -> ActionResult:
        """Do what the plan says, keep what it found as evidence, and end the step if it is proved.

        Where it isn't, the result's last line says why. Raises ReadOnlyError, MissingSchemaError,
        NotConfirmedError, ApprovalNeededError, RefusedError (somebody else has ended the step, or runs it),
        and what the action raises: the step stays begun then.
        """
        inputs = inputs or {}
        self._parts.guard.may_change("run an action")
        view, step = self._parts.open_step(number, step_id)
        action, does = self._action(view, step)
        given = self._agreed(view, step, plan, consent)
        actor = self._parts.actor()
        with leased(self._parts.engine, number, step_id, actor), _hiding(inputs) as hiding:
            try:
                view, step, was = self._begun(view, step, plan, given, inputs, actor)
                situation = Situation(view.incident, step.step, inputs, cancelled)
                try:
                    with performing(does.operations):
                        result = action.run_action(situation, plan, given, progress)
                except BaseException as error:
                    self._failed(view, step, was, error, actor, hiding)
                    raise
                result = self._kept(view, step, result, actor, hiding)
                return self._settled(view, step, replace(situation, inputs={}), result, hiding)
            except errors.StepLostError as lost:
                subject, detail = f"{view.incident.name} {step_id}", {"reason": lost.message}
                self._parts.guard.try_to_record("incident run", subject, ended_by(lost), detail)
                raise

    def _action(self, view: IncidentView, step: StepView) -> tuple[IncidentAction, StepAction]:
        kind = step.step.action
        name = f"Step {step.step.id} of {view.incident.name}"
        if kind is None:
            raise errors.RefusedError(f"{name} has no action; it is done by hand.")
        action = self._parts.toolbox.actions.get(kind)
        if action is None:
            why = self._parts.toolbox.not_installed(kind, "Action") or f"{kind} can't be done from here."
            raise errors.RefusedError(f"{name}: {why}")
        return action, kind.does

    def _agreed(
        self, view: IncidentView, step: StepView, plan: ActionPlan, consent: Consent | None
    ) -> Consent:
        detail = {"action": str(step.step.action), "plan": plan.digest}
        with self._parts.guard.recording("incident run", f"{view.incident.name} {step.step.id}", detail):
            require_decided(view.runbook, view.incident.id, step.step.id, view.step)
            return require(consent, plan)

    def _begun(
        self, view: IncidentView, step: StepView, plan: ActionPlan, given: Consent, inputs: Inputs, actor: str
    ) -> tuple[IncidentView, StepView, StepState]:
        """Note that the step is begun; returns it with the state that it was in, as its lock has seen it."""
        step_id = step.step.id
        with self._parts.store.change(view.incident.id, actor) as change:
            row = still_open(change, step_id)
            require_decided(view.runbook, view.incident.id, step_id, change.step)
            again = row.state == StepState.BEGUN.value
            note = "" if again else out_of_order(view.runbook, change, step_id)
            change.set_step(
                step_id,
                row.state,
                StepState.BEGUN.value,
                begun_at=row.begun_at or change.now,
                actor=actor,
                trouble="",
            )
            told = kept_text(f"Begun: {plan.title}.{note}", 1_000)
            change.tell(EntryKind.ACTION.value, step_id, told)
            detail = {
                "action": str(step.step.action),
                "plan": plan.digest,
                "consent": given.origin.value,
                **told_inputs(inputs),
            }
            change.record("incident begin", step_id, Outcome.STARTED, detail)
        return *self._parts.open_step(view.incident.id, step_id), StepState(row.state)

    def _failed(
        self,
        view: IncidentView,
        step: StepView,
        was: StepState,
        error: BaseException,
        actor: str,
        hiding: Hiding,
    ) -> None:
        """Store why an action ended without a result; its check shows what it did."""
        left = was if isinstance(error, errors.ApprovalNeededError) else StepState.BEGUN
        outcome = ended_by(error)
        # Only our own errors are made to be shown.
        known = isinstance(error, errors.KeydeckError)
        reason = hiding.text(error if known else type(error).__name__, 2_000)
        step_id = step.step.id
        try:
            with self._parts.store.change(view.incident.id, actor) as change:
                row = change.step(step_id)
                if row.state == StepState.BEGUN.value:
                    change.set_step(step_id, row.state, left.value, trouble=reason)
                change.tell(EntryKind.ACTION.value, step_id, f"{outcome.value.capitalize()}: {reason}")
                detail = {"action": str(step.step.action), "reason": reason}
                change.record("incident run", step_id, outcome, detail)
        except (errors.DatabaseError, errors.StepLostError) as lost:
            # The step stays begun, which says as much; the first error is the one to be told.
            _log.warning("What ended step %s of %s could not be kept: %s", step_id, view.incident.name, lost)

    def _kept(
        self, view: IncidentView, step: StepView, result: ActionResult, actor: str, hiding: Hiding
    ) -> ActionResult:
        """Store the result, whatever the step's state by now; return it as stored."""
        step_id = step.step.id
        lines, values = list(hiding.lines(result.lines)), hiding.values(result.values)
        drafts = [hiding.evidence(piece) for piece in result.evidence]
        # Of a step with a check, that tells how far it is.
        trouble = (
            "" if result.complete or step.step.check else kept_text(f"{INCOMPLETE} {joined(lines)}", 2_000)
        )
        with self._parts.store.change(view.incident.id, actor) as change:
            row = change.step(step_id)
            if row.state == StepState.BEGUN.value:
                change.set_step(step_id, row.state, row.state, trouble=trouble)
            else:
                lines.append(f"Meanwhile the step was set to {row.state} by {row.actor}; that stays.")
            change.know(values)
            ended = ENDED if result.complete else INCOMPLETE
            change.tell(EntryKind.ACTION.value, step_id, kept_text(f"{ended} {joined(lines)}", 2_000))
            kept = [change.keep(step_id, draft).id for draft in drafts]
            detail = {
                "action": str(step.step.action),
                "complete": result.complete,
                "values": values,
                "evidence": kept,
            }
            change.record("incident run", step_id, Outcome.DONE, detail)
        shown = (
            Captured(piece.kind, draft.title, json.loads(draft.content))
            for piece, draft in zip(result.evidence, drafts, strict=True)
        )
        return replace(result, lines=tuple(lines), values=values, evidence=tuple(shown))

    def _settled(
        self, view: IncidentView, step: StepView, situation: Situation, result: ActionResult, hiding: Hiding
    ) -> ActionResult:
        """End the step if it is proved; that it isn't is part of the result, for the action was run."""
        if not result.complete and step.step.check is None:
            return result
        try:
            view, step = self._parts.open_step(view.incident.id, step.step.id)
            self._proof.settle(view, step, replace(situation, incident=view.incident), hiding)
        except errors.StepLostError:
            raise
        except errors.KeydeckError as error:
            return replace(result, lines=(*result.lines, hiding.text(error.message, 1_000)))
        return result


@contextmanager
def _hiding(inputs: Inputs) -> Iterator[Hiding]:
    """Give what hides these inputs, from copies: an action may wipe the secrets that it was handed."""
    hiding = Hiding(inputs)
    try:
        yield hiding
    finally:
        hiding.wipe()
