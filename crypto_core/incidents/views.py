"""Incidents as they are shown, from the rows that they are stored in. All text is cleaned on the way."""

from __future__ import annotations

from collections.abc import Iterable

from crypto_core.database.state.incident_changes import IncidentRow, StepRow
from crypto_core.database.state.incidents import IncidentWhole
from crypto_core.incidents.model import (
    CheckResult,
    EntryKind,
    Incident,
    IncidentScope,
    IncidentState,
    IncidentView,
    StepState,
    StepView,
    TimelineEntry,
)
from crypto_core.incidents.people import people_of
from crypto_core.incidents.runbooks.runbook import Runbook, RunbookStep
from crypto_core.values.clean_text import clean
from crypto_core.values.json_records import record_of

_LONG = 4_000

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
"""What making a view raises of a row that Keydeck did not write."""


def incident_view(whole: IncidentWhole, runbook: Runbook) -> IncidentView:
    return IncidentView(
        incident_of(whole.incident),
        runbook,
        step_views(runbook, whole.steps),
        whole.evidence,
        tuple(
            TimelineEntry(
                row.at, clean(row.actor), EntryKind(row.kind), clean(row.step_id), clean(row.text, _LONG)
            )
            for row in whole.entries
        ),
        whole.present,
        people_of(whole.people),
    )


def incident_of(row: IncidentRow) -> Incident:
    return Incident(
        id=row.id,
        title=clean(row.title),
        state=IncidentState(row.state),
        scope=record_of(IncidentScope, row.scope),
        declared_at=row.declared_at,
        declared_by=clean(row.declared_by),
        values={clean(name): clean(value, _LONG) for name, value in row.known.items()},
        closed_at=row.closed_at,
        closed_by=clean(row.closed_by),
        outcome=clean(row.outcome, _LONG),
    )


def unreadable(row: IncidentRow) -> Incident:
    """Return what stands for an incident whose row can't be read, as an open one."""
    title = clean(f"Not readable; look at it with: keydeck incident show {row.id}")
    return Incident(
        row.id, title, IncidentState.OPEN, IncidentScope(), row.declared_at, clean(row.declared_by)
    )


def step_views(runbook: Runbook, rows: Iterable[StepRow]) -> tuple[StepView, ...]:
    stored = {row.step_id: row for row in rows}
    return tuple(
        _step_view(step, number, stored.get(step.id, StepRow(step.id)))
        for number, step in enumerate(runbook.steps, 1)
    )


def _step_view(step: RunbookStep, number: int, row: StepRow) -> StepView:
    return StepView(
        step=step,
        number=number,
        state=StepState(row.state),
        begun_at=row.begun_at,
        ended_at=row.ended_at,
        by=clean(row.actor),
        reason=clean(row.reason, _LONG),
        answer=clean(row.answer),
        trouble=clean(row.trouble, _LONG),
        check=record_of(CheckResult, row.check_result) if row.check_result else None,
    )
