"""Who has which role in an incident, and what is to be done after it: the journal alone holds it.

The roles are those of the Incident Command System as NIST SP 800-61 and PagerDuty's incident response use it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from crypto_core.database.schema import INCIDENT_PEOPLE
from crypto_core.database.state.incident_changes import JournaledRow
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.values.json_records import JsonRecord, shape

ROLE, FOLLOW_UP, FOLLOW_UP_DONE = INCIDENT_PEOPLE
"""What the journal calls each of them."""

TEXT_LIMIT = 1_000
PERSON_LIMIT = 300


class IncidentRole(StrEnum):
    """A role in an incident; one person has it at a time, and one person may have several."""

    LEAD = "lead"
    OPERATIONS = "operations"
    COMMUNICATIONS = "communications"

    @property
    def duty(self) -> str:
        return _DUTIES[self]


_DUTIES = {
    IncidentRole.LEAD: "decides, and keeps the whole in view",
    IncidentRole.OPERATIONS: "does the steps",
    IncidentRole.COMMUNICATIONS: "tells owners, customers and management",
}


@dataclass(frozen=True, slots=True)
@cleans(TEXT_LIMIT)
class Assignment(JsonRecord):
    """Who has a role, since when, and by whom it was given; `who` "" is nobody."""

    role: IncidentRole
    who: CleanText
    since: datetime
    by: CleanText
    note: CleanText = NO_TEXT

    json_shape = shape("role who? ... note?")


@dataclass(frozen=True, slots=True)
@cleans(TEXT_LIMIT)
class FollowUp(JsonRecord):
    """What is to be done after an incident, by whom and until when; `number` counts within the incident."""

    number: int
    text: CleanText
    owner: CleanText
    due: date | None
    added_at: datetime
    added_by: CleanText
    ended_at: datetime | None = None
    ended_by: CleanText = NO_TEXT
    outcome: CleanText = NO_TEXT

    json_shape = shape("follow_up=number text owner? ... done_at=ended_at done_by=ended_by? outcome?")

    def overdue(self, today: date) -> bool:
        return self.ended_at is None and self.due is not None and self.due < today

    def stands(self, today: date) -> str:
        return "done" if self.ended_at is not None else "overdue" if self.overdue(today) else "open"


@dataclass(frozen=True, slots=True)
class People:
    """The roles that somebody has, in their own order, and the follow-ups, in theirs."""

    roles: tuple[Assignment, ...] = ()
    follow_ups: tuple[FollowUp, ...] = ()

    def who(self, role: IncidentRole) -> CleanText:
        """Return who has a role, "" for nobody."""
        return next((one.who for one in self.roles if one.role is role), NO_TEXT)

    def open(self) -> tuple[FollowUp, ...]:
        """Return the follow-ups that are not done, the one that is due first above all."""
        left = (one for one in self.follow_ups if one.ended_at is None)
        return tuple(sorted(left, key=lambda one: (one.due or date.max, one.number)))


NOBODY = People()


def people_of(rows: Iterable[JournaledRow]) -> People:
    """Return what the journal's entries come to, the oldest first; what can't be read counts for nothing."""
    roles: dict[IncidentRole, Assignment] = {}
    follow_ups: dict[int, FollowUp] = {}
    for row in rows:
        try:
            detail = json.loads(row.detail)
            if row.action == ROLE:
                role = IncidentRole(detail["role"])
                by = clean(row.actor, PERSON_LIMIT)
                roles[role] = Assignment(role, _text(detail, "who"), row.at, by, _text(detail, "note"))
            elif row.action == FOLLOW_UP:
                follow_up = _follow_up(row, detail)
                follow_ups.setdefault(follow_up.number, follow_up)
            else:
                number = int(detail["follow_up"])
                follow_ups[number] = _ended(follow_ups[number], row, detail)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # not what Keydeck journals
    held = tuple(roles[role] for role in IncidentRole if role in roles and roles[role].who)
    return People(held, tuple(follow_ups[number] for number in sorted(follow_ups)))


def _follow_up(row: JournaledRow, detail: Mapping[str, Any]) -> FollowUp:
    due = detail.get("due")
    return FollowUp(
        int(detail["follow_up"]),
        _text(detail, "text"),
        _text(detail, "owner"),
        date.fromisoformat(due) if due else None,
        row.at,
        clean(row.actor, PERSON_LIMIT),
    )


def _ended(follow_up: FollowUp, row: JournaledRow, detail: Mapping[str, Any]) -> FollowUp:
    if follow_up.ended_at is not None:
        return follow_up
    return replace(
        follow_up, ended_at=row.at, ended_by=clean(row.actor, PERSON_LIMIT), outcome=_text(detail, "outcome")
    )


def _text(detail: Mapping[str, Any], name: str) -> CleanText:
    return clean(str(detail.get(name) or ""), TEXT_LIMIT)
