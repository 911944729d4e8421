"""Where Enter on a line leads: one route for each kind of screen, with what that screen needs to know.

`SCREEN` is the screen's path below `screens`; it takes the route's fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.message import Message

from crypto_core.values.references import TokenRef


@dataclass(frozen=True, slots=True)
class TokensRoute:
    """The connections that a filter expression lets through."""

    SCREEN: ClassVar = "connections.screen.ConnectionsScreen"
    filter: str


@dataclass(frozen=True, slots=True)
class TokenGroupsRoute:
    """The connections of a filter, counted by what they have in common: a word of GroupBy."""

    SCREEN: ClassVar = "connections.groups_screen.TokenGroupsScreen"
    filter: str
    by: str


@dataclass(frozen=True, slots=True)
class KeyRoute:
    SCREEN: ClassVar = "keys.key_screen.KeyScreen"
    key_arn: str


@dataclass(frozen=True, slots=True)
class KeyUseRoute:
    """The use of one KMS key, all its replicas together."""

    SCREEN: ClassVar = "use.key_use_screen.KeyUseScreen"
    key_arn: str


@dataclass(frozen=True, slots=True)
class PolicyRoute:
    SCREEN: ClassVar = "keys.policy_screen.PolicyScreen"
    key_arn: str


@dataclass(frozen=True, slots=True)
class RotationRoute:
    """The guide through a manual rotation, from one KMS key to another, or to one that there isn't yet."""

    SCREEN: ClassVar = "keys.guide_screen.GuideScreen"
    old: str
    new: str | None


@dataclass(frozen=True, slots=True)
class FindingsRoute:
    """The findings that a filter expression lets through."""

    SCREEN: ClassVar = "findings.screen.FindingsScreen"
    filter: str


@dataclass(frozen=True, slots=True)
class JobRoute:
    SCREEN: ClassVar = "jobs.job_screen.JobScreen"
    job: int


@dataclass(frozen=True, slots=True)
class JobErrorsRoute:
    """The tokens that a job can't write, of one kind."""

    SCREEN: ClassVar = "jobs.job_screen.JobErrorsScreen"
    job: int
    kind: str


@dataclass(frozen=True, slots=True)
class EventsRoute:
    """The CloudTrail events that a filter expression lets through."""

    SCREEN: ClassVar = "events.screen.EventsScreen"
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
    SCREEN: ClassVar = "events.event_screen.EventScreen"
    event_id: str


@dataclass(frozen=True, slots=True)
class PivotsRoute:
    """The values of events by field, with their counts; of one field, or of all."""

    SCREEN: ClassVar = "events.pivot_screen.PivotScreen"
    filter: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class PrincipalRoute:
    """What one principal opened and could have opened, by its ARN without the session."""

    SCREEN: ClassVar = "principals.PrincipalScreen"
    arn: str


@dataclass(frozen=True, slots=True)
class TimelineRoute:
    SCREEN: ClassVar = "use.token_screen.TokenScreen"
    ref: TokenRef


@dataclass(frozen=True, slots=True)
class IncidentRoute:
    SCREEN: ClassVar = "incidents.incident_screen.IncidentScreen"
    incident: int


@dataclass(frozen=True, slots=True)
class EvidenceListRoute:
    """The evidence of one incident; of one step, or of all."""

    SCREEN: ClassVar = "incidents.evidence_screen.EvidenceListScreen"
    incident: int
    step: str = ""


@dataclass(frozen=True, slots=True)
class EvidenceRoute:
    """The content of one piece of evidence. `title` and `sha256` are what it was captured with."""

    SCREEN: ClassVar = "incidents.evidence_screen.EvidenceScreen"
    incident: int
    evidence: int
    title: str
    sha256: str


@dataclass(frozen=True, slots=True)
class EntriesRoute:
    SCREEN: ClassVar = "incidents.timeline_screen.IncidentTimelineScreen"
    incident: int


@dataclass(frozen=True, slots=True)
class PeopleRoute:
    SCREEN: ClassVar = "incidents.people_screen.PeopleScreen"
    incident: int


@dataclass(frozen=True, slots=True)
class EstatesRoute:
    """All estates."""

    SCREEN: ClassVar = "estates.EstatesScreen"


@dataclass(frozen=True, slots=True)
class EstateRoute:
    """One estate, to go on working there."""

    estate: str


@dataclass(frozen=True, slots=True)
class ApprovalsRoute:
    """Pending approvals."""

    SCREEN: ClassVar = "incidents.approvals_screen.ApprovalsScreen"


@dataclass(frozen=True, slots=True)
class ManualRoute:
    """The manual's pages that a filter expression lets through."""

    SCREEN: ClassVar = "manual.screen.ManualScreen"
    filter: str = ""


@dataclass(frozen=True, slots=True)
class ManualPageRoute:
    """One page of the manual; at what a filter expression looks for."""

    SCREEN: ClassVar = "manual.page_screen.ManualPageScreen"
    topic: str
    filter: str = ""


class Followed(Message):
    def __init__(self, target: object) -> None:
        super().__init__()
        self.target = target
        self.origin: object = None
        """The screen that the line is on; another one may be in front by now."""
