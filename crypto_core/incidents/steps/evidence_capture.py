"""Keeps the evidence of steps, piece by piece as it is captured.

What a step has since its action ended is not captured again: a console that is killed in between costs
nothing, and doubles nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event

from crypto_core.database.state.incident_changes import EvidenceDraft
from crypto_core.database.state.incident_records import EvidencePiece
from crypto_core.guard.guarded_change import Outcome
from crypto_core.incidents.model import EntryKind, IncidentView, StepState, StepView
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.steps.evidence_text import NOTHING, Hiding, kept_text
from crypto_core.incidents.steps.own_checks import kept_kinds
from crypto_core.incidents.steps.parts import IncidentParts, require_open
from crypto_core.incidents.steps.step_contracts import Captured, Capturing, Situation
from crypto_core.values.cancellation import stop_if
from crypto_core.values.errors import InterruptedRunError, KeydeckError, RefusedError


@dataclass(frozen=True, slots=True)
class CaptureFailure:
    kind: CaptureKind
    error: KeydeckError


class StepEvidence:
    """Captures what steps name. Everything blocks on SQL and AWS."""

    def __init__(self, parts: IncidentParts) -> None:
        self._parts = parts

    def capture(
        self, number: int, step_id: str, *, capturing: Capturing | None = None, cancelled: Event | None = None
    ) -> tuple[EvidencePiece, ...]:
        """Keep the evidence that a step names, again if it has it. Of an ended step too.

        Raises KeydeckError naming the kinds that can't be had, after the rest was kept.
        """
        self._parts.guard.may_change("keep evidence")
        view = self._parts.view(number)
        step = self._parts.step_of(view, step_id)
        if not step.step.captures:
            raise RefusedError(f"Step {step_id} of {view.incident.name} names no evidence.")
        situation = Situation(view.incident, step.step, {}, cancelled, capturing=capturing)
        return self._capture(step, situation, step.step.captures, self._parts.actor(), Hiding({}))

    def gather(
        self, view: IncidentView, step: StepView, situation: Situation, actor: str, hiding: Hiding
    ) -> None:
        """Keep what a step names and doesn't have yet. Raises as `capture`, after the rest was kept."""
        if not step.step.captures:
            return
        # Of which nothing was there a moment ago, there may be something now.
        had = kept_kinds(self._parts.store.whole(view.incident.id), step.step.id, nothing=False)
        missing = [kind for kind in step.step.captures if kind.value not in had]
        self._capture(step, situation, missing, actor, hiding)

    def _capture(
        self, step: StepView, situation: Situation, kinds: Sequence[CaptureKind], actor: str, hiding: Hiding
    ) -> tuple[EvidencePiece, ...]:
        kept: list[EvidencePiece] = []
        failures: list[CaptureFailure] = []
        tell = situation.capturing or (lambda done, total, kind: None)
        for done, kind in enumerate(kinds):
            stop_if(situation.cancelled)
            tell(done, len(kinds), kind.value)
            try:
                pieces = self._captured(situation, kind)
                drafts = [hiding.evidence(piece) for piece in pieces]
            except InterruptedRunError:
                raise
            except KeydeckError as error:
                failures.append(CaptureFailure(kind, error))
                continue
            kept += self._keep(situation, drafts, actor)
        tell(len(kinds), len(kinds), "")
        if failures:
            self._note_failures(situation.incident.id, step, failures)
            raise _failed(situation.incident.name, step, failures)
        return tuple(kept)

    def _captured(self, situation: Situation, kind: CaptureKind) -> tuple[Captured, ...]:
        capture = self._parts.toolbox.captures.get(kind)
        if capture is None:
            if told := self._parts.toolbox.not_installed(kind, "Capture"):
                return (Captured(kind, told, NOTHING),)
            raise RefusedError(f"Evidence of kind {kind} can't be captured here.")
        nothing = Captured(kind, f"{kind}: nothing was there", NOTHING)
        return capture(situation) or (nothing,)

    def _keep(self, situation: Situation, drafts: Sequence[EvidenceDraft], actor: str) -> list[EvidencePiece]:
        step_id = situation.step.id
        with self._parts.store.change(situation.incident.id, actor) as change:
            require_open(change)
            row = change.step(step_id)
            if row.begun_at is None and not StepState(row.state).ended:
                change.set_step(step_id, row.state, row.state, begun_at=change.now)
            return [change.keep(step_id, draft) for draft in drafts]

    def _note_failures(self, number: int, step: StepView, failures: Sequence[CaptureFailure]) -> None:
        told = kept_text(f"Not captured: {_listed(failures)}", 2_000)
        with self._parts.store.change(number, self._parts.last_actor()) as change:
            require_open(change)
            row = change.step(step.step.id)
            if not StepState(row.state).ended:
                change.set_step(step.step.id, row.state, row.state, trouble=told)
            change.tell(EntryKind.EVIDENCE.value, step.step.id, told)
            detail = {"missing": [failure.kind.value for failure in failures], "reason": told}
            change.record("incident evidence", step.step.id, Outcome.FAILED, detail)


def _failed(incident: str, step: StepView, failures: Sequence[CaptureFailure]) -> KeydeckError:
    """Return the error about evidence that can't be had. What could be had was kept."""
    first = failures[0].error
    error = KeydeckError(
        f"Not all evidence of step {step.step.id} of {incident} is captured: {_listed(failures)}",
        remedy=first.remedy,
    )
    error.__cause__ = first
    return error


def _listed(failures: Sequence[CaptureFailure]) -> str:
    return "; ".join(f"{failure.kind}: {failure.error.message}" for failure in failures)
