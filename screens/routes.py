"""Where a line leads: what is behind it, shown on another screen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from textual.message import Message

from crypto_core.references import TokenRef


@dataclass(frozen=True, slots=True)
class TokensBehind:
    """The connections that a filter expression lets through."""

    filter: str


@dataclass(frozen=True, slots=True)
class KeyBehind:
    """One KMS key."""

    key_arn: str


@dataclass(frozen=True, slots=True)
class KeyUseBehind:
    """The use of one KMS key, all its replicas together."""

    key_arn: str


@dataclass(frozen=True, slots=True)
class WatchBehind:
    """The watch over one KMS key, from a moment on."""

    key_arn: str
    since: datetime


@dataclass(frozen=True, slots=True)
class PolicyBehind:
    """The policy and the grants of one KMS key."""

    key_arn: str


@dataclass(frozen=True, slots=True)
class RotationBehind:
    """The guide through a manual rotation, from one KMS key to another, or to one that there isn't yet."""

    old: str
    new: str | None


@dataclass(frozen=True, slots=True)
class FindingsBehind:
    """The findings that a filter expression lets through."""

    filter: str


@dataclass(frozen=True, slots=True)
class JobBehind:
    """One job."""

    job: int


@dataclass(frozen=True, slots=True)
class JobErrorsBehind:
    """The tokens that a job can't write, of one kind."""

    job: int
    kind: str


@dataclass(frozen=True, slots=True)
class EventsBehind:
    """The CloudTrail events that a filter expression lets through."""

    filter: str


@dataclass(frozen=True, slots=True)
class EventsNarrowed:
    """The list of events that this screen was opened from, under another filter.

    `principal` is the one that the filter asks for, where it asks for one.
    """

    filter: str
    principal: str = ""


@dataclass(frozen=True, slots=True)
class EventBehind:
    """One CloudTrail event."""

    event_id: str


@dataclass(frozen=True, slots=True)
class PivotsBehind:
    """The values of events by field, with their counts; of one field, or of all."""

    filter: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class PrincipalBehind:
    """What one principal opened and could have opened, by its ARN without the session."""

    arn: str


@dataclass(frozen=True, slots=True)
class TimelineBehind:
    """What CloudTrail tells of one token."""

    ref: TokenRef


@dataclass(frozen=True, slots=True)
class IncidentBehind:
    """One incident."""

    incident: int


@dataclass(frozen=True, slots=True)
class EvidenceListBehind:
    """The evidence of one incident; of one step, or of all."""

    incident: int
    step: str = ""


@dataclass(frozen=True, slots=True)
class EvidenceBehind:
    """The content of one piece of evidence. `title` and `sha256` are what it was captured with."""

    incident: int
    evidence: int
    title: str
    sha256: str


@dataclass(frozen=True, slots=True)
class EntriesBehind:
    """The timeline of one incident."""

    incident: int


@dataclass(frozen=True, slots=True)
class ApprovalsBehind:
    """What waits for a second identity."""


class Followed(Message):
    """The operator wants to see what is behind a line."""

    def __init__(self, target: object) -> None:
        super().__init__()
        self.target = target
        self.origin: object = None
        """The screen that the line is on; by now another one may be in sight."""
