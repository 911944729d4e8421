"""Incidents, runbooks and plans as the command prints them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import click

from console.printed.printing import print_table, say
from crypto_core.incidents.model import (
    CheckResult,
    EvidencePiece,
    IncidentState,
    IncidentView,
    StepState,
    StepView,
    TimelineEntry,
)
from crypto_core.incidents.runbooks.placeholders import filled
from crypto_core.incidents.runbooks.runbook import Runbook
from crypto_core.incidents.steps.step_contracts import ActionPlan, ActionResult
from crypto_core.text.cleaning import clean
from screens.incidents.signs import CHECKS, OPEN, STEPS


def _when(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def check_document(result: CheckResult | None) -> dict[str, Any] | None:
    """Return what a check saw as a JSON document's part."""
    if result is None:
        return None
    return {
        "state": result.state.value,
        "lines": list(result.lines),
        "done": result.done,
        "total": result.total,
        "at": _when(result.at),
    }


def step_document(view: StepView) -> dict[str, Any]:
    """Return a step as a JSON document's part."""
    return {
        "step": view.step.id,
        "number": view.number,
        "title": view.step.title,
        "state": view.state.value,
        "action": view.step.action.value if view.step.action else None,
        "choices": list(view.step.choices),
        "answer": view.answer or None,
        "by": view.by or None,
        "begun_at": _when(view.begun_at),
        "ended_at": _when(view.ended_at),
        "budget_seconds": view.step.budget_seconds or None,
        "reason": view.reason or None,
        "trouble": view.trouble or None,
        "check": check_document(view.check),
    }


def evidence_document(piece: EvidencePiece) -> dict[str, Any]:
    """Return a piece of evidence, without its content, as a JSON document's part."""
    return {
        "id": piece.id,
        "step": piece.step_id,
        "kind": piece.kind,
        "title": piece.title,
        "captured_at": _when(piece.captured_at),
        "captured_by": piece.captured_by,
        "sha256": piece.sha256,
        "characters": piece.characters,
    }


def entry_document(entry: TimelineEntry) -> dict[str, Any]:
    """Return a line of the timeline as a JSON document's part."""
    return {
        "at": _when(entry.at),
        "actor": entry.actor,
        "kind": entry.kind.value,
        "step": entry.step_id or None,
        "text": entry.text,
    }


def document_of(view: IncidentView, *, whole: bool = False) -> dict[str, Any]:
    """Return an incident as a JSON document; `whole` with evidence and timeline."""
    incident = view.incident
    document: dict[str, Any] = {
        "incident": incident.id,
        "title": incident.title,
        "state": incident.state.value,
        "runbook": {
            "id": view.runbook.id,
            "version": view.runbook.version,
            "title": view.runbook.title,
            "sha256": view.runbook.digest,
        },
        "scope": incident.scope.as_json(),
        "values": dict(incident.values),
        "declared_at": _when(incident.declared_at),
        "declared_by": incident.declared_by,
        "closed_at": _when(incident.closed_at),
        "closed_by": incident.closed_by or None,
        "outcome": incident.outcome or None,
        "current": view.current.step.id if view.current else None,
        "steps": [step_document(step) for step in view.steps],
    }
    if whole:
        document["evidence"] = [evidence_document(piece) for piece in view.evidence]
        document["timeline"] = [entry_document(entry) for entry in view.entries]
    return document


def runbook_document(runbook: Runbook) -> dict[str, Any]:
    """Return a runbook as a JSON document's part."""
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


def print_runbooks(runbooks: Iterable[Runbook]) -> None:
    """Print runbooks, a line each."""
    print_table(
        ("runbook", "about", "steps", "from", "title"),
        [(r.id, r.subject.value, len(r.steps), r.source, r.title) for r in runbooks],
    )


def print_list(views: Iterable[IncidentView]) -> None:
    """Print incidents, a line each."""
    rows = []
    for view in views:
        current = view.current
        at = f"{current.number} of {len(view.steps)}: {current.step.title}" if current else "all steps ended"
        if view.incident.state is IncidentState.CLOSED:
            at = view.incident.outcome
        rows.append((view.incident.name, view.incident.state.value, view.incident.title, at))
    print_table(("incident", "state", "title", "step"), rows)


def print_incident(view: IncidentView) -> None:
    """Print an incident: what it is about, and each step with what is known of it."""
    incident = view.incident
    click.echo(clean(f"{incident.name}  {incident.title}  {incident.state.value}", 600))
    click.echo(clean(f"about     {incident.scope}", 600))
    click.echo(clean(f"runbook   {view.runbook.id} {view.runbook.version} ({view.runbook.source})", 600))
    click.echo(clean(f"declared  {incident.declared_at:%Y-%m-%d %H:%M:%S %Z} by {incident.declared_by}", 600))
    if incident.closed_at is not None:
        words = f"closed    {incident.closed_at:%Y-%m-%d %H:%M:%S %Z} by {incident.closed_by}"
        click.echo(clean(f"{words}: {incident.outcome}", 2000))
    for name, value in incident.values.items():
        click.echo(clean(f"{name:<10}{value}", 600))
    click.echo()
    now = view.current
    for step in view.steps:
        sign = (OPEN if step is now else STEPS[step.state]).text
        about = step.state.value if step.state is not StepState.DONE else f"{step.ended_at:%H:%M:%S}"
        who = f"  {step.by}" if step.by and step.state.ended else ""
        answer = f"  {step.answer}" if step.answer else ""
        click.echo(clean(f"{sign} {step.number:>2}  {step.step.title}  {about}{answer}{who}", 600))
        if step.state is StepState.SKIPPED:
            click.echo(clean(f"      skipped: {step.reason}", 600))
    if now is not None:
        click.echo()
        print_step(now, view)


def print_step(step: StepView, view: IncidentView) -> None:
    """Print a step: why, what to do, what its check said, and what was captured."""
    click.echo(clean(f"Step {step.number}: {step.step.title}", 600))
    click.echo(clean(step.step.purpose, 2000))
    for line in step.step.do:
        click.echo(clean(f"  - {filled(line, view.incident.placeholders)}", 2000))
    if step.check is not None:
        print_check(step.check)
    if step.trouble:
        click.echo(clean(f"trouble   {step.trouble}", 2000))
        if step.step.on_failure:
            click.echo(clean(f"          {filled(step.step.on_failure, view.incident.placeholders)}", 2000))
    for piece in view.evidence:
        if piece.step_id == step.step.id:
            click.echo(clean(f"evidence  {piece.id}  {piece.title}  sha256 {piece.sha256}", 600))


def print_check(result: CheckResult) -> None:
    """Print what a check saw."""
    so_far = f"  {result.done:,} of {result.total:,}" if result.total else ""
    click.echo(f"check     {CHECKS[result.state].text} {result.state.value}{so_far}")
    for line in result.lines:
        click.echo(clean(f"          {line}", 1000))


def print_plan(plan: ActionPlan) -> None:
    """Print what an action would do, on stderr: it is what the operator is asked about."""
    say(plan.title)
    for line in plan.does:
        say(f"  does: {line}")
    for line in plan.does_not:
        say(f"  does not: {line}")
    for line in plan.warnings:
        say(f"  warning: {line}")


def say_result(result: ActionResult) -> None:
    """Say what came of an action."""
    for line in result.lines:
        say(line)
