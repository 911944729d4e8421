"""Who took part, who had which role, and what is to be done after the incident."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

from crypto_core.incidents.model import IncidentView
from crypto_core.incidents.report.section import Report, ReportSection, Signed, Sources, taken_from
from crypto_core.lists.tone import Tone
from crypto_core.reports.cells import Cell, ShownSection, at_time, table
from crypto_core.values.moments import moment

_ACCOUNT = re.compile(r"arn:aws[a-z-]*:(?:sts|iam)::[0-9]{12}:")
_STATE_TONE = {"done": Tone.GOOD, "overdue": Tone.BAD, "open": Tone.WARNING}


@dataclass(frozen=True, slots=True)
class ReportRole:
    role: str
    who: str
    since: datetime
    by: str
    note: str


@dataclass(frozen=True, slots=True)
class Person:
    who: str
    steps: int
    evidence: int
    entries: int
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class PeopleSection(ReportSection):
    """Everybody whom the incident names, in the order in which they came."""

    PLACE: ClassVar = 140
    people: tuple[Person, ...]
    roles: tuple[ReportRole, ...]

    @classmethod
    def read(cls, sources: Sources) -> Self:
        held = sources.view.people.roles
        roles = tuple(taken_from(ReportRole, one, role=one.role.value) for one in held)
        return cls(_people(sources.view), roles)

    def show(self, signed: Signed) -> ShownSection:
        rows = (
            (one.who, one.steps, one.evidence, one.entries, one.first_at or "", one.last_at or "")
            for one in self.people
        )
        roles = ((one.role, (one.who, one.note), one.since, one.by) for one in self.roles)
        return ShownSection(
            "people",
            "Who took part",
            tables=(
                table("People", "Who|Steps ended|Evidence|Entries|First seen (UTC)|Last seen (UTC)", rows),
                table("Roles", "Role|Who|Since (UTC)|Given by", roles, "No role was given to anybody."),
            ),
        )


@dataclass(frozen=True, slots=True)
class Names:
    """Names of people in tables: without the beginning that all their ARNs share, given once in full."""

    shared: str

    @classmethod
    def of(cls, report: Report) -> Names:
        found = {
            match[0] if (match := _ACCOUNT.match(one.who)) else ""
            for one in report.section(PeopleSection).people
        }
        return cls(found.pop() if len(found) == 1 else "")

    def short(self, who: str) -> str:
        """Return a name as tables have it; another account's stays whole."""
        return who.removeprefix(self.shared)


def _people(view: IncidentView) -> tuple[Person, ...]:
    incident = view.incident
    moments: dict[str, list[datetime]] = defaultdict(list)
    steps, evidence, entries = Counter[str](), Counter[str](), Counter[str]()

    def seen(who: str, at: datetime | None) -> str:
        if who:
            moments[who] += [at] if at is not None else []
        return who

    seen(incident.declared_by, incident.declared_at)
    seen(incident.closed_by, incident.closed_at)
    for present in view.present:
        seen(present.actor, present.seen_at)
    for step in view.steps:
        steps[seen(step.by, step.ended_at or step.begun_at)] += step.state.ended
    for piece in view.evidence:
        evidence[seen(piece.captured_by, piece.captured_at)] += 1
    for entry in view.entries:
        entries[seen(entry.actor, entry.at)] += 1
    people = [
        Person(name, steps[name], evidence[name], entries[name], min(at, default=None), max(at, default=None))
        for name, at in moments.items()
    ]
    return tuple(sorted(people, key=lambda one: (one.first_at is None, one.first_at or incident.declared_at)))


@dataclass(frozen=True, slots=True)
class ReportFollowUp:
    """What is to be done, by whom and until when; `stands` is done, overdue or open."""

    number: int
    text: str
    owner: str
    due: str
    stands: str
    added_at: datetime
    added_by: str
    ended_at: datetime | None
    ended_by: str
    outcome: str


@dataclass(frozen=True, slots=True)
class FollowUpsSection(ReportSection):
    """What is to be done after the incident, in the order in which it was noted."""

    PLACE: ClassVar = 150
    follow_ups: tuple[ReportFollowUp, ...]

    @classmethod
    def read(cls, sources: Sources) -> Self:
        today = sources.now.date()
        found = (
            taken_from(
                ReportFollowUp, one, due=one.due.isoformat() if one.due else "", stands=one.stands(today)
            )
            for one in sources.view.people.follow_ups
        )
        return cls(tuple(found))

    def show(self, signed: Signed) -> ShownSection:
        rows = (
            (
                one.number,
                (one.text, f"noted {moment(one.added_at)} by {one.added_by}"),
                one.owner or "nobody yet",
                at_time(one.due or "no day"),
                Cell(one.stands, _STATE_TONE[one.stands], more=_end(one)),
            )
            for one in self.follow_ups
        )
        return ShownSection(
            "follow-ups",
            "Follow-ups",
            tables=(table("Follow-ups", "No.|What|Owner|Due|State", rows, "None was noted."),),
        )


def _end(one: ReportFollowUp) -> tuple[str, ...]:
    return (f"{moment(one.ended_at)} by {one.ended_by}", one.outcome) if one.ended_at else ()
