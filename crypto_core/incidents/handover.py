"""What whoever takes over an incident has to know, in lines: how it stands, what runs, what is left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from crypto_core.incidents.model import EntryKind, IncidentState, IncidentView, StepState, StepView
from crypto_core.incidents.report.words import found_out
from crypto_core.incidents.times import times_of
from crypto_core.reports.words import duration, moment_utc
from crypto_core.text.cleaning import CleanText, clean
from crypto_core.text.counting import counted

NOTES = 3
"""So many of the last notes are told."""
LINE_LIMIT = 600


def handover_lines(view: IncidentView, now: datetime, waiting: Iterable[str] = ()) -> tuple[CleanText, ...]:
    """Return the lines, cleaned; `waiting` are requests that wait for a second person, in words."""
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
