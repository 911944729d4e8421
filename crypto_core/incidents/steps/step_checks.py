"""Looks at checks, and ends steps that are proved."""

from __future__ import annotations

from dataclasses import replace
from threading import Event

from crypto_core.guard.guarded_change import Outcome
from crypto_core.incidents.model import (
    CheckResult,
    CheckState,
    EntryKind,
    IncidentState,
    IncidentView,
    StepState,
    StepView,
)
from crypto_core.incidents.runbooks.placeholders import filled
from crypto_core.incidents.runbooks.runbook import RunbookStep
from crypto_core.incidents.steps.conditions import require_decided
from crypto_core.incidents.steps.evidence_capture import StepEvidence
from crypto_core.incidents.steps.evidence_text import Hiding, joined, kept_text
from crypto_core.incidents.steps.own_checks import EVIDENCE_CHECKS
from crypto_core.incidents.steps.parts import IncidentParts, begin_next, out_of_order, still_open
from crypto_core.incidents.steps.step_contracts import Capturing, Situation, looked_at
from crypto_core.values.errors import RefusedError

ENDED, INCOMPLETE = "Ended.", "Not complete."
"""How the timeline's line begins about an action that came to an end: all of it done, or a part left."""

REMEMBER_SECONDS = 15.0
"""How old a check's result may get before changed numbers alone are stored."""


class StepProof:
    """Proves steps. Everything blocks on SQL and AWS."""

    def __init__(self, parts: IncidentParts, evidence: StepEvidence) -> None:
        self._parts = parts
        self._evidence = evidence

    def look_at_check(self, number: int, step_id: str, *, cancelled: Event | None = None) -> CheckResult:
        """Return what a step's check sees now, and remember it while the step isn't ended."""
        view = self._parts.view(number)
        step = self._parts.step_of(view, step_id)
        if step.step.check is None:
            raise RefusedError(f"Step {step_id} of {view.incident.name} has no check.")
        seen = self._seen(view, Situation(view.incident, step.step, {}, cancelled))
        self._remember(view, step, seen)
        return seen

    def finish(
        self, number: int, step_id: str, *, capturing: Capturing | None = None, cancelled: Event | None = None
    ) -> StepView:
        """Capture the step's evidence, run its check, and end the step if it passes or there is none.

        Raises RefusedError, naming what was seen, where the check does not pass, or who has ended it
        meanwhile; KeydeckError where evidence can't be had.
        """
        self._parts.guard.may_change("end a step")
        view, step = self._parts.open_step(number, step_id)
        if step.step.choices:
            raise RefusedError(
                f"Step {step_id} of {view.incident.name} is a decision.",
                remedy=f"Answer it: {', '.join(step.step.choices)}.",
            )
        if step.state is StepState.TODO:
            require_decided(view.runbook, number, step_id, view.step)
        _require_ended_action(view, step)
        self._parts.actor()
        situation = Situation(view.incident, step.step, {}, cancelled, capturing=capturing)
        self.settle(view, step, situation, Hiding({}))
        return self._parts.view(number).step(step_id)

    def settle(self, view: IncidentView, step: StepView, situation: Situation, hiding: Hiding) -> None:
        """Capture what a step names, look at its check, and end it. Raises as `finish`."""
        actor = self._parts.last_actor()
        if step.step.check in EVIDENCE_CHECKS:
            # These look at what was captured. All others are looked at first, so that the evidence is of what
            # is there once the effect is proved.
            self._evidence.gather(view, step, situation, actor, hiding)
        seen: CheckResult | None = None
        if step.step.check is not None:
            seen = self._seen(view, situation, hiding)
            if not seen.passed:
                self._remember(view, step, seen)
                raise _unproved(view, step.step, seen)
        if step.step.check not in EVIDENCE_CHECKS:
            self._evidence.gather(view, step, situation, actor, hiding)
        self._end(view, step, actor, seen)

    def _seen(self, view: IncidentView, situation: Situation, hiding: Hiding | None = None) -> CheckResult:
        """What a step's check sees. Trouble is UNKNOWN, which never passes."""
        kind = situation.step.check
        check = self._parts.toolbox.checks.get(kind) if kind is not None else None
        if check is None:
            why = self._parts.toolbox.not_installed(str(kind), "Check")
            seen = CheckResult(CheckState.UNKNOWN, (why or f"Check {kind} can't be run here.",))
        else:
            seen = looked_at(check, replace(situation, steps=view.steps, now=self._parts.store.now()))
        lines = (hiding or Hiding({})).lines(seen.lines)
        return replace(seen, lines=lines, at=seen.at or self._parts.store.now())

    def _remember(self, view: IncidentView, step: StepView, seen: CheckResult) -> None:
        number, step_id = view.incident.id, step.step.id
        over = view.incident.state is IncidentState.CLOSED or step.state.ended
        if self._parts.read_only or over or not _worth_writing(step.check, seen):
            return
        with self._parts.store.change(number, self._parts.last_actor()) as change:
            row = change.step(step_id)
            if change.incident.state == IncidentState.CLOSED.value or StepState(row.state).ended:
                return
            change.set_step(step_id, row.state, row.state, check_result=seen.as_json())
            told = (row.check_result or {}).get("state")
            if told != seen.state.value:
                text = kept_text(f"Check {step.step.check}: {seen.state}. {joined(seen.lines)}", 2_000)
                change.tell(EntryKind.CHECK.value, step_id, text)
                change.record("incident check", step_id, Outcome.DONE, _check_detail(seen))

    def _end(self, view: IncidentView, step: StepView, actor: str, seen: CheckResult | None) -> None:
        step_id = step.step.id
        with self._parts.store.change(view.incident.id, actor) as change:
            row = still_open(change, step_id, step.state)
            if step.state is StepState.TODO:
                require_decided(view.runbook, view.incident.id, step_id, change.step)
            note = out_of_order(view.runbook, change, step_id) if row.state == StepState.TODO.value else ""
            change.set_step(
                step_id,
                row.state,
                StepState.DONE.value,
                begun_at=row.begun_at or change.now,
                ended_at=change.now,
                actor=actor,
                reason=row.trouble if seen is None and row.trouble.startswith(INCOMPLETE) else "",
                trouble="",
                **({"check_result": seen.as_json()} if seen else {}),
            )
            proof = f" {joined(seen.lines)}" if seen else " It has no check."
            change.tell(EntryKind.DONE.value, step_id, kept_text(f"{step.step.title}.{proof}{note}", 2_000))
            detail = _check_detail(seen) if seen else {"check": None}
            change.record("incident done", step_id, Outcome.DONE, detail)
            begin_next(view.runbook, change)


def _require_ended_action(view: IncidentView, step: StepView) -> None:
    """Raise RefusedError if only its action can tell that a step is done, and that came to no end.

    What it left is for the operator to judge, and is kept as the reason.
    """
    if step.step.action is None or step.step.check is not None:
        return
    kinds = (EntryKind.ACTION, EntryKind.REOPENED)
    told = [e.text for e in view.entries if e.step_id == step.step.id and e.kind in kinds]
    if not told or not told[-1].startswith((ENDED, INCOMPLETE)):
        raise RefusedError(
            f"Step {step.step.id} of {view.incident.name} has no check, and its action did not finish.",
            remedy="Run it, or skip the step with a reason.",
        )


def _worth_writing(before: CheckResult | None, seen: CheckResult) -> bool:
    if before is None or before.state is not seen.state:
        return True
    if (before.lines, before.done, before.total) == (seen.lines, seen.done, seen.total):
        return False
    if before.at is None or seen.at is None:
        return True
    return (seen.at - before.at).total_seconds() >= REMEMBER_SECONDS


def _check_detail(seen: CheckResult) -> dict[str, object]:
    return {"check": seen.state.value, "lines": list(seen.lines[:5])}


def not_done(incident: str, step: str) -> str:
    """Return how the sentence begins that says why a step is not proved."""
    return f"Step {step} of {incident} is not done:"


def _unproved(view: IncidentView, step: RunbookStep, seen: CheckResult) -> RefusedError:
    return RefusedError(
        f"{not_done(view.incident.name, step.id)} {seen.state}. {joined(seen.lines[:5])}",
        remedy=filled(step.on_failure, view.incident.placeholders),
    )
