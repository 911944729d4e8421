"""What screens and commands call to work on incidents."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from crypto_core.database.state.incident_changes import IncidentChange
from crypto_core.database.state.incidents import IncidentDraft
from crypto_core.database.state.journal import Journal
from crypto_core.guard.guarded_change import Outcome
from crypto_core.incidents import model
from crypto_core.incidents.model import EntryKind, IncidentState, IncidentView, StepState, StepView, found_out
from crypto_core.incidents.people import (
    FOLLOW_UP,
    FOLLOW_UP_DONE,
    PERSON_LIMIT,
    ROLE,
    TEXT_LIMIT,
    FollowUp,
    IncidentRole,
    people_of,
)
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.runbooks.library import RunbookLibrary
from crypto_core.incidents.runbooks.runbook import Runbook
from crypto_core.incidents.runbooks.runbook_toml import read_runbook
from crypto_core.incidents.scope_check import checked_scope
from crypto_core.incidents.steps.evidence_capture import StepEvidence
from crypto_core.incidents.steps.evidence_text import NOTHING_SHA256, joined, kept_text
from crypto_core.incidents.steps.parts import IncidentParts, require_open
from crypto_core.incidents.steps.run_action import StepActions
from crypto_core.incidents.steps.step_checks import StepProof
from crypto_core.incidents.steps.step_contracts import Toolbox
from crypto_core.incidents.steps.step_decisions import NOTE_LIMIT, StepDecisions, required_reason
from crypto_core.incidents.times import times_of
from crypto_core.values import errors
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.counts import counted
from crypto_core.values.moments import duration, moment_utc

if TYPE_CHECKING:
    from crypto_core.incidents.key_callers import KeyCallers
    from crypto_core.incidents.keys.accepted_losses import LossAcceptance
    from crypto_core.incidents.report.service import ReportService
    from crypto_core.incidents.suspects import Suspects

NOTES = 3
"""The handover lists so many of the last notes."""
LINE_LIMIT = 600


def handover_lines(view: IncidentView, now: datetime, waiting: Iterable[str] = ()) -> tuple[CleanText, ...]:
    """Return what whoever takes over has to know, cleaned: how it stands, what runs, what is left.

    `waiting` are requests that wait for a second person, in words."""
    return tuple(clean(line, LINE_LIMIT) for line in _lines(view, now, tuple(waiting)))


def _lines(view: IncidentView, now: datetime, waiting: Sequence[str]) -> Iterator[str]:
    incident, times = view.incident, times_of(view, now)
    yield f"{incident.name}, {incident.title}: {incident.state.value}, about {incident.scope}."
    open_for = "open for" if incident.state is IncidentState.OPEN else "it took"
    yield (
        f"Declared {moment_utc(incident.declared_at)} by {incident.declared_by}; "
        f"{open_for} {duration(times.elapsed_seconds)}."
    )
    if view.people.roles:
        yield "Roles: " + "; ".join(f"{one.role.value} {one.who}" for one in view.people.roles) + "."
    if view.present and incident.state is IncidentState.OPEN:
        yield "At work on it now: " + ", ".join(f"{one.actor} ({one.host})" for one in view.present) + "."
    yield from _current(view, now)
    for step in view.steps:
        if step.state is StepState.SKIPPED:
            yield f"Step {step.number}, {step.step.title}, was skipped by {step.by}: {step.reason}"
        elif step.state is StepState.BEGUN and step is not view.current:
            by = f" by {step.by}" if step.by else ""
            yield f"Step {step.number}, {step.step.title}, was begun{by} and has not ended."
    left = [str(step.number) for step in view.steps if not step.state.ended]
    if left:
        yield f"Left: {'step' if len(left) == 1 else 'steps'} {', '.join(left)}."
    for request in waiting:
        yield f"Waits for a second person: {request}"
    found = [f"{found_out(name)} {value}" for name, value in incident.values.items() if value]
    if found:
        yield "Found out: " + "; ".join(found) + "."
    notes = [entry for entry in view.entries if entry.kind is EntryKind.NOTE][-NOTES:]
    for note in notes:
        yield f"Note of {note.actor}, {moment_utc(note.at)}: {note.text}"
    open_ones = view.people.open()
    if open_ones:
        yield f"{counted(len(open_ones), 'follow-up')} open."


def _current(view: IncidentView, now: datetime) -> Iterator[str]:
    step = view.current
    if step is None:
        yield "Every step has ended." if not view.left_undecided else "What is left waits for a decision."
        return
    state = f"{step.state.value}{_time(view, step, now)}"
    yield f"Now at step {step.number} of {len(view.steps)}, {step.step.title}: {state}."
    if step.check is not None:
        looked = f", {moment_utc(step.check.at)}" if step.check.at else ""
        said = f": {step.check.lines[0]}" if step.check.lines else ""
        yield f"Its check{looked}: {step.check.state.value}{said}"
    if step.trouble:
        yield f"Its trouble: {step.trouble}"


def _time(view: IncidentView, step: StepView, now: datetime) -> str:
    time = times_of(view, now).step(step.step.id)
    if time.seconds is None:
        return ""
    budget = f" of {duration(time.budget_seconds)}" if time.budget_seconds else ""
    return f", {duration(time.seconds)}{budget}"


TITLE_LIMIT = 200


class IncidentService:
    """Declares, shows and works on incidents. Thread-safe; blocks on SQL and AWS: call it from a worker.

    What is done to steps is said where it is done: see `StepActions`, `StepProof`, `StepEvidence`,
    `StepDecisions` and `LossAcceptance`.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        library: RunbookLibrary,
        toolbox: Toolbox,
        *,
        read_only: bool,
        reports: ReportService,
        suspects: Callable[[model.Incident, Event | None], Suspects],
        providers: Callable[[model.IncidentScope], tuple[str, ...]],
        losses: Callable[[IncidentParts], LossAcceptance],
        callers: Callable[[model.IncidentView, Suspects, Event | None], KeyCallers | None],
        aliases: Callable[[str], Sequence[str]],
        waiting: Callable[[], Sequence[str]],
        drill_days: int = 90,
        clock: Callable[[], datetime] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        """`engine` is that of the journal's database. `clock` None is the database's own.

        `suspects` finds whom an incident is about, `providers` whose tokens are in a scope, `callers` who
        calls a key now, `aliases` those of a key, the one that it is known by first (raises KmsError).
        `losses` makes what accepts tokens as lost, `waiting` are the requests that wait for a second person,
        in words, and `on_close` is called after an incident was closed.
        """
        self._parts = parts = IncidentParts(
            engine, journal, library, toolbox, read_only=read_only, clock=clock
        )
        evidence = StepEvidence(parts)
        proof = StepProof(parts, evidence)
        actions, decisions = StepActions(parts, proof), StepDecisions(parts, evidence, on_close)
        lost = losses(parts)
        self.fields, self.plan_action, self.run_action = (
            actions.fields,
            actions.plan_action,
            actions.run_action,
        )
        self.look_at_check, self.capture, self.finish = proof.look_at_check, evidence.capture, proof.finish
        self.answer, self.skip, self.reopen = decisions.answer, decisions.skip, decisions.reopen
        self.note, self.close = decisions.note, decisions.close
        self.plan_accept_lost, self.accept_lost, self.accepted_losses = lost.plan, lost.accept, lost.accepted
        self.verify_report = reports.verify
        self._reports, self._suspects, self._callers = reports, suspects, callers
        self._providers, self._aliases, self._waiting = providers, aliases, waiting
        self._drill_days = drill_days

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
        if (stored := self._parts.store.as_stored(found.text)) != found.text:
            found = read_runbook(stored, found.source)
        runbook_named = {"runbook": found.id}
        guard = self._parts.guard
        with guard.recording("incident declare", found.id, runbook_named, lambda e: kept_text(e.message)):
            about = self._with_alias(checked_scope(found, scope))
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
        if scope.key:
            with suppress(errors.KmsError):
                aliases = self._aliases(scope.key)
        return replace(scope, alias=clean(next(iter(aliases), ""), 256))

    def incidents(self, *, closed: bool = True, limit: int | None = 200) -> tuple[model.IncidentView, ...]:
        """Return incidents, open ones first, the newest first; without evidence and entries. None is all."""
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
        return self._suspects(self._parts.view(incident).incident, cancelled)

    def callers(self, incident: int, *, cancelled: Event | None = None) -> KeyCallers | None:
        """Return who calls an incident's key now, by the events that are kept; None for one about no key.

        It fetches no events, and says up to when they are fetched. Raises UnknownIncidentError,
        InterruptedRunError.
        """
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

    def assign(
        self, incident: int, role: IncidentRole, who: str | None = None, note: str = ""
    ) -> model.IncidentView:
        """Give a role to somebody; None is whoever acts, "" nobody.

        Where the lead changes hands, the timeline keeps how the incident stood. Raises RefusedError for a
        closed incident.
        """
        self._parts.guard.may_change("give a role")
        view, actor = self._parts.view(incident), self._parts.actor()
        person, said = kept_text(actor if who is None else who, PERSON_LIMIT), kept_text(note, TEXT_LIMIT)
        stands = joined(handover_lines(view, self._parts.store.now(), self._requests()))
        with self._parts.store.change(incident, actor) as change:
            require_open(change)
            before = people_of(change.people()).who(role)
            if before == person and not said:
                return view
            told = f"{role.value.capitalize()} is {person or 'nobody'}" + (
                f", was {before}." if before else "."
            )
            if said:
                told += f" {said}"
            if role is IncidentRole.LEAD and before and before != person:
                told += f" How it stood: {stands}"
            change.tell(model.EntryKind.ROLE.value, "", kept_text(told, NOTE_LIMIT))
            detail = {"role": role.value, "who": person, "was": before, "note": said}
            change.record(ROLE, "", Outcome.DONE, detail)
        return self._parts.view(incident)

    def handover(self, incident: int) -> tuple[CleanText, ...]:
        """Return what whoever takes an incident over has to know, in lines. Raises UnknownIncidentError."""
        return handover_lines(self._parts.view(incident), self._parts.store.now(), self._requests())

    def follow_up(self, incident: int, text: str, owner: str = "", due: date | None = None) -> FollowUp:
        """Keep what is to be done after an incident, open or closed. Raises RefusedError without a text."""
        self._parts.guard.may_change("write a follow-up")
        written, person = kept_text(text, TEXT_LIMIT), kept_text(owner, PERSON_LIMIT)
        if not written:
            raise errors.RefusedError("The follow-up is empty.", remedy="Say what is to be done.")
        with self._parts.store.change(incident, self._parts.actor()) as change:
            number = max((one.number for one in people_of(change.people()).follow_ups), default=0) + 1
            until = f", due {due}" if due else ""
            told = f"Follow-up {number}: {written} Owner: {person or 'nobody yet'}{until}."
            change.tell(model.EntryKind.FOLLOW_UP.value, "", told)
            day = due.isoformat() if due else ""
            detail = {"follow_up": number, "text": written, "owner": person, "due": day}
            change.record(FOLLOW_UP, "", Outcome.DONE, detail)
            return _follow_up(change, number)

    def end_follow_up(self, incident: int, number: int, outcome: str) -> FollowUp:
        """Note that a follow-up is done. Raises RefusedError if it was before, or without an outcome."""
        self._parts.guard.may_change("end a follow-up")
        came = required_reason(outcome, "end a follow-up")
        with self._parts.store.change(incident, self._parts.actor()) as change:
            found = _follow_up(change, number)
            if found.ended_at is not None:
                raise errors.RefusedError(
                    f"Follow-up {number} of INC-{incident} was done by {found.ended_by}: {found.outcome}"
                )
            change.tell(model.EntryKind.FOLLOW_UP.value, "", f"Follow-up {number} is done: {came}")
            change.record(FOLLOW_UP_DONE, "", Outcome.DONE, {"follow_up": number, "outcome": came})
            return _follow_up(change, number)

    def _requests(self) -> tuple[str, ...]:
        try:
            return tuple(self._waiting())
        except errors.KeydeckError as error:
            return (f"not known: {error}",)

    def evidence(self, incident: int, evidence: int) -> str:
        """Return a piece of evidence's content, JSON text, whose hash was compared with the journal's.

        Raises EvidenceError, UnknownIncidentError.
        """
        self._parts.store.get(incident)
        return self._parts.store.content(incident, evidence)

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
        """Return the report in a form. Raises RefusedError for another form, UnknownIncidentError."""
        return self._reports.report(self._parts.view(incident), form)

    def reports(self, incident: int) -> Mapping[str, str]:
        """Return one signed document in every form, by the form's name. Raises UnknownIncidentError."""
        return self._reports.reports(self._parts.view(incident))


def _follow_up(change: IncidentChange, number: int) -> FollowUp:
    follow_ups = people_of(change.people()).follow_ups
    for one in follow_ups:
        if one.number == number:
            return one
    known = ", ".join(str(one.number) for one in follow_ups) or "none"
    raise errors.RefusedError(
        f"INC-{change.incident.id} has no follow-up {number}.", remedy=f"Its follow-ups: {known}."
    )


def _host() -> str:
    return clean(socket.gethostname(), 100)


def _shortened(scope: model.IncidentScope) -> dict[str, object]:
    told = scope.as_json()
    if len(scope.references) > 100:
        told["references"] = [*scope.references[:100], f"and {len(scope.references) - 100:,} more"]
    return told
