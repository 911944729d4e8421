"""Looks at checks, keeps evidence, and ends steps that are proved.

Evidence is kept piece by piece as it is captured, and what a step has since its action ended is not captured
again: a console that is killed in between costs nothing, and doubles nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event

from crypto_core.cancelling import stop_if
from crypto_core.database.incident_changes import EvidenceDraft
from crypto_core.database.journal import Outcome
from crypto_core.errors import InterruptedRunError, KeydeckError, RefusedError
from crypto_core.incidents.catalogue import CaptureKind
from crypto_core.incidents.doing import Captured, Situation
from crypto_core.incidents.keeping import Hiding, kept_text
from crypto_core.incidents.model import (
    CheckResult,
    CheckState,
    EntryKind,
    Evidence,
    IncidentState,
    IncidentView,
    StepState,
    StepView,
)
from crypto_core.incidents.own_checks import EVIDENCE_CHECKS, kept_kinds
from crypto_core.incidents.parts import IncidentParts, begin_next, out_of_order, require_open, still_open
from crypto_core.incidents.placeholders import filled
from crypto_core.incidents.runbook import RunbookStep
from crypto_core.incidents.views import check_as_json, evidence_of

ENDED = "Ended."
"""How the timeline's line begins about an action that ran to its end."""

REMEMBER_SECONDS = 15.0
"""How old what a check said may get before numbers alone make it worth writing again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A kind of evidence that can't be had now."""

    kind: CaptureKind
    error: KeydeckError


class StepProof:
    """Proves steps. Everything blocks on SQL and AWS."""

    def __init__(self, parts: IncidentParts) -> None:
        self._parts = parts

    def look(self, number: int, step_id: str, *, cancelled: Event | None = None) -> CheckResult:
        """Return what a step's check sees now; of a step that isn't ended, it is remembered."""
        view = self._parts.view(number)
        step = self._parts.step_of(view, step_id)
        if step.step.check is None:
            raise RefusedError(f"Step {step_id} of {view.incident.name} has no check.")
        seen = self._seen(Situation(view.incident, step.step, {}, cancelled))
        self._remember(view, step, seen)
        return seen

    def capture(self, number: int, step_id: str, *, cancelled: Event | None = None) -> tuple[Evidence, ...]:
        """Keep all evidence that a step names. Raises for what can't be had, after the rest was kept."""
        self._parts.may_write("keep evidence")
        view = self._parts.view(number)
        step = self._parts.step_of(view, step_id)
        if not step.step.captures:
            raise RefusedError(f"Step {step_id} of {view.incident.name} names no evidence.")
        situation = Situation(view.incident, step.step, {}, cancelled)
        kept, failures = self._capture(situation, step.step.captures, self._parts.actor(), Hiding({}))
        if failures:
            self._note_failures(number, step, failures)
            raise failed(view, step, failures)
        return kept

    def finish(self, number: int, step_id: str, *, cancelled: Event | None = None) -> None:
        """End a step if its check passes. Raises RefusedError where it does not, and as `capture`."""
        self._parts.may_write("end a step")
        view, step = self._parts.open_step(number, step_id)
        if step.step.choices:
            raise RefusedError(
                f"Step {step_id} of {view.incident.name} is a decision.",
                remedy=f"Answer it: {', '.join(step.step.choices)}.",
            )
        _require_ended_action(view, step)
        self._parts.actor()
        self.settle(view, step, Situation(view.incident, step.step, {}, cancelled), Hiding({}))

    def settle(self, view: IncidentView, step: StepView, situation: Situation, hiding: Hiding) -> None:
        """Capture what a step names, look at its check, and end it. Raises as `finish`, with it not ended."""
        actor = self._parts.last_actor()
        if step.step.check in EVIDENCE_CHECKS:
            # These look at what was captured. All others are looked at first, so that the evidence is of what
            # is there once the effect is proved.
            self.gather(view, step, situation, actor, hiding)
        seen: CheckResult | None = None
        if step.step.check is not None:
            seen = self._seen(situation, hiding)
            if not seen.passed:
                self._remember(view, step, seen)
                raise _unproved(view, step.step, seen)
        if step.step.check not in EVIDENCE_CHECKS:
            self.gather(view, step, situation, actor, hiding)
        self._end(view, step, actor, seen)

    def gather(
        self, view: IncidentView, step: StepView, situation: Situation, actor: str, hiding: Hiding
    ) -> None:
        """Keep what a step names and doesn't have yet. Raises as `capture`, after the rest was kept."""
        if not step.step.captures:
            return
        had = kept_kinds(self._parts.store.whole(view.incident.id), step.step.id)
        missing = [kind for kind in step.step.captures if kind.value not in had]
        _, failures = self._capture(situation, missing, actor, hiding)
        if failures:
            self._note_failures(view.incident.id, step, failures)
            raise failed(view, step, failures)

    def _capture(
        self, situation: Situation, kinds: Sequence[CaptureKind], actor: str, hiding: Hiding
    ) -> tuple[tuple[Evidence, ...], list[Failure]]:
        kept: list[Evidence] = []
        failures: list[Failure] = []
        for kind in kinds:
            stop_if(situation.cancelled)
            try:
                pieces = self._captured(situation, kind)
                drafts = [hiding.evidence(piece) for piece in pieces]
            except InterruptedRunError:
                raise
            except KeydeckError as error:
                failures.append(Failure(kind, error))
                continue
            kept += self._keep(situation, drafts, actor)
        return tuple(kept), failures

    def _captured(self, situation: Situation, kind: CaptureKind) -> tuple[Captured, ...]:
        capture = self._parts.toolbox.captures.get(kind)
        if capture is None:
            raise RefusedError(f"Evidence of kind {kind} can't be captured here.")
        nothing = Captured(kind, f"{kind}: nothing was there", {"found": None})
        return capture.capture(situation) or (nothing,)

    def _keep(self, situation: Situation, drafts: Sequence[EvidenceDraft], actor: str) -> list[Evidence]:
        step_id = situation.step.id
        with self._parts.store.change(situation.incident.id, actor) as change:
            require_open(change)
            row = change.step(step_id)
            if row.begun_at is None and not StepState(row.state).ended:
                change.set_step(step_id, row.state, row.state, begun_at=change.now)
            return [evidence_of(change.keep(step_id, draft)) for draft in drafts]

    def _note_failures(self, number: int, step: StepView, failures: Sequence[Failure]) -> None:
        told = kept_text(f"Not captured: {_listed(failures)}", 2_000)
        with self._parts.store.change(number, self._parts.last_actor()) as change:
            require_open(change)
            row = change.step(step.step.id)
            if not StepState(row.state).ended:
                change.set_step(step.step.id, row.state, row.state, trouble=told)
            change.tell(EntryKind.EVIDENCE.value, step.step.id, told)
            detail = {"missing": [failure.kind.value for failure in failures], "reason": told}
            change.record("incident evidence", step.step.id, Outcome.FAILED, detail)

    def _seen(self, situation: Situation, hiding: Hiding | None = None) -> CheckResult:
        """What a step's check sees. Trouble is UNKNOWN, which never passes."""
        kind = situation.step.check
        check = self._parts.toolbox.checks.get(kind) if kind is not None else None
        stop_if(situation.cancelled)
        if check is None:
            seen = CheckResult(CheckState.UNKNOWN, (f"Check {kind} can't be looked at here.",))
        else:
            try:
                seen = check.look(situation)
            except InterruptedRunError:
                raise
            except KeydeckError as error:
                seen = CheckResult(CheckState.UNKNOWN, (str(error),))
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
            change.set_step(step_id, row.state, row.state, check_result=check_as_json(seen))
            told = (row.check_result or {}).get("state")
            if told != seen.state.value:
                text = kept_text(f"Check {step.step.check}: {seen.state}. {' '.join(seen.lines)}", 2_000)
                change.tell(EntryKind.CHECK.value, step_id, text)
                change.record("incident check", step_id, Outcome.DONE, _check_detail(seen))

    def _end(self, view: IncidentView, step: StepView, actor: str, seen: CheckResult | None) -> None:
        step_id = step.step.id
        with self._parts.store.change(view.incident.id, actor) as change:
            row = still_open(change, step_id, step.state)
            note = out_of_order(view.runbook, change, step_id) if row.state == StepState.TODO.value else ""
            change.set_step(
                step_id,
                row.state,
                StepState.DONE.value,
                begun_at=row.begun_at or change.now,
                ended_at=change.now,
                actor=actor,
                trouble="",
                **({"check_result": check_as_json(seen)} if seen else {}),
            )
            proof = f" {' '.join(seen.lines)}" if seen else " It has no check."
            change.tell(EntryKind.DONE.value, step_id, kept_text(f"{step.step.title}.{proof}{note}", 2_000))
            detail = _check_detail(seen) if seen else {"check": None}
            change.record("incident done", step_id, Outcome.DONE, detail)
            begin_next(view.runbook, change)


def failed(view: IncidentView, step: StepView, failures: Sequence[Failure]) -> KeydeckError:
    """Return the error about evidence that can't be had. What could be had was kept."""
    first = failures[0].error
    error = KeydeckError(
        f"Not all evidence of step {step.step.id} of {view.incident.name} is captured: {_listed(failures)}",
        remedy=first.remedy,
    )
    error.__cause__ = first
    return error


def _require_ended_action(view: IncidentView, step: StepView) -> None:
    """Raise RefusedError if only its action could end a step, and that has not run to its end."""
    if step.step.action is None or step.step.check is not None:
        return
    kinds = (EntryKind.ACTION, EntryKind.REOPENED)
    told = [e.text for e in view.entries if e.step_id == step.step.id and e.kind in kinds]
    if not told or not told[-1].startswith(ENDED):
        raise RefusedError(
            f"Step {step.step.id} of {view.incident.name} has no check, and its action did not run to its end.",
            remedy="Run it, or skip the step with a reason.",
        )


def _listed(failures: Sequence[Failure]) -> str:
    return "; ".join(f"{failure.kind}: {failure.error.message}" for failure in failures)


def _worth_writing(before: CheckResult | None, seen: CheckResult) -> bool:
    if before is None or before.state is not seen.state:
        return True
    if (before.lines, before.done, before.total) == (seen.lines, seen.done, seen.total):
        return False
    return before.at is None or seen.at is None or _seconds(before.at, seen.at) >= REMEMBER_SECONDS


def _seconds(earlier: datetime, later: datetime) -> float:
    return (later - earlier).total_seconds()


def _check_detail(seen: CheckResult) -> dict[str, object]:
    return {"check": seen.state.value, "lines": list(seen.lines[:5])}


def _unproved(view: IncidentView, step: RunbookStep, seen: CheckResult) -> RefusedError:
    return RefusedError(
        f"Step {step.id} of {view.incident.name} is not done: {seen.state}. {' '.join(seen.lines[:5])}",
        remedy=filled(step.on_failure, view.incident),
    )
