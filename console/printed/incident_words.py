"""Incidents, runbooks and plans as the command prints them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import click

from console.printed.lists import Printout
from console.printed.output import print_line, say, utc
from crypto_core.database.state.incident_records import EvidencePiece
from crypto_core.incidents import model
from crypto_core.incidents.key_callers import KeyCallers
from crypto_core.incidents.keys.accepted_losses import Acceptance
from crypto_core.incidents.people import FollowUp
from crypto_core.incidents.runbooks.placeholders import filled
from crypto_core.incidents.runbooks.runbook import Runbook
from crypto_core.incidents.steps.step_contracts import ActionPlan, ActionResult
from crypto_core.incidents.suspects import Suspects
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord, shape
from screens.incidents.words import CHECKS, action_lines, at_step, runbook_words, step_sign
from screens.styled_text import plain


@dataclass(frozen=True, slots=True)
class IncidentDocument(JsonRecord):
    view: model.IncidentView

    json_shape = shape("*view evidence=view.evidence timeline=view.entries")


@dataclass(frozen=True, slots=True)
class ShownIncident(JsonRecord):
    """An incident, and what was found out about it now; `untold` is why losses are not known."""

    incident: IncidentDocument
    suspects: Suspects
    accepted: tuple[Acceptance, ...]
    untold: str
    callers: KeyCallers | None

    json_shape = shape(
        "*incident *suspects accepted_as_unrecoverable=accepted "
        "accepted_as_unrecoverable_not_known=untold? *callers"
    )


def runbook_document(runbook: Runbook) -> dict[str, Any]:
    return {
        "id": runbook.id,
        "version": runbook.version,
        "title": runbook.title,
        "subject": runbook.subject.value,
        "summary": runbook.summary,
        "source": runbook.source,
        "sha256": runbook.digest,
        "steps": [{"step": step.id, "title": step.title} for step in runbook.steps],
    }


def runbook_listing(runbooks: Iterable[Runbook], troubles: Iterable[str]) -> Printout[Runbook]:
    return Printout(
        name="runbooks",
        rows=runbooks,
        record=runbook_document,
        headers=("runbook", "about", "steps", "from", "title"),
        cells=lambda r: (r.id, r.subject.value, len(r.steps), r.source, r.title),
        rest=lambda: {"not_read": list(troubles)},
    )


def incident_listing(views: Iterable[model.IncidentView], drill_due: str) -> Printout[model.IncidentView]:
    return Printout(
        name="incidents",
        schema="incident",
        rows=views,
        record=model.IncidentView.as_json,
        headers=("incident", "state", "title", "step"),
        cells=lambda v: (v.incident.name, v.incident.state.value, v.incident.title, at_step(v)),
        rest=lambda: {"drill_due": drill_due or None},
    )


def evidence_listing(found: Iterable[EvidencePiece]) -> Printout[EvidencePiece]:
    return Printout(
        name="evidence",
        rows=found,
        record=EvidencePiece.as_json,
        headers=("id", "step", "kind", "captured", "sha256", "title"),
        cells=lambda e: (e.id, e.step_id, e.kind, f"{e.captured_at:%Y-%m-%d %H:%M:%S}", e.sha256, e.title),
    )


def follow_up_text(follow_up: FollowUp, today: date) -> str:
    due = f", due {follow_up.due}" if follow_up.due else ""
    came = f": {follow_up.outcome}" if follow_up.outcome else ""
    return f"{follow_up.text} ({follow_up.owner or 'nobody yet'}{due}), {follow_up.stands(today)}{came}"


def follow_up_listing(
    found: Iterable[tuple[model.Incident, FollowUp]], today: date
) -> Printout[tuple[model.Incident, FollowUp]]:
    return Printout(
        name="follow_ups",
        rows=found,
        record=lambda row: {"incident": row[0].id, **row[1].as_json(), "state": row[1].stands(today)},
        headers=("incident", "no.", "state", "due", "owner", "what"),
        cells=lambda row: (
            row[0].name,
            row[1].number,
            row[1].stands(today),
            row[1].due or "",
            row[1].owner,
            row[1].text,
        ),
    )


def accepted_document(accepted: Iterable[Acceptance]) -> dict[str, Any]:
    return {"accepted_as_unrecoverable": [one.as_json() for one in accepted]}


def print_incident(
    view: model.IncidentView, suspects: Suspects | None = None, accepted: Iterable[Acceptance] = ()
) -> None:
    incident = view.incident
    print_line(f"{incident.name}  {incident.title}  {incident.state.value}")
    print_line(f"about     {incident.scope}")
    if incident.scope.found_by:
        print_line(f"found by  {incident.scope.found_by}")
    print_line(f"runbook   {runbook_words(view)} ({view.runbook.source})")
    print_line(f"declared  {utc(incident.declared_at)} UTC by {incident.declared_by}")
    if incident.closed_at is not None:
        closed = f"closed    {utc(incident.closed_at)} UTC by {incident.closed_by}"
        print_line(f"{closed}: {incident.outcome}")
    for role in view.people.roles:
        print_line(f"{role.role.value:<15} {role.who}, since {utc(role.since)} UTC")
    for name, value in incident.values.items():
        print_line(f"{name:<10}{value}")
    if suspects is not None:
        _print_suspects(suspects)
    for one in accepted:
        print_line(f"lost      {one}")
        print_line(f"          accepted {utc(one.at)} UTC by {one.by}, evidence {one.evidence}: {one.reason}")
    click.echo()
    now = view.current
    for step in view.steps:
        sign = step_sign(step, now).text
        about = step.state.value if step.state is not model.StepState.DONE else f"{step.ended_at:%H:%M:%S}"
        if (decision := view.undecided(step)) is not None:
            about = f"waits for the decision of step {decision.number}"
        who = f"  {step.by}" if step.by and step.state.ended else ""
        answer = f"  {step.answer}" if step.answer else ""
        print_line(f"{sign} {step.number:>2}  {step.step.title}  {about}{answer}{who}")
        if step.state is model.StepState.SKIPPED:
            print_line(f"      skipped: {step.reason}")
    if view.people.follow_ups:
        click.echo()
        today = datetime.now(UTC).date()
        for follow_up in view.people.follow_ups:
            print_line(f"follow-up {follow_up.number}  {follow_up_text(follow_up, today)}")
    if now is not None:
        click.echo()
        print_step(now, view)


def _print_suspects(suspects: Suspects) -> None:
    for suspect in suspects.found:
        last = f", last {utc(suspect.last)} UTC" if suspect.last is not None else ""
        print_line(
            f"suspect   {suspect.arn}  {counted(suspect.calls, 'call')}{last}: {'; '.join(suspect.why)}"
        )
    if suspects.more:
        print_line(f"          and {suspects.more:,} more")
    for gap in suspects.gaps:
        print_line(f"          {gap}")


def print_step(step: model.StepView, view: model.IncidentView) -> None:
    print_line(f"Step {step.number}: {step.step.title}")
    print_line(step.step.purpose)
    providers = view.incident.scope.providers
    for line in step.step.lines_for(providers):
        print_line(f"  - {filled(line, view.incident.placeholders)}")
    if left_out := step.step.left_out(providers):
        print_line(
            f"    Lines about others are left out, as no such token is in scope: {', '.join(left_out)}"
        )
    if step.check is not None:
        print_check(step.check)
    if step.trouble:
        print_line(f"trouble   {step.trouble}")
        if step.step.on_failure:
            print_line(f"          {filled(step.step.on_failure, view.incident.placeholders)}")
    for piece in view.evidence:
        if piece.step_id == step.step.id:
            print_line(f"evidence  {piece.id}  {piece.title}  sha256 {piece.sha256}")


def print_check(result: model.CheckResult) -> None:
    so_far = f"  {result.done:,} of {result.total:,}" if result.total else ""
    click.echo(f"check     {CHECKS[result.state].text} {result.state.value}{so_far}")
    for line in result.lines:
        print_line(f"          {line}")


def print_plan(plan: ActionPlan) -> None:
    """Print what an action would do, on stderr: it is what the operator is asked about."""
    say(plan.title)
    for line in action_lines(plan):
        say(plain(line))


def say_result(result: ActionResult) -> None:
    for line in result.lines:
        say(line)
