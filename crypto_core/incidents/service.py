"""What screens and commands call to work on incidents."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from crypto_core import errors
from crypto_core.database.state.incidents import IncidentDraft
from crypto_core.database.state.journal import Journal
from crypto_core.guard.consent import Consent
from crypto_core.guard.outcome import Outcome
from crypto_core.incidents import model
from crypto_core.incidents.assigning import Assigning
from crypto_core.incidents.handover import handover_lines
from crypto_core.incidents.people import FollowUp, IncidentRole
from crypto_core.incidents.review import review_of
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.runbooks.library import RunbookLibrary
from crypto_core.incidents.runbooks.runbook import Runbook
from crypto_core.incidents.scope_check import checked_scope
from crypto_core.incidents.steps.evidence_capture import StepEvidence
from crypto_core.incidents.steps.evidence_sanitising import NOTHING_SHA256, kept_text
from crypto_core.incidents.steps.parts import IncidentParts
from crypto_core.incidents.steps.run_action import StepActions
from crypto_core.incidents.steps.step_checks import StepProof
from crypto_core.incidents.steps.step_contracts import (
    ActionPlan,
    ActionResult,
    Capturing,
    InputField,
    Toolbox,
)
from crypto_core.incidents.steps.step_decisions import StepDecisions
from crypto_core.secret import Secret
from crypto_core.text.cleaning import CleanText, clean
from crypto_core.text.counting import counted

if TYPE_CHECKING:
    from crypto_core.incidents.key_callers import KeyCallers
    from crypto_core.incidents.keys.accepted_losses import Acceptance, LossAcceptance
    from crypto_core.incidents.report.service import ReportService
    from crypto_core.incidents.report.signing import ReportCheck
    from crypto_core.incidents.suspects import Suspects

Inputs = Mapping[str, str | Secret]

TITLE_LIMIT = 200


class IncidentService:
    """Declares, shows and works on incidents. Thread-safe; blocks on SQL and AWS: call it from a worker."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        library: RunbookLibrary,
        toolbox: Toolbox,
        *,
        read_only: bool,
        drill_days: int = 90,
        clock: Callable[[], datetime] | None = None,
        on_close: Callable[[], None] | None = None,
        reports: ReportService | None = None,
        suspects: Callable[[model.Incident, Event | None], Suspects] | None = None,
        providers: Callable[[model.IncidentScope], tuple[str, ...]] | None = None,
        losses: Callable[[IncidentParts], LossAcceptance] | None = None,
        callers: Callable[[model.IncidentView, Suspects, Event | None], KeyCallers | None] | None = None,
        aliases: Callable[[str], Sequence[str]] | None = None,
        waiting: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """`engine` is that of the journal's database. `clock` None is the database's own.

        `on_close` is called after an incident was closed, `reports` makes reports, `suspects` finds whom an
        incident is about, `providers` whose tokens are in a scope, `losses` makes what accepts tokens as
        lost, `callers` finds who calls a key now, `aliases` are those of a key, the one that it is known
        by first (raises KmsError), `waiting` are the requests that wait for a second person, in words.
        """
        self._providers = providers
        self._parts = IncidentParts(engine, journal, library, toolbox, read_only=read_only, clock=clock)
        self._evidence = StepEvidence(self._parts)
        self._proof = StepProof(self._parts, self._evidence)
        self._actions = StepActions(self._parts, self._proof)
        self._decisions = StepDecisions(self._parts, self._evidence, on_close)
        self._assigning = Assigning(self._parts)
        self._waiting = waiting
        self._drill_days = drill_days
        self._reports = reports
        self._suspects = suspects
        self._losses = losses(self._parts) if losses is not None else None
        self._callers = callers
        self._aliases = aliases

    def runbooks(self) -> tuple[Runbook, ...]:
        """Return the runbooks that there are, the built-in ones first; see `runbook_troubles`."""
        return self._parts.library.read().runbooks

    def runbook_troubles(self) -> tuple[str, ...]:
        """Return why runbooks can't be read, a sentence each."""
        return self._parts.library.read().troubles

    def declare(self, runbook: str, scope: model.IncidentScope, title: str = "") -> int:
        """Open an incident and return its number; its first step is begun.

        Raises RunbookError, RefusedError where the scope isn't what the runbook is about (journaled),
        InvalidReferenceError, InvalidFilterError, ReadOnlyError, MissingSchemaError, DatabaseError.
        """
        self._parts.guard.may_change("declare an incident")
        found = self._parts.library.get(runbook)
        runbook_named = {"runbook": found.id}
        guard = self._parts.guard
        with guard.recording("incident declare", found.id, runbook_named, lambda e: kept_text(e.message)):
            about = self._with_alias(checked_scope(found, scope))
        if self._providers is not None:
            about = replace(about, providers=self._providers(about))
        named = kept_text(title, TITLE_LIMIT) or clean(found.title, TITLE_LIMIT)
        first = found.steps[0]
        draft = IncidentDraft(
            title=named,
            runbook_id=found.id,
            runbook_text=found.text,
            runbook_source=found.source,
            runbook_digest=found.digest,
            scope=about.as_json(),
            actor=self._parts.actor(),
            host=_host(),
            first_step=first.id,
            # Of a step with an action, begun says that the action was.
            first_state=(model.StepState.TODO if first.action else model.StepState.BEGUN).value,
            entry=f"{named}. Runbook {found.id}, version {found.version}, SHA-256 {found.digest}.",
            detail={
                "title": named,
                "runbook": found.id,
                "version": found.version,
                "runbook_sha256": found.digest,
                "scope": _shortened(about),
            },
        )
        return self._parts.store.declare(draft)

    def _with_alias(self, scope: model.IncidentScope) -> model.IncidentScope:
        """Return the scope with the alias that its key has now, without one where KMS doesn't tell."""
        aliases: Sequence[str] = ()
        if scope.key and self._aliases is not None:
            with suppress(errors.KmsError):
                aliases = self._aliases(scope.key)
        return replace(scope, alias=clean(next(iter(aliases), ""), 256))

    def incidents(self, *, closed: bool = True, limit: int = 200) -> tuple[model.IncidentView, ...]:
        """Return incidents, open ones first, the newest first; without evidence and entries."""
        return self._parts.views(closed=closed, limit=limit)

    def show(self, incident: int) -> model.IncidentView:
        """Return an incident with all that is known of it.

        Raises UnknownIncidentError; EvidenceError if its runbook is not the one that it was declared with.
        """
        return self._parts.view(incident)

    def suspects(self, incident: int, *, cancelled: Event | None = None) -> Suspects:
        """Return whom an incident is about, by the events that are kept now. Gaps say what may be missing.

        Raises UnknownIncidentError, InterruptedRunError.
        """
        about = self._parts.view(incident).incident
        if self._suspects is None:
            from crypto_core.incidents.suspects import Suspects

            return Suspects(gaps=("Who is suspected is not known: no events are kept here.",))
        return self._suspects(about, cancelled)

    def callers(self, incident: int, *, cancelled: Event | None = None) -> KeyCallers | None:
        """Return who calls an incident's key now, by the events that are kept; None for one about no key.

        It fetches no events, and says up to when they are fetched. Raises UnknownIncidentError,
        InterruptedRunError.
        """
        if self._callers is None:
            return None
        view, suspects = self._parts.view(incident), self.suspects(incident, cancelled=cancelled)
        return self._callers(view, suspects, cancelled)

    def join(self, incident: int) -> None:
        """Note that the present identity works on it, now. Asks no AWS once it is known who that is.

        A closed incident is only looked at, as is any where nothing may be written: read only, on a standby.
        """
        if self._parts.read_only:
            return
        try:
            self._parts.guard.require_writable()
        except (errors.DatabaseReadOnlyError, errors.NewerSchemaError):
            return
        actor, host = self._parts.last_actor(), _host()
        if self._parts.store.see(incident, actor, host):
            with self._parts.store.change(incident, actor) as change:
                change.tell(model.EntryKind.JOINED.value, "", f"Works on it from {host}.")
                change.record("incident join", "", Outcome.DONE, {})

    def fields(
        self, incident: int, step: str, inputs: Inputs | None = None, *, cancelled: Event | None = None
    ) -> tuple[InputField, ...]:
        """Return what has to be entered before a step's action can be planned.

        Raises RefusedError for a step that has ended, or has no action that can be done here.
        """
        return self._actions.fields(incident, step, inputs or {}, cancelled)

    def plan_action(
        self, incident: int, step: str, inputs: Inputs | None = None, *, cancelled: Event | None = None
    ) -> ActionPlan:
        """Return what a step's action would do (journaled as a dry run, a refusal too).

        Raises RefusedError, KmsError, DatabaseError, and whatever the action raises.
        """
        return self._actions.plan_action(incident, step, inputs or {}, cancelled)

    def run_action(
        self,
        incident: int,
        step: str,
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
        return self._actions.run_action(
            incident, step, plan, consent, inputs or {}, progress=progress, cancelled=cancelled
        )

    def look_at_check(self, incident: int, step: str, *, cancelled: Event | None = None) -> model.CheckResult:
        """Return what a step's check sees now, and remember it while the step isn't ended.

        Trouble is UNKNOWN. Raises RefusedError for a step without a check.
        """
        return self._proof.look_at_check(incident, step, cancelled=cancelled)

    def capture(
        self,
        incident: int,
        step: str,
        *,
        capturing: Capturing | None = None,
        cancelled: Event | None = None,
    ) -> tuple[model.EvidencePiece, ...]:
        """Keep the evidence that a step names, again if it has it. Of an ended step too.

        Raises KeydeckError naming the kinds that can't be had, after the rest was kept.
        """
        return self._evidence.capture(incident, step, capturing=capturing, cancelled=cancelled)

    def finish(
        self,
        incident: int,
        step: str,
        *,
        capturing: Capturing | None = None,
        cancelled: Event | None = None,
    ) -> model.StepView:
        """Capture the step's evidence, run its check, and end the step if it passes or there is none.

        Raises RefusedError, naming what was seen, where the check does not pass, or who has ended it
        meanwhile; KeydeckError where evidence can't be had.
        """
        self._proof.finish(incident, step, capturing=capturing, cancelled=cancelled)
        return self._step(incident, step)

    def answer(self, incident: int, step: str, choice: str) -> model.StepView:
        """Decide what a step asks. Raises RefusedError for what isn't among its choices."""
        self._decisions.answer(incident, step, choice)
        return self._step(incident, step)

    def skip(self, incident: int, step: str, reason: str) -> model.StepView:
        """End a step without doing it. Raises RefusedError without a reason."""
        self._decisions.skip(incident, step, reason)
        return self._step(incident, step)

    def reopen(self, incident: int, step: str, reason: str) -> model.StepView:
        """Take a step up again that had ended. Raises RefusedError without a reason."""
        self._decisions.reopen(incident, step, reason)
        return self._step(incident, step)

    def note(self, incident: int, text: str, step: str = "") -> None:
        """Write a note into the timeline. Raises RefusedError for an empty one, or a closed incident."""
        self._decisions.note(incident, text, step)

    def assign(
        self, incident: int, role: IncidentRole, who: str | None = None, note: str = ""
    ) -> model.IncidentView:
        """Give a role to somebody; None is whoever acts, "" nobody.

        Where the lead changes hands, the timeline keeps how the incident stood. Raises RefusedError for a
        closed incident.
        """
        person = self._parts.actor() if who is None else who
        self._assigning.assign(incident, role, person, note, self._requests())
        return self._parts.view(incident)

    def handover(self, incident: int) -> tuple[CleanText, ...]:
        """Return what whoever takes an incident over has to know, in lines. Raises UnknownIncidentError."""
        return handover_lines(self._parts.view(incident), self._parts.store.now(), self._requests())

    def follow_up(self, incident: int, text: str, owner: str = "", due: date | None = None) -> FollowUp:
        """Keep what is to be done after an incident, open or closed. Raises RefusedError without a text."""
        return self._assigning.add(incident, text, owner, due)

    def end_follow_up(self, incident: int, number: int, outcome: str) -> FollowUp:
        """Note that a follow-up is done. Raises RefusedError if it was before, or without an outcome."""
        return self._assigning.end(incident, number, outcome)

    def review(self, incident: int) -> str:
        """Return a review to be filled in, as Markdown: what is known stands in it, what to ask, too."""
        return review_of(self._parts.view(incident), self._parts.store.now())

    def _requests(self) -> tuple[str, ...]:
        try:
            return tuple(self._waiting())
        except errors.KeydeckError as error:
            return (f"not known: {error}",)

    def plan_accept_lost(self, incident: int, reason: str, *, cancelled: Event | None = None) -> ActionPlan:
        """Return which tokens under the incident's key would be accepted as lost (journaled as a dry run).

        These are the ones of which KMS says now that they open for nobody. Raises RefusedError (journaled
        too) where there is none, without a reason, or for an incident about no key; KmsError, DatabaseError.
        """
        return self._accepting().plan(incident, reason, cancelled)

    def accept_lost(
        self, incident: int, plan: ActionPlan, consent: Consent | None, *, cancelled: Event | None = None
    ) -> ActionResult:
        """Accept exactly the planned tokens as lost, once KMS has said the same again.

        Raises ReadOnlyError, MissingSchemaError, NotConfirmedError unless their number was typed,
        ApprovalNeededError, RefusedError if what is left has changed; all but the first two are journaled.
        """
        self._parts.guard.may_change("accept tokens as lost")
        return self._accepting().accept(incident, plan, consent, cancelled)

    def accepted_losses(self, incident: int) -> tuple[Acceptance, ...]:
        """Return what was accepted as lost in an incident, the oldest first.

        Raises UnknownIncidentError; EvidenceError where a piece is not what was accepted.
        """
        return self._losses.accepted(incident) if self._losses is not None else ()

    def _accepting(self) -> LossAcceptance:
        if self._losses is None:
            raise errors.RefusedError("Tokens can't be accepted as lost here.")
        return self._losses

    def evidence(self, incident: int, evidence: int) -> str:
        """Return a piece of evidence's content, JSON text, whose hash was compared with the journal's.

        Raises EvidenceError, UnknownIncidentError.
        """
        self._parts.store.get(incident)
        return self._parts.store.content(incident, evidence)

    def close(self, incident: int, outcome: str) -> model.IncidentView:
        """Close an incident. Raises RefusedError while steps are left, each named, or without an outcome."""
        self._decisions.close(incident, outcome)
        return self._parts.view(incident)

    def drill_due(self) -> str:
        """Return a sentence if the last restore drill is older than the settings want, "" if it isn't.

        A drill is evidence of a verification in an incident about a restored database.
        """
        if self._drill_days <= 0:
            return ""
        try:
            last = self._parts.store.last_evidence(CaptureKind.VERIFICATION.value, unlike=NOTHING_SHA256)
            now = self._parts.store.now()
        except errors.MissingSchemaError:
            return ""
        wanted = f"one is wanted every {counted(self._drill_days, 'day')} (KEYDECK_DRILL_DAYS)."
        if last is None:
            return f"No restore drill is on record; {wanted}"
        if now - last <= timedelta(days=self._drill_days):
            return ""
        age = counted((now - last).days, "day")
        return f"The last restore drill was {age} ago, on {last:%Y-%m-%d}; {wanted}"

    def report(self, incident: int, form: str = "markdown") -> str:
        """Return the report in a form. Raises RefusedError where none can be made, UnknownIncidentError."""
        return self._making().report(self._parts.view(incident), form)

    def reports(self, incident: int) -> Mapping[str, str]:
        """Return one signed document in every form, by the form's name. Raises as `report`."""
        return self._making().reports(self._parts.view(incident))

    def verify_report(self, text: str) -> ReportCheck:
        """Return what an exported JSON report proves. Raises RefusedError without a key, KmsError."""
        return self._making().verify(text)

    def _making(self) -> ReportService:
        if self._reports is None:
            raise errors.RefusedError("Reports can't be made here.")
        return self._reports

    def _step(self, incident: int, step: str) -> model.StepView:
        return self._parts.view(incident).step(step)


def _host() -> str:
    return clean(socket.gethostname(), 100)


def _shortened(scope: model.IncidentScope) -> dict[str, object]:
    told = scope.as_json()
    if len(scope.references) > 100:
        told["references"] = [*scope.references[:100], f"and {len(scope.references) - 100:,} more"]
    return told
