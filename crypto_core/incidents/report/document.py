"""Builds the report of an incident as one frozen document, from what is already clean of secrets.

Redacted by construction: everything comes from models that hold no secret, evidence gives only what an
allow-list names (exhibits.py), and every foreign text passes masking.py, for what people write into notes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from crypto_core.counting import counted
from crypto_core.database.journal import Entry as JournalEntry
from crypto_core.incidents.catalogue import CheckKind
from crypto_core.incidents.model import Entry, IncidentState, IncidentView, Scope, StepState, StepView
from crypto_core.incidents.report.actions import Actions, actions_of, job_numbers
from crypto_core.incidents.report.differences import census_part, under_key
from crypto_core.incidents.report.exhibits import Exhibit, read
from crypto_core.incidents.report.masking import sha256_shown, shown
from crypto_core.incidents.report.open_points import of_evidence, of_steps, of_tokens
from crypto_core.incidents.report.parts import (
    DRAFT,
    FINAL,
    CensusPart,
    EvidenceRow,
    Head,
    JobRow,
    Named,
    OpenPoint,
    Report,
    ScopePart,
    StepRow,
    TimelineRow,
    TokensPart,
)
from crypto_core.incidents.report.people import people_of
from crypto_core.incidents.times import Times, times_of
from crypto_core.providers.answers import Liveness
from crypto_core.severity import Severity

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
    said, by_hand = _said(exhibits)
    tokens = _tokens(view, said, by_hand)
    actions = actions_of(view.incident, journal, now)
    open_points = _open_points(view, exhibits, tokens, by_hand, actions, remarks)
    titles = {step.step.id: shown(step.step.title, 200) for step in view.steps}
    return Report(
        head=_head(view, now, host, version),
        scope=_scope(view.incident.scope, view.runbook.subject.value),
        figures=_figures(view, exhibits, census, tokens, open_points),
        open_points=open_points,
        times=times,
        found=tuple(Named(shown(name, 60), shown(value)) for name, value in view.incident.values.items()),
        census=census,
        tokens=tokens,
        jobs=_jobs(view, exhibits),
        steps=tuple(_step(step, view, times) for step in view.steps),
        timeline=tuple(_line(entry, titles) for entry in sorted(view.entries, key=lambda entry: entry.at)),
        actions=actions.rows,
        actions_left_out=actions.left_out,
        evidence=tuple(_evidence(exhibit, titles) for exhibit in exhibits),
        people=people_of(view),
        journal_state=shown(journal_state),
    )


def _head(view: IncidentView, now: datetime, host: str, version: str) -> Head:
    incident, runbook = view.incident, view.runbook
    return Head(
        name=incident.name,
        title=shown(incident.title, 300),
        state=FINAL if incident.state is IncidentState.CLOSED else DRAFT,
        runbook_id=shown(runbook.id, 100),
        runbook_title=shown(runbook.title, 300),
        runbook_version=runbook.version,
        runbook_digest=sha256_shown(runbook.digest),
        runbook_source=shown(runbook.source, 300),
        declared_at=incident.declared_at,
        declared_by=shown(incident.declared_by, 300),
        closed_at=incident.closed_at,
        closed_by=shown(incident.closed_by, 300),
        outcome=shown(incident.outcome),
        made_at=now,
        made_on=shown(host, 100),
        made_by_version=shown(version, 60),
    )


def _scope(scope: Scope, kind: str) -> ScopePart:
    return ScopePart(
        kind=kind,
        key=shown(scope.key, 300),
        references=tuple(shown(reference, 200) for reference in scope.references[:REFERENCES_SHOWN]),
        references_total=len(scope.references),
        filter=shown(scope.filter),
        database=shown(scope.database, 200),
        since=scope.since,
        origin=shown(scope.origin),
    )


def _said(exhibits: Sequence[Exhibit]) -> tuple[dict[str, str], dict[str, str]]:
    """What providers said last of each token; and which are left to be revoked by hand."""
    said: dict[str, str] = {}
    by_hand: dict[str, str] = {}
    for exhibit in sorted(exhibits, key=lambda one: (one.evidence.captured_at, one.evidence.id)):
        # Nobody's silence takes back what was said.
        said |= {
            ref: state
            for ref, state in exhibit.liveness.items()
            if state != Liveness.UNKNOWN.value or ref not in said
        }
        by_hand.update(exhibit.by_hand)
    return said, {ref: how for ref, how in by_hand.items() if said.get(ref) != Liveness.DEAD.value}


def _tokens(view: IncidentView, said: Mapping[str, str], by_hand: Mapping[str, str]) -> TokensPart:
    states = list(said.values())

    def told(value: str, state: Liveness) -> int | None:
        # What the steps have counted tells old tokens from new ones; a reference alone doesn't.
        kept = view.incident.values.get(value, "")
        if kept.isascii() and kept.isdigit():
            return int(kept)
        return states.count(state.value) if said else None

    dead = told("dead", Liveness.DEAD)
    return TokensPart(
        dead=dead if dead is not None else _counted_by(view, CheckKind.TOKENS_DEAD),
        alive=told("alive", Liveness.ALIVE),
        not_known=told("unknown_liveness", Liveness.UNKNOWN),
        by_hand=len(by_hand),
        replaced=_counted_by(view, CheckKind.TOKENS_REPLACED),
    )


def _counted_by(view: IncidentView, check: CheckKind) -> int | None:
    """How many a step's check had counted last."""
    results = [step.check for step in view.steps if step.step.check is check and step.check is not None]
    return results[-1].done if results and results[-1].total else None


def _jobs(view: IncidentView, exhibits: Sequence[Exhibit]) -> tuple[JobRow, ...]:
    """The last that evidence tells of each job, and the jobs of which it tells nothing."""
    jobs = {
        number: JobRow(number, "", "", None, None, None, None) for number in job_numbers(view.incident)
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
    points += [OpenPoint(Severity.HIGH, "Journal", shown(remark)) for remark in remarks]
    if actions.left_out:
        left_out = (
            f"{actions.left_out:,} entries of that time are left out, none of which names the incident."
        )
        points.append(OpenPoint(Severity.LOW, "Journal", left_out))
    return tuple(sorted(points, key=lambda point: point.severity.rank))


def _figures(
    view: IncidentView,
    exhibits: Sequence[Exhibit],
    census: CensusPart | None,
    tokens: TokensPart,
    open_points: Sequence[OpenPoint],
) -> tuple[Named, ...]:
    states = [step.state for step in view.steps]
    needed = len(states) - states.count(StepState.NOT_NEEDED)
    skipped = states.count(StepState.SKIPPED)
    figures = [
        Named(
            "Steps done",
            f"{states.count(StepState.DONE)} of {needed}",
            f"{skipped} skipped" if skipped else "none skipped",
        )
    ]
    key = view.incident.scope.key
    if census is not None:
        counts: list[tuple[str, tuple[int | None, int | None]]] = [("Not protected", census.unprotected)]
        if key:
            counts.insert(0, ("Under the old key", under_key(exhibits, key)))
        for name, (before, after) in counts:
            figures.append(
                Named(name, f"{before:,} → {after:,}" if after is not None else f"{before:,}", "tokens")
                if before is not None
                else Named(name, "not known")
            )
    if tokens.dead is not None:
        alive = f"{tokens.alive:,} alive" if tokens.alive is not None else ""
        figures.append(Named("Tokens dead", f"{tokens.dead:,}", alive))
    if tokens.by_hand:
        figures.append(Named("Left by hand", f"{tokens.by_hand:,}", "tokens"))
    if tokens.replaced is not None:
        figures.append(Named("Tokens replaced", f"{tokens.replaced:,}"))
    broken = sum(not exhibit.agrees for exhibit in exhibits)
    vouched = f"{broken:,} not as captured" if broken else "each as captured"
    figures.append(Named("Evidence", counted(len(exhibits), "piece"), vouched if exhibits else ""))
    worst = f"worst: {open_points[0].severity.value}" if open_points else "nothing is left"
    figures.append(Named("Open points", f"{len(open_points):,}", worst))
    return tuple(figures)


def _step(view: StepView, whole: IncidentView, times: Times) -> StepRow:
    phase = whole.runbook.phase_of(view.step.id)
    time = times.step(view.step.id)
    check = view.check
    return StepRow(
        number=view.number,
        id=shown(view.step.id, 100),
        title=shown(view.step.title, 200),
        phase=shown(phase.title, 200),
        phase_kind=phase.kind.value,
        state=view.state.value,
        by=shown(view.by, 300),
        begun_at=view.begun_at,
        ended_at=view.ended_at,
        seconds=time.seconds,
        budget_seconds=time.budget_seconds,
        within=time.within,
        reason=shown(view.reason),
        answer=shown(view.answer, 300),
        check=check.state.value if check else "",
        check_lines=tuple(shown(line, 300) for line in check.lines) if check else (),
        check_at=check.at if check else None,
        trouble=shown(view.trouble),
    )


def _line(entry: Entry, titles: Mapping[str, str]) -> TimelineRow:
    step = titles.get(entry.step_id, shown(entry.step_id, 100))
    return TimelineRow(entry.at, shown(entry.actor, 300), entry.kind.value, step, shown(entry.text))


def _evidence(exhibit: Exhibit, titles: Mapping[str, str]) -> EvidenceRow:
    piece = exhibit.evidence
    return EvidenceRow(
        id=piece.id,
        step=titles.get(piece.step_id, shown(piece.step_id, 100)),
        kind=shown(piece.kind, 60),
        title=shown(piece.title, 300),
        at=piece.captured_at,
        by=shown(piece.captured_by, 300),
        sha256=sha256_shown(piece.sha256),
        characters=piece.characters,
        agrees=exhibit.agrees,
        trouble=exhibit.trouble,
    )
