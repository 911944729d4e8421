"""Where Enter on a line leads: one route for each kind of screen, with what that screen needs to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from textual.message import Message

from crypto_core.references import TokenRef

if TYPE_CHECKING:
    from screens.evidence_standing import Standing


@dataclass(frozen=True, slots=True)
class TokensRoute:
    """The connections that a filter expression lets through."""

    filter: str


@dataclass(frozen=True, slots=True)
class TokenGroupsRoute:
    """The connections of a filter, counted by what they have in common: a word of GroupBy."""

    filter: str
    by: str


@dataclass(frozen=True, slots=True)
class KeyRoute:
    key_arn: str


@dataclass(frozen=True, slots=True)
class KeyUseRoute:
    """The use of one KMS key, all its replicas together."""

    key_arn: str


@dataclass(frozen=True, slots=True)
class PolicyRoute:
    key_arn: str


@dataclass(frozen=True, slots=True)
class RotationRoute:
    """The guide through a manual rotation, from one KMS key to another, or to one that there isn't yet."""

    old: str
    new: str | None


@dataclass(frozen=True, slots=True)
class FindingsRoute:
    """The findings that a filter expression lets through."""

    filter: str


@dataclass(frozen=True, slots=True)
class JobRoute:
    job: int


@dataclass(frozen=True, slots=True)
class JobErrorsRoute:
    """The tokens that a job can't write, of one kind."""

    job: int
    kind: str


@dataclass(frozen=True, slots=True)
class EventsRoute:
    """The CloudTrail events that a filter expression lets through."""

    filter: str


@dataclass(frozen=True, slots=True)
class NarrowedEventsRoute:
    """The list of events that this screen was opened from, under another filter.

    `principal` is the one that the filter asks for, where it asks for one.
    """

    filter: str
    principal: str = ""


@dataclass(frozen=True, slots=True)
class EventRoute:
    event_id: str


@dataclass(frozen=True, slots=True)
class PivotsRoute:
    """The values of events by field, with their counts; of one field, or of all."""

    filter: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class PrincipalRoute:
    """What one principal opened and could have opened, by its ARN without the session."""

    arn: str


@dataclass(frozen=True, slots=True)
class TimelineRoute:
    ref: TokenRef


@dataclass(frozen=True, slots=True)
class IncidentRoute:
    incident: int


@dataclass(frozen=True, slots=True)
class EvidenceListRoute:
    """The evidence of one incident; of one step, or of all."""

    incident: int
    step: str = ""


@dataclass(frozen=True, slots=True)
class EvidenceRoute:
    """The content of one piece of evidence. `title` and `sha256` are what it was captured with."""

    incident: int
    evidence: int
    title: str
    sha256: str


@dataclass(frozen=True, slots=True)
class EntriesRoute:
    incident: int


@dataclass(frozen=True, slots=True)
class PeopleRoute:
    incident: int


@dataclass(frozen=True, slots=True)
class EstatesRoute:
    """All estates."""


@dataclass(frozen=True, slots=True)
class EstateRoute:
    """One estate, to go on working there."""

    estate: str


@dataclass(frozen=True, slots=True)
class ApprovalsRoute:
    """Pending approvals."""


@dataclass(frozen=True, slots=True)
class ControlDayRoute:
    """The evidence behind one day of a control, by its id, as the screen that leads there has loaded it."""

    control: str
    day: date
    standing: Standing = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class OpenPointsRoute:
    """What is open for the next audit, as the screen that leads there has loaded it."""

    standing: Standing = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ManualRoute:
    """The manual's pages that a filter expression lets through."""

    filter: str = ""


@dataclass(frozen=True, slots=True)
class ManualPageRoute:
    """One page of the manual; at what a filter expression looks for."""

    topic: str
    filter: str = ""


class Followed(Message):
    def __init__(self, target: object) -> None:
        super().__init__()
        self.target = target
        self.origin: object = None
        """The screen that the line is on; another one may be in front by now."""
