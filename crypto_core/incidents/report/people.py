"""Who took part in an incident, and what each did."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime

from crypto_core.incidents.model import IncidentView
from crypto_core.incidents.report.parts import Person


def people_of(view: IncidentView) -> tuple[Person, ...]:
    """Return everybody whom the incident names, in the order in which they came."""
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
