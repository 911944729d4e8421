"""Tests of people at work: four eyes, runbooks, drills, incidents and what was learned of them."""

from __future__ import annotations

from datetime import datetime, timedelta

from crypto_core.compliance.answer import BY_TEST, ControlAnswer, answer, cause, control_test, not_assessed
from crypto_core.compliance.facts import ApprovalFacts, DrillFacts, IncidentFact, IncidentFacts, UseFacts
from crypto_core.compliance.snapshot import SnapshotPart
from crypto_core.findings.finding import Finding
from crypto_core.incidents.runbooks.catalogue import SubjectKind
from crypto_core.values.counts import counted, listed

YEAR = timedelta(days=365)
_MOST_NAMES = 6
_NO_INCIDENT = "no incident is on record"


@control_test("second-person", SnapshotPart.APPROVALS)
def _second_person(_now: datetime, facts: ApprovalFacts) -> ControlAnswer:
    """Changes of keys, tokens and policies need the approval of a second person."""
    if not facts.possible:
        return not_assessed("no operation can be made to need a second person")
    if not facts.needed:
        return answer([], bad=["No operation needs a second person (KEYDECK_APPROVALS)"])
    alone = [name for name in facts.possible if name not in facts.needed]
    good = f"{len(facts.needed):,} of {counted(len(facts.possible), 'operation')} need a second person"
    left = [f"Done by one person alone: {listed(alone, _MOST_NAMES)}"] if alone else []
    return answer([good, f"A request holds {facts.minutes:g} minutes"], open_=left)


@control_test("approvals-signed", SnapshotPart.APPROVALS)
def _approvals_signed(_now: datetime, facts: ApprovalFacts) -> ControlAnswer:
    """Each approval is a KMS call in CloudTrail, so that whoever owns the database can't make one."""
    if not facts.needed:
        return not_assessed("no operation needs a second person")
    if facts.signed:
        return answer(["Each approval is a KMS call that CloudTrail has delivered"])
    bad = "Nothing proves approvals (KEYDECK_APPROVALS_KEY): who may write to keydeck.approval can make one"
    return answer([], bad=[bad])


@control_test("runbooks-ready", SnapshotPart.INCIDENTS)
def _runbooks(_now: datetime, facts: IncidentFacts) -> ControlAnswer:
    """There are runbooks for compromised keys, leaked tokens and restored databases, and all can be read."""
    good = [f"Runbooks about: {', '.join(facts.subjects)}"] if facts.subjects else []
    bad = [f"No runbook about: {kind}" for kind in SubjectKind if kind not in facts.subjects]
    return answer(good, bad=[*bad, *facts.troubles])


@control_test("restore-drilled", SnapshotPart.DRILLS)
def _drilled(now: datetime, facts: DrillFacts) -> ControlAnswer:
    """Tokens of a restored database were opened as often as KEYDECK_DRILL_DAYS wants, or within a year."""
    wanted = timedelta(days=facts.wanted_days) if facts.wanted_days else YEAR
    if facts.last_at is None:
        return answer([], bad=["No restore drill is on record"])
    line = f"The last restore drill was on {facts.last_at:%Y-%m-%d}; one is wanted every {wanted.days} days"
    late = now - facts.last_at > wanted
    return answer([] if late else [line], bad=[line] if late else [])


@control_test("accesses-reviewed", SnapshotPart.USES)
def _reviewed(now: datetime, facts: UseFacts) -> ControlAnswer:
    """Who may use keys and who did was reviewed as often as KEYDECK_REVIEW_DAYS wants, or within a year."""
    wanted = timedelta(days=facts.review_days) if facts.review_days else YEAR
    reviews = [one for one in facts.reviews if one.accesses]
    if not reviews:
        return answer([], bad=["No review of who may use the keys is on record"])
    last = max(reviews, key=lambda one: one.at)
    keys = counted(len(last.keys), "key")
    said = f"{last.by} reviewed access to {keys} on {last.at:%Y-%m-%d}: {last.reason}"
    line = f"{said}; a review is wanted every {wanted.days} days"
    late = now - last.at > wanted
    return answer([] if late else [line], bad=[line] if late else [])


def _of_the_year(now: datetime, facts: IncidentFacts) -> list[IncidentFact]:
    return [
        one
        for one in facts.incidents
        if one.closed_at is None or now - max(one.declared_at, one.closed_at) <= YEAR
    ]


@control_test("incidents-contained-in-time", SnapshotPart.INCIDENTS)
def _contained(now: datetime, facts: IncidentFacts) -> ControlAnswer:
    """Every incident of the last year was contained within its runbook's budget."""
    recent = _of_the_year(now, facts)
    if not recent:
        return not_assessed(_NO_INCIDENT)
    good, late, unknown = (
        [one for one in recent if one.contained_in_time is within] for within in (True, False, None)
    )
    return answer(
        [_line(one) for one in good],
        bad=[_cause(one, "Over its budget") for one in late],
        open_=[f"Not told: {_line(one)}" for one in unknown],
    )


def _cause(one: IncidentFact, why: str) -> Finding:
    return cause(BY_TEST, one.name, f"{why}: {_line(one)}")


def _line(one: IncidentFact) -> str:
    minutes = (
        f", contained after {one.contained_seconds / 60:,.0f} min"
        if one.contained_seconds is not None
        else ""
    )
    closed = f"closed {one.closed_at:%Y-%m-%d}" if one.closed_at else "open"
    return f"{one.name} ({one.runbook}), declared {one.declared_at:%Y-%m-%d %H:%M} UTC, {closed}{minutes}"


@control_test("incidents-led", SnapshotPart.INCIDENTS)
def _led(now: datetime, facts: IncidentFacts) -> ControlAnswer:
    """Every incident of the last year is on record with its times, and has a lead."""
    recent = _of_the_year(now, facts)
    if not recent:
        return not_assessed(_NO_INCIDENT)
    bad = [_cause(one, "Open without a lead") for one in recent if not one.lead and one.closed_at is None]
    left = [f"Closed without a lead: {_line(one)}" for one in recent if not one.lead and one.closed_at]
    led = [_line(one) for one in recent if one.lead]
    return answer(led, bad=bad, open_=left)


@control_test("incidents-learned-from", SnapshotPart.INCIDENTS)
def _learned(now: datetime, facts: IncidentFacts) -> ControlAnswer:
    """Closed incidents of the last year have follow-ups, and none of these is overdue."""
    closed = [one for one in _of_the_year(now, facts) if one.closed_at is not None]
    if not closed:
        return not_assessed("no closed incident is on record")
    bad = [_cause(one, f"{counted(one.overdue, 'follow-up')} overdue") for one in closed if one.overdue]
    left = [f"No follow-up: {_line(one)}" for one in closed if not one.follow_ups]
    good = [
        f"{counted(one.follow_ups, 'follow-up')}: {_line(one)}"
        for one in closed
        if one.follow_ups and not one.overdue
    ]
    return answer(good, bad=bad, open_=left)
