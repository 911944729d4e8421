"""Gives the roles of an incident to people, and keeps what is to be done after it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from crypto_core.database.state.incident_changes import IncidentChange
from crypto_core.errors import RefusedError
from crypto_core.guard.outcome import Outcome
from crypto_core.incidents.handover import handover_lines
from crypto_core.incidents.model import EntryKind
from crypto_core.incidents.people import (
    FOLLOW_UP,
    FOLLOW_UP_DONE,
    PERSON_LIMIT,
    ROLE,
    TEXT_LIMIT,
    FollowUp,
    IncidentRole,
    People,
    people_of,
)
from crypto_core.incidents.steps.evidence_sanitising import joined, kept_text
from crypto_core.incidents.steps.parts import IncidentParts, require_open
from crypto_core.incidents.steps.step_decisions import required_reason

NOTE_LIMIT = 4_000
"""Characters of what the timeline says of a lead that changes hands, how everything stood then included."""


class Assigning:
    """Each is one transaction: what the journal holds from then on, and what the timeline says."""

    def __init__(self, parts: IncidentParts) -> None:
        self._parts = parts

    def assign(
        self, number: int, role: IncidentRole, who: str, note: str, waiting: Sequence[str] = ()
    ) -> None:
        """Give a role of an open incident to somebody, "" for nobody.

        Where the lead changes hands, the timeline keeps how the incident stood; `waiting` are requests that
        wait for a second person.
        """
        self._parts.guard.may_change("give a role")
        view, actor = self._parts.view(number), self._parts.actor()
        person, said = kept_text(who, PERSON_LIMIT), kept_text(note, TEXT_LIMIT)
        stands = joined(handover_lines(view, self._parts.store.now(), waiting))
        with self._parts.store.change(number, actor) as change:
            require_open(change)
            before = _people(change).who(role)
            if before == person and not said:
                return
            told = f"{role.value.capitalize()} is {person or 'nobody'}" + (
                f", was {before}." if before else "."
            )
            if said:
                told += f" {said}"
            if role is IncidentRole.LEAD and before and before != person:
                told += f" How it stood: {stands}"
            change.tell(EntryKind.ROLE.value, "", kept_text(told, NOTE_LIMIT))
            detail = {"role": role.value, "who": person, "was": before, "note": said}
            change.record(ROLE, "", Outcome.DONE, detail)

    def add(self, number: int, text: str, owner: str, due: date | None) -> FollowUp:
        """Keep what is to be done after an incident, which may be closed already."""
        self._parts.guard.may_change("write a follow-up")
        written, person = kept_text(text, TEXT_LIMIT), kept_text(owner, PERSON_LIMIT)
        if not written:
            raise RefusedError("The follow-up is empty.", remedy="Say what is to be done.")
        with self._parts.store.change(number, self._parts.actor()) as change:
            taken = [one.number for one in _people(change).follow_ups]
            follow_up = max(taken, default=0) + 1
            until = f", due {due}" if due else ""
            told = f"Follow-up {follow_up}: {written} Owner: {person or 'nobody yet'}{until}."
            change.tell(EntryKind.FOLLOW_UP.value, "", told)
            detail = {
                "follow_up": follow_up,
                "text": written,
                "owner": person,
                "due": due.isoformat() if due else "",
            }
            change.record(FOLLOW_UP, "", Outcome.DONE, detail)
            return _one(_people(change), follow_up, _name(change))

    def end(self, number: int, follow_up: int, outcome: str) -> FollowUp:
        """Note that a follow-up is done, and what came of it."""
        self._parts.guard.may_change("end a follow-up")
        came = required_reason(outcome, "end a follow-up")
        with self._parts.store.change(number, self._parts.actor()) as change:
            name = _name(change)
            found = _one(_people(change), follow_up, name)
            if found.ended_at is not None:
                raise RefusedError(
                    f"Follow-up {follow_up} of {name} was done by {found.ended_by}: {found.outcome}"
                )
            change.tell(EntryKind.FOLLOW_UP.value, "", f"Follow-up {follow_up} is done: {came}")
            change.record(FOLLOW_UP_DONE, "", Outcome.DONE, {"follow_up": follow_up, "outcome": came})
            return _one(_people(change), follow_up, name)


def _name(change: IncidentChange) -> str:
    return f"INC-{change.incident.id}"


def _people(change: IncidentChange) -> People:
    return people_of(change.people())


def _one(people: People, number: int, name: str) -> FollowUp:
    for one in people.follow_ups:
        if one.number == number:
            return one
    known = ", ".join(str(one.number) for one in people.follow_ups) or "none"
    raise RefusedError(f"{name} has no follow-up {number}.", remedy=f"Its follow-ups: {known}.")
