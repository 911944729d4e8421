"""What operators decide about steps: answers, skips, reopenings, notes, and that an incident is closed."""

from __future__ import annotations

import logging
from collections.abc import Callable

from crypto_core.database.state.incident_changes import IncidentChange
from crypto_core.guard.guarded_change import Outcome
from crypto_core.incidents.model import EntryKind, IncidentView, StepState, StepView, undecided
from crypto_core.incidents.runbooks.runbook import Runbook
from crypto_core.incidents.steps.conditions import consequences
from crypto_core.incidents.steps.evidence_capture import StepEvidence
from crypto_core.incidents.steps.evidence_text import Hiding, kept_text
from crypto_core.incidents.steps.parts import (
    IncidentParts,
    begin_next,
    not_ended,
    out_of_order,
    require_open,
    still_open,
)
from crypto_core.incidents.steps.step_contracts import Situation
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KeydeckError, RefusedError

_log = logging.getLogger(__name__)

LEAST_REASON = 3
REASON_LIMIT = 1_000
NOTE_LIMIT = 4_000


class StepDecisions:
    """Decisions, each one transaction: what it changes, what the timeline says, and what is journaled."""

    def __init__(
        self, parts: IncidentParts, evidence: StepEvidence, on_close: Callable[[], None] | None
    ) -> None:
        self._parts = parts
        self._evidence = evidence
        self._on_close = on_close

    def answer(self, number: int, step_id: str, choice: str) -> StepView:
        """Decide what a step asks, also after it was skipped; what hangs on it becomes needed, or not."""
        self._parts.guard.may_change("decide")
        view, step = self._parts.open_step(number, step_id, or_skipped=True)
        if choice not in step.step.choices:
            offered = ", ".join(step.step.choices) or "it asks nothing"
            raise RefusedError(
                f"{kept_text(choice, 60)!r} is not an answer to step {step_id} of {view.incident.name}.",
                remedy=f"Answers: {offered}.",
            )
        actor = self._parts.actor()
        missing = ""
        try:
            situation = Situation(view.incident, step.step)
            self._evidence.gather(view, step, situation, actor, Hiding({}))
        except KeydeckError as error:
            # A decision waits for no evidence: what can't be had is said, and can be captured later.
            missing = kept_text(error.message, 1_000)
        with self._parts.store.change(number, actor) as change:
            row = still_open(change, step_id, or_skipped=True)
            note = out_of_order(view.runbook, change, step_id)
            change.set_step(
                step_id,
                row.state,
                StepState.DONE.value,
                begun_at=row.begun_at or change.now,
                ended_at=change.now,
                actor=actor,
                answer=choice,
                reason="",
                trouble=missing,
            )
            change.tell(
                EntryKind.ANSWER.value, step_id, f"{step.step.title} {choice}{'.' if note else ''}{note}"
            )
            changed = _follow(view.runbook, change, step_id)
            change.record("incident answer", step_id, Outcome.DONE, {"answer": choice, "steps": changed})
            begin_next(view.runbook, change)
        return self._parts.view(number).step(step_id)

    def skip(self, number: int, step_id: str, reason: str) -> StepView:
        """End a step without doing it. Raises RefusedError without a reason."""
        self._parts.guard.may_change("skip a step")
        why = required_reason(reason, f"skip step {clean(step_id, 60)}")
        view, step = self._parts.open_step(number, step_id)
        actor = self._parts.actor()
        with self._parts.store.change(number, actor) as change:
            row = still_open(change, step_id, step.state)
            change.set_step(
                step_id, row.state, StepState.SKIPPED.value, ended_at=change.now, actor=actor, reason=why
            )
            change.tell(EntryKind.SKIPPED.value, step_id, f"{step.step.title}. Skipped: {why}")
            change.record("incident skip", step_id, Outcome.DONE, {"reason": why, "was": row.state})
            begin_next(view.runbook, change)
        return self._parts.view(number).step(step_id)

    def reopen(self, number: int, step_id: str, reason: str) -> StepView:
        """Take a step up again that had ended; what hangs on its answer waits for the next one."""
        self._parts.guard.may_change("reopen a step")
        why = required_reason(reason, f"reopen step {clean(step_id, 60)}")
        view = self._parts.view(number)
        step = self._parts.step_of(view, step_id)
        actor = self._parts.actor()
        with self._parts.store.change(number, actor) as change:
            require_open(change)
            row = change.step(step_id)
            if not StepState(row.state).ended:
                raise RefusedError(
                    f"Step {step_id} of {view.incident.name} has not ended: it is {row.state}."
                )
            change.set_step(
                step_id,
                row.state,
                StepState.TODO.value,
                begun_at=change.now,
                ended_at=None,
                actor=actor,
                reason="",
                answer="",
                trouble="",
                check_result=None,
            )
            change.tell(EntryKind.REOPENED.value, step_id, f"{step.step.title}. Reopened: {why}")
            changed = _follow(view.runbook, change, step_id)
            detail = {"reason": why, "was": row.state, "answer": row.answer, "steps": changed}
            change.record("incident reopen", step_id, Outcome.DONE, detail)
        return self._parts.view(number).step(step_id)

    def note(self, number: int, text: str, step_id: str = "") -> None:
        """Write a note into the timeline. Raises RefusedError for an empty one, or a closed incident."""
        self._parts.guard.may_change("write a note")
        written = kept_text(text, NOTE_LIMIT)
        if not written:
            raise RefusedError("The note is empty.")
        view = self._parts.view(number)
        if step_id:
            self._parts.step_of(view, step_id)
        with self._parts.store.change(number, self._parts.actor()) as change:
            require_open(change)
            change.tell(EntryKind.NOTE.value, step_id, written)
            change.record("incident note", step_id, Outcome.DONE, {"note": written})

    def close(self, number: int, outcome: str) -> IncidentView:
        """Close an incident whose steps have ended, but for those that a skipped decision left undecided.

        These end as skipped: the report lists them as open points. Raises RefusedError while steps are left,
        each named, or without an outcome.
        """
        self._parts.guard.may_change("close an incident")
        view = self._parts.view(number)
        ended = required_reason(outcome, f"close {view.incident.name}")
        actor = self._parts.actor()
        with self._parts.store.change(number, actor) as change:
            require_open(change)
            left = not_ended(view.runbook, change)
            if not left:
                open_points = _give_up_undecided(view.runbook, change)
                change.close(ended)
                change.tell(EntryKind.CLOSED.value, "", ended)
                detail = {"outcome": ended, "undecided": open_points}
                change.record("incident close", "", Outcome.DONE, detail)
        if left:
            with self._parts.guard.recording("incident close", view.incident.name):
                raise RefusedError(
                    f"{view.incident.name} has steps that are not ended: {', '.join(left)}.",
                    remedy="Finish each, or skip it with a reason.",
                )
        self._after_closing(number, actor)
        return self._parts.view(number)

    def _after_closing(self, number: int, actor: str) -> None:
        if self._on_close is None:
            return
        try:
            self._on_close()
        except KeydeckError as error:
            # The incident is closed all the same; what is missing is said where the report shows it.
            _log.warning("INC-%d is closed, but: %s", number, error)
            with self._parts.store.change(number, actor) as change:
                change.tell(EntryKind.NOTE.value, "", kept_text(f"After closing: {error}", 1_000))


def _follow(runbook: Runbook, change: IncidentChange, decided: str) -> dict[str, str]:
    changed = {}
    answer = change.step(decided).answer
    for step, state in list(consequences(runbook, decided, change.step)):
        ended = state is StepState.NOT_NEEDED
        change.set_step(
            step.id,
            change.step(step.id).state,
            state.value,
            ended_at=change.now if ended else None,
            actor=change.actor,
            reason=f"{decided}: {answer}" if ended else "",
        )
        changed[step.id] = state.value
    return changed


def _give_up_undecided(runbook: Runbook, change: IncidentChange) -> list[str]:
    given_up = []
    for step in runbook.steps:
        decision = undecided(runbook, step.id, change.step)
        if decision is None:
            continue
        why = f"Open point: step {decision.id} was skipped, so nobody decided whether this one is needed."
        change.set_step(
            step.id,
            change.step(step.id).state,
            StepState.SKIPPED.value,
            ended_at=change.now,
            actor=change.actor,
            reason=why,
        )
        change.tell(EntryKind.SKIPPED.value, step.id, f"{step.title}. {why}")
        given_up.append(step.id)
    return given_up


def required_reason(text: str, what: str) -> str:
    """Return a reason as it is kept. Raises RefusedError for one that is too short."""
    reason = kept_text(text, REASON_LIMIT)
    if len(reason) < LEAST_REASON:
        raise RefusedError(f"To {what}, give a reason of at least {LEAST_REASON} characters.")
    return reason
