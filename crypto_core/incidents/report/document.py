"""Builds the report of an incident as one frozen document, from what is already clean of secrets.

Redacted by construction: everything comes from models that hold no secret, evidence gives only what an
allow-list names (exhibits.py), and the whole passes masking.py, for what people write into notes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from crypto_core.database.state.journal import JournalEntry
from crypto_core.findings.severity import Severity
from crypto_core.incidents.model import IncidentScope, IncidentState, IncidentView, StepView, TimelineEntry
from crypto_core.incidents.report.actions import Actions, actions_of, job_numbers
from crypto_core.incidents.report.differences import census_part
from crypto_core.incidents.report.exhibits import Exhibit, read
from crypto_core.incidents.report.figures import figures_of, said_of, tokens_part
from crypto_core.incidents.report.masking import masked
from crypto_core.incidents.report.open_points import of_evidence, of_steps, of_tokens
from crypto_core.incidents.report.parts import (
    DRAFT,
    FINAL,
    Head,
    Named,
    OpenPoint,
    Report,
    ReportEvidence,
    ReportJob,
    ReportStep,
    ScopePart,
    TimelineRow,
    TokensPart,
)
from crypto_core.incidents.report.people import people_of
from crypto_core.incidents.times import Times, times_of

REFERENCES_SHOWN = 500
"""Tokens in scope that are named one by one; the rest is counted."""


def build(
    view: IncidentView,
    *,
    evidence: Callable[[int], str],
    journal: Sequence[JournalEntry],
    journal_state: str,
    now: datetime,
    host: str,
    version: str,
    remarks: Sequence[str] = (),
) -> Report:
    """Return the report of an incident as it stands at `now`.

    `evidence` returns a piece's content by its id; where it raises a KeydeckError, or the content isn't what
    was captured, the report says so. `journal` are entries, oldest first, `journal_state` a sentence on
    whether the chain is whole, `remarks` what the caller could not see. `version` is Keydeck's.
    """
    exhibits = tuple(read(piece, evidence) for piece in view.evidence)
    times = times_of(view, now)
    census = census_part(exhibits)
    said, by_hand = said_of(exhibits)
    tokens = tokens_part(view, said, by_hand)
    actions = actions_of(view.incident, journal, now)
    open_points = _open_points(view, exhibits, tokens, by_hand, actions, remarks)
    titles = {step.step.id: step.step.title for step in view.steps}
    report = Report(
        head=_head(view, now, host, version),
        scope=_scope(view.incident.scope, view.runbook.subject.value),
        figures=figures_of(view, exhibits, census, tokens, open_points),
        open_points=open_points,
        times=times,
        found=tuple(Named(name, value) for name, value in view.incident.values.items()),
        census=census,
        tokens=tokens,
        jobs=_jobs(view, exhibits),
        steps=tuple(_step(step, view, times) for step in view.steps),
        timeline=tuple(_line(entry, titles) for entry in sorted(view.entries, key=lambda entry: entry.at)),
        actions=actions.rows,
        actions_left_out=actions.left_out,
        evidence=tuple(_evidence(exhibit, titles) for exhibit in exhibits),
        people=people_of(view),
        journal_state=journal_state,
    )
    return masked(report)


def _head(view: IncidentView, now: datetime, host: str, version: str) -> Head:
    incident, runbook = view.incident, view.runbook
    return Head(
        name=incident.name,
        title=incident.title,
        state=FINAL if incident.state is IncidentState.CLOSED else DRAFT,
        runbook_id=runbook.id,
        runbook_title=runbook.title,
        runbook_version=runbook.version,
        runbook_digest=runbook.digest,
        runbook_source=runbook.source,
        declared_at=incident.declared_at,
        declared_by=incident.declared_by,
        closed_at=incident.closed_at,
        closed_by=incident.closed_by,
        outcome=incident.outcome,
        made_at=now,
        made_on=host,
        made_by_version=version,
    )


def _scope(scope: IncidentScope, kind: str) -> ScopePart:
    return ScopePart(
        kind=kind,
        key=scope.key,
        references=scope.references[:REFERENCES_SHOWN],
        references_total=len(scope.references),
        filter=scope.filter,
        database=scope.database,
        since=scope.since,
        origin=scope.origin,
    )


def _jobs(view: IncidentView, exhibits: Sequence[Exhibit]) -> tuple[ReportJob, ...]:
    """The last that evidence tells of each job, and the jobs of which it tells nothing."""
    jobs = {
        number: ReportJob(number, "", "", None, None, None, None) for number in job_numbers(view.incident)
    } | {exhibit.job.id: exhibit.job for exhibit in exhibits if exhibit.job is not None}
    return tuple(jobs[number] for number in sorted(jobs))


def _open_points(
    view: IncidentView,
    exhibits: Sequence[Exhibit],
    tokens: TokensPart,
    by_hand: Mapping[str, str],
    actions: Actions,
    remarks: Sequence[str],
) -> tuple[OpenPoint, ...]:
    points = [*of_steps(view), *of_evidence(exhibits), *of_tokens(tokens, by_hand)]
    points += [OpenPoint(Severity.HIGH, "Journal", remark) for remark in remarks]
    if actions.left_out:
        left_out = (
            f"{actions.left_out:,} entries of that time are left out, none of which names the incident."
        )
        points.append(OpenPoint(Severity.LOW, "Journal", left_out))
    return tuple(sorted(points, key=lambda point: point.severity.rank))


def _step(view: StepView, whole: IncidentView, times: Times) -> ReportStep:
    phase = whole.runbook.phase_of(view.step.id)
    time = times.step(view.step.id)
    check = view.check
    return ReportStep(
        number=view.number,
        id=view.step.id,
        title=view.step.title,
        phase=phase.title,
        phase_kind=phase.kind.value,
        state=view.state.value,
        by=view.by,
        begun_at=view.begun_at,
        ended_at=view.ended_at,
        seconds=time.seconds,
        budget_seconds=time.budget_seconds,
        within=time.within,
        reason=view.reason,
        answer=view.answer,
        check=check.state.value if check else "",
        check_lines=check.lines if check else (),
        check_at=check.at if check else None,
        trouble=view.trouble,
    )


def _line(entry: TimelineEntry, titles: Mapping[str, str]) -> TimelineRow:
    step = titles.get(entry.step_id, entry.step_id)
    return TimelineRow(entry.at, entry.actor, entry.kind.value, step, entry.text)


def _evidence(exhibit: Exhibit, titles: Mapping[str, str]) -> ReportEvidence:
    piece = exhibit.evidence
    return ReportEvidence(
        id=piece.id,
        step=titles.get(piece.step_id, piece.step_id),
        kind=piece.kind,
        title=piece.title,
        at=piece.captured_at,
        by=piece.captured_by,
        sha256=piece.sha256,
        characters=piece.characters,
        agrees=exhibit.agrees,
        trouble=exhibit.trouble,
    )
