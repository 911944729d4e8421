"""Incidents in memory, and what was asked of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from threading import Event
from typing import Any
from uuid import UUID

from crypto_core.guard.approvals import Approval, Decision
from crypto_core.guard.consent import Consent, Danger, require
from crypto_core.incidents.key_callers import KeyCallers
from crypto_core.incidents.model import (
    CheckResult,
    CheckState,
    EntryKind,
    EvidencePiece,
    Incident,
    IncidentScope,
    IncidentState,
    IncidentView,
    Present,
    StepState,
    StepView,
    TimelineEntry,
)
from crypto_core.incidents.people import Assignment, FollowUp, IncidentRole
from crypto_core.incidents.report.signature import ReportCheck
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.runbooks.runbook import Runbook
from crypto_core.incidents.service import handover_lines
from crypto_core.incidents.steps.step_contracts import ActionPlan, ActionResult, InputField
from crypto_core.incidents.suspects import Suspects
from crypto_core.values import errors
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.secret import Secret
from tests.screens.sample_runbooks import KEY_COMPROMISE, RESTORE_DRILL, TOKEN_COMPROMISE
from tests.screens.samples import CURRENT, NOW, OLD

Enter = Callable[..., None]
LOST = "KMS can't open the encrypted data key (InvalidCiphertextException)."
ANA = "arn:aws:sts::123456789012:assumed-role/oncall/ana"
BEN = "arn:aws:sts::123456789012:assumed-role/oncall/ben"


def incident_view(
    number: int = 7, runbook: Runbook = KEY_COMPROMISE, scope: IncidentScope | None = None, **more: Any
) -> IncidentView:
    about: dict[str, Any] = {
        "id": number,
        "title": runbook.title,
        "state": IncidentState.OPEN,
        "scope": scope or IncidentScope(key=OLD, origin="finding kms-public"),
        "declared_at": NOW - timedelta(minutes=14, seconds=31),
        "declared_by": ANA,
    }
    incident = Incident(**(about | more))
    steps = tuple(StepView(step, number) for number, step in enumerate(runbook.steps, start=1))
    entry = TimelineEntry(
        incident.declared_at, ANA, EntryKind.DECLARED, "", f"{incident.name}: {incident.title}"
    )
    return IncidentView(incident, runbook, steps, entries=(entry,))


def key_compromise(number: int = 7) -> IncidentView:
    """A key compromise amid its re-encryption: five steps done by two operators, evidence kept."""
    view = incident_view(number, values={"new_key": CURRENT, "job": "31"})
    ends = (12.5, 10.2, 7.4, 4.6, 3.1)
    steps, evidence, entries = [], [], list(view.entries)
    for listed in view.steps:
        step = listed
        if step.number <= len(ends):
            ended = NOW - timedelta(minutes=ends[step.number - 1])
            by = BEN if step.number == 4 else ANA
            step = replace(
                step, state=StepState.DONE, begun_at=ended - timedelta(minutes=1), ended_at=ended, by=by
            )
            for kind in step.step.captures:
                evidence.append(piece(len(evidence) + 1, step.step.id, kind, ended - timedelta(seconds=10)))
            entries.append(TimelineEntry(ended, by, EntryKind.DONE, step.step.id, f"{step.step.title}: done"))
        elif step.step.id == "reencrypt":
            check = CheckResult(
                CheckState.NOT_YET,
                (
                    "now 3,683 under alias/tokens-old",
                    "job 31: conflicts retried 4 · poisoned 0 · throttled 0",
                ),
                done=6_121,
                total=9_804,
                at=NOW - timedelta(seconds=2),
            )
            step = replace(
                step, state=StepState.BEGUN, begun_at=NOW - timedelta(minutes=2), by=ANA, check=check
            )
            evidence.append(
                piece(len(evidence) + 1, "reencrypt", CaptureKind.CENSUS, NOW - timedelta(minutes=2))
            )
        steps.append(step)
    present = (
        Present(ANA, "ops-1", NOW - timedelta(seconds=2)),
        Present(BEN, "ops-2", NOW - timedelta(seconds=4)),
    )
    return replace(
        view, steps=tuple(steps), evidence=tuple(evidence), entries=tuple(entries), present=present
    )


def with_steps(view: IncidentView, **states: StepState) -> IncidentView:
    steps = tuple(
        replace(
            step,
            state=states[step.step.id],
            by=ANA,
            begun_at=NOW,
            ended_at=NOW if states[step.step.id].ended else None,
        )
        if step.step.id in states
        else step
        for step in view.steps
    )
    return replace(view, steps=steps)


def piece(number: int, step: str, kind: CaptureKind, at: Any) -> EvidencePiece:
    text = content_of(number)
    of = "the platform" if kind is CaptureKind.EVENTS else "alias/tokens-old"
    title = f"{kind.value.replace('-', ' ').capitalize()} of {of}"
    return EvidencePiece(
        number, step, kind.value, title, at, ANA, hashlib.sha256(text.encode()).hexdigest(), len(text)
    )


def content_of(number: int) -> str:
    return json.dumps({"piece": number, "key": OLD, "statements": [{"sid": "Admin", "effect": "Allow"}]})


@dataclass
class StageIncidents:
    """Incidents whose steps do what they are told at once. `checks` say what checks see, by step."""

    enter: Enter
    read_only: Callable[[], bool] = lambda: False
    views: dict[int, IncidentView] = field(default_factory=dict)
    books: tuple[Runbook, ...] = (KEY_COMPROMISE, TOKEN_COMPROMISE, RESTORE_DRILL)
    unread: tuple[str, ...] = ()
    asked: list[tuple[str, Any]] = field(default_factory=list)
    checks: dict[str, CheckResult] = field(default_factory=dict)
    needs: dict[str, tuple[InputField, ...]] = field(default_factory=dict)
    plan_more: dict[str, object] = field(default_factory=dict)
    result: ActionResult = field(default_factory=lambda: ActionResult(True, ("1 key made",)))
    approval_for: str = ""
    """The step that a second identity has to approve."""
    due: str = ""
    inputs: Mapping[str, str | Secret] = field(default_factory=dict)
    revealed: list[str] = field(default_factory=list)
    """Secrets that were handed on, as they were then."""
    contents: dict[int, str] = field(default_factory=dict)
    progress: tuple[int, int] = (0, 0)
    about: Suspects = field(default_factory=Suspects)
    """Whom incidents are about."""
    calling: KeyCallers | None = None
    """Who calls the keys of incidents."""

    def add(self, *views: IncidentView) -> None:
        self.views.update({view.incident.id: view for view in views})

    def runbooks(self) -> tuple[Runbook, ...]:
        self.enter("incident.runbooks")
        return self.books

    def runbook_troubles(self) -> tuple[str, ...]:
        return self.unread

    def declare(self, runbook: str, scope: IncidentScope, title: str = "") -> int:
        self._change("declare", (runbook, scope, title))
        book = next(book for book in self.books if book.id == runbook)
        number = max(self.views, default=0) + 1
        self.add(incident_view(number, book, scope, title=title or book.title, declared_at=NOW))
        return number

    def incidents(self, *, closed: bool = True, limit: int = 200) -> tuple[IncidentView, ...]:
        self.enter("incidents")
        found = [self.views[number] for number in sorted(self.views, reverse=True)]
        return tuple(v for v in found if closed or v.incident.state is IncidentState.OPEN)[:limit]

    def show(self, incident: int) -> IncidentView:
        self.enter("incident.show")
        if incident not in self.views:
            raise errors.UnknownIncidentError(f"There is no incident {incident}.")
        return self.views[incident]

    def suspects(self, incident: int, *, cancelled: Event | None = None) -> Suspects:
        self.enter("incident.suspects", cancelled)
        return self.about

    def callers(self, incident: int, *, cancelled: Event | None = None) -> KeyCallers | None:
        self.enter("incident.callers", cancelled)
        return self.calling

    def join(self, incident: int) -> None:
        self._change("join", incident)

    def fields(
        self,
        incident: int,
        step: str,
        inputs: Mapping[str, str | Secret] | None = None,
        *,
        cancelled: Event | None = None,
    ) -> tuple[InputField, ...]:
        self.enter("incident.fields", cancelled)
        return self.needs.get(step, ())

    def plan_action(
        self,
        incident: int,
        step: str,
        inputs: Mapping[str, str | Secret] | None = None,
        *,
        cancelled: Event | None = None,
    ) -> ActionPlan:
        self.enter("incident.plan", cancelled)
        found = self.views[incident].step(step).step
        plan = ActionPlan(
            title=found.title,
            digest=f"{incident}-{step}",
            danger=Danger.CONFIRM,
            does=("It makes a key with the least that each role needs.", "Its alias is alias/tokens-2."),
            does_not=("It moves no token.",),
            warnings=("role/backup can't decrypt under it: nothing in its policy lets it.",),
        )
        return replace(plan, **self.plan_more)  # type: ignore[arg-type]

    def plan_accept_lost(self, incident: int, reason: str, *, cancelled: Event | None = None) -> ActionPlan:
        self.enter("incident.plan", cancelled)
        lost = max((check.lost for check in self.checks.values()), default=0)
        plan = ActionPlan(
            title=f"Accept {lost} tokens as unrecoverable in INC-{incident}",
            digest=f"{incident}-{reason}",
            danger=Danger.TYPED,
            confirmation=str(lost),
            does=(*(f"gh_connection.access_token:gh-{n}: {LOST}" for n in range(lost)), f"Reason: {reason}"),
            does_not=("Does not change or remove them: their owners still have to connect again.",),
            warnings=("Whoever may write to the database can damage an envelope.",),
        )
        return replace(plan, **self.plan_more)  # type: ignore[arg-type]

    def accept_lost(
        self,
        incident: int,
        plan: ActionPlan,
        consent: Consent | None,
        *,
        cancelled: Event | None = None,
    ) -> ActionResult:
        given = require(consent, plan)
        if self.approval_for == "accept-lost":
            self.approval_for = ""
            raise errors.ApprovalNeededError("Needs a second person.", request=str(UUID(int=5)))
        self._change("accept-lost", (plan.digest, given.text))
        self.checks = {step: replace(seen, lost=0) for step, seen in self.checks.items()}
        return ActionResult(True, ("Accepted as unrecoverable.",))

    def run_action(
        self,
        incident: int,
        step: str,
        plan: ActionPlan,
        consent: Consent | None,
        inputs: Mapping[str, str | Secret] | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Event | None = None,
    ) -> ActionResult:
        require(consent, plan)
        self.inputs = dict(inputs or {})
        self.revealed += [value.reveal() for value in self.inputs.values() if isinstance(value, Secret)]
        if progress is not None and self.progress[1]:
            progress(*self.progress)
        self._set(incident, step, state=StepState.BEGUN, begun_at=NOW, by=ANA)
        self._change("run", step, cancelled)
        if self.approval_for == step:
            raise errors.ApprovalNeededError(
                "Disabling a key needs a second identity.",
                request=str(UUID(int=5)),
                remedy=f"Approve it: keydeck approvals approve {UUID(int=5)}",
            )
        if self.result.complete:
            self._done(incident, step)
        return self.result

    def look_at_check(self, incident: int, step: str, *, cancelled: Event | None = None) -> CheckResult:
        self.enter("incident.look", cancelled)
        self.asked.append(("look", step))
        known = self.views[incident].step(step).check
        return self.checks.get(step) or known or CheckResult(CheckState.PASSED, ("as it should be",), at=NOW)

    def capture(
        self,
        incident: int,
        step: str,
        *,
        capturing: Callable[[int, int, str], None] | None = None,
        cancelled: Event | None = None,
    ) -> tuple[EvidencePiece, ...]:
        view = self.views[incident]
        if capturing is not None:
            named = view.step(step).step.captures
            capturing(1, len(named), named[1].value if len(named) > 1 else "")
        self._change("capture", step, cancelled)
        view = self.views[incident]
        first = len(view.evidence) + 1
        kinds = view.step(step).step.captures
        pieces = tuple(piece(first + n, step, kind, NOW) for n, kind in enumerate(kinds))
        self.views[incident] = replace(view, evidence=(*view.evidence, *pieces))
        return pieces

    def finish(
        self,
        incident: int,
        step: str,
        *,
        capturing: Callable[[int, int, str], None] | None = None,
        cancelled: Event | None = None,
    ) -> StepView:
        self._change("finish", step, cancelled)
        seen = self.checks.get(step)
        if seen is not None and not seen.passed:
            raise errors.RefusedError(f"The check does not pass: {seen.state.value}: {' '.join(seen.lines)}")
        self.capture(incident, step)
        return self._done(incident, step)

    def answer(self, incident: int, step: str, choice: str) -> StepView:
        self._change("answer", (step, choice))
        for later in self.views[incident].steps:
            condition = later.step.only_if
            if condition is not None and condition.step == step and condition.answer != choice:
                self._set(incident, later.step.id, state=StepState.NOT_NEEDED)
        self._set(incident, step, answer=choice)
        return self._done(incident, step)

    def skip(self, incident: int, step: str, reason: str) -> StepView:
        self._change("skip", (step, reason))
        return self._set(incident, step, state=StepState.SKIPPED, reason=reason, ended_at=NOW, by=ANA)

    def reopen(self, incident: int, step: str, reason: str) -> StepView:
        self._change("reopen", (step, reason))
        return self._set(incident, step, state=StepState.TODO, reason=reason, ended_at=None)

    def note(self, incident: int, text: str, step: str = "") -> None:
        self._change("note", (step, text))
        view = self.views[incident]
        entry = TimelineEntry(NOW, ANA, EntryKind.NOTE, step, text)
        self.views[incident] = replace(view, entries=(*view.entries, entry))

    def handover(self, incident: int) -> tuple[CleanText, ...]:
        self.enter("incident.handover")
        return handover_lines(self.views[incident], NOW)

    def assign(
        self, incident: int, role: IncidentRole, who: str | None = None, note: str = ""
    ) -> IncidentView:
        self._change("assign", (role.value, who, note))
        view = self.views[incident]
        held = [one for one in view.people.roles if one.role is not role]
        held.append(Assignment(role, clean(ANA if who is None else who), NOW, clean(ANA), clean(note)))
        people = replace(view.people, roles=tuple(one for one in held if one.who))
        self.views[incident] = replace(view, people=people)
        return self.views[incident]

    def follow_up(self, incident: int, text: str, owner: str = "", due: date | None = None) -> FollowUp:
        self.enter("incident.follow-up")
        self._change("follow-up", (text, owner, due))
        view = self.views[incident]
        number = len(view.people.follow_ups) + 1
        kept = FollowUp(number, clean(text), clean(owner), due, NOW, clean(ANA))
        people = replace(view.people, follow_ups=(*view.people.follow_ups, kept))
        self.views[incident] = replace(view, people=people)
        return kept

    def end_follow_up(self, incident: int, number: int, outcome: str) -> FollowUp:
        self._change("follow-up done", (number, outcome))
        view = self.views[incident]
        ended = tuple(
            replace(one, ended_at=NOW, ended_by=clean(ANA), outcome=clean(outcome))
            if one.number == number
            else one
            for one in view.people.follow_ups
        )
        self.views[incident] = replace(view, people=replace(view.people, follow_ups=ended))
        return ended[number - 1]

    def evidence(self, incident: int, evidence: int) -> str:
        self.enter("incident.evidence")
        if evidence not in self.contents and evidence > len(self.views[incident].evidence):
            raise errors.EvidenceError(f"Evidence {evidence} is not what it was.")
        return self.contents.get(evidence, content_of(evidence))

    def close(self, incident: int, outcome: str) -> IncidentView:
        self._change("close", outcome)
        view = self.views[incident]
        if view.current is not None:
            raise errors.RefusedError(f"Steps are left: {view.current.step.title}.")
        closed = replace(
            view.incident, state=IncidentState.CLOSED, closed_at=NOW, closed_by=ANA, outcome=outcome
        )
        self.views[incident] = replace(view, incident=closed)
        return self.views[incident]

    def drill_due(self) -> str:
        self.enter("incident.drill_due")
        return self.due

    def report(self, incident: int, form: str = "markdown") -> str:
        self.enter("incident.report")
        self.asked.append(("report", form))
        return f"{form}: {self.views[incident].incident.title}\n"

    def reports(self, incident: int) -> Mapping[str, str]:
        return {form: self.report(incident, form) for form in ("markdown", "html", "json")}

    def verify_report(self, text: str) -> ReportCheck:
        return ReportCheck("It is not signed.")

    def done(self, *names: str) -> list[tuple[str, Any]]:
        return [one for one in self.asked if (one[0] in names if names else one[0] not in ("look", "join"))]

    def _done(self, incident: int, step: str) -> StepView:
        begun = self.views[incident].step(step).begun_at or NOW
        return self._set(
            incident, step, state=StepState.DONE, begun_at=begun, ended_at=NOW, by=ANA, trouble=""
        )

    def _set(self, incident: int, step: str, **more: Any) -> StepView:
        view = self.views[incident]
        changed = replace(view.step(step), **more)
        self.views[incident] = replace(
            view, steps=tuple(changed if s.step.id == step else s for s in view.steps)
        )
        return changed

    def _change(self, name: str, about: object, cancelled: Event | None = None) -> None:
        self.enter(f"incident.{name}", cancelled)
        if self.read_only():
            raise errors.ReadOnlyError("The stage is read only.")
        self.asked.append((name, about))


def approval(number: int = 5, decision: Decision = Decision.PENDING, **more: Any) -> Approval:
    shown: dict[str, Any] = {
        "id": UUID(int=number),
        "action": "keys disable",
        "summary": "Disable alias/tokens-old …77ab",
        "digest": "3f" * 32,
        "plan": {
            "title": "Disable the old key",
            "does": ["Nobody can use the key."],
            "warnings": ["41 tokens are under it."],
        },
        "requested_by": BEN,
        "requested_at": NOW - timedelta(minutes=3),
        "expires_at": NOW + timedelta(minutes=27),
        "decision": decision,
        "database": "tokens (oid 16385, PostgreSQL system 7439112233445566778, started 2026-06-29)",
        "request_digest": "9c" * 32,
    }
    return Approval(**(shown | more))
