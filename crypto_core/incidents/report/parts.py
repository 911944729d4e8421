"""What a report is made of. Frozen, cleaned, masked: whoever renders it only escapes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from crypto_core.findings.severity import Severity
from crypto_core.guard.signature import Signature
from crypto_core.incidents.times import Times

DRAFT = "DRAFT"
FINAL = "FINAL"


@dataclass(frozen=True, slots=True)
class Head:
    """What the report is about and where it comes from. `state` is DRAFT while the incident is open."""

    name: str
    title: str
    state: str
    runbook_id: str
    runbook_title: str
    runbook_version: int
    runbook_digest: str
    """SHA-256, in hex."""
    runbook_source: str
    declared_at: datetime
    declared_by: str
    closed_at: datetime | None
    closed_by: str
    outcome: str
    made_at: datetime
    made_on: str
    """The host."""
    made_by_version: str
    """Keydeck's version."""


@dataclass(frozen=True, slots=True)
class ScopePart:
    """What the incident is about. `references` are the first of `references_total`."""

    kind: str
    key: str
    references: tuple[str, ...]
    references_total: int
    filter: str
    database: str
    since: datetime | None
    origin: str


@dataclass(frozen=True, slots=True)
class Named:
    """A value by its name, such as a figure of the summary or what a step has found out."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class OpenPoint:
    """What is left, was left out, or can't be known."""

    severity: Severity
    about: str
    text: str


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One line of what happened."""

    at: datetime
    who: str
    kind: str
    step: str
    text: str


@dataclass(frozen=True, slots=True)
class ReportStep:
    """A step and how it went. Times are in seconds; a budget of 0 is none."""

    number: int
    id: str
    title: str
    phase: str
    phase_kind: str
    state: str
    by: str
    begun_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    budget_seconds: int
    within: bool | None
    reason: str
    answer: str
    check: str
    """What the check said last, "" if there is none."""
    check_lines: tuple[str, ...]
    check_at: datetime | None
    trouble: str


@dataclass(frozen=True, slots=True)
class ActionRow:
    """An entry of the journal. `related` if it names the incident, its keys, tokens or jobs."""

    seq: int
    at: datetime
    who: str
    host: str
    action: str
    subject: str
    outcome: str
    detail: str
    related: bool


@dataclass(frozen=True, slots=True)
class ReportEvidence:
    """A piece of evidence without its content. `agrees` if the content still has the hash."""

    id: int
    step: str
    kind: str
    title: str
    at: datetime
    by: str
    sha256: str
    characters: int
    agrees: bool
    trouble: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A count before and after; None where that census didn't have it."""

    name: str
    before: int
    after: int | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class CensusPart:
    """The first and the last census among the evidence. One alone has nothing after it."""

    before_at: datetime
    before_evidence: int
    after_at: datetime | None
    after_evidence: int | None
    by_format: tuple[Difference, ...]
    by_key: tuple[Difference, ...]
    unprotected: tuple[int, int | None]
    """Tokens in no envelope that only KMS opens, before and after."""


@dataclass(frozen=True, slots=True)
class ReportJob:
    """A job that did a part of it. Counts are of tokens."""

    id: int
    verb: str
    state: str
    tokens: int | None
    done: int | None
    given_up: int | None
    evidence: int | None


@dataclass(frozen=True, slots=True)
class TokensPart:
    """What became of tokens, by what their providers said last. None where nobody was asked or told."""

    dead: int | None
    alive: int | None
    not_known: int | None
    by_hand: int
    replaced: int | None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who took part, and what they did."""

    who: str
    steps: int
    evidence: int
    entries: int
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Report:
    """The whole document."""

    head: Head
    scope: ScopePart
    figures: tuple[Named, ...]
    open_points: tuple[OpenPoint, ...]
    times: Times
    found: tuple[Named, ...]
    census: CensusPart | None
    tokens: TokensPart
    jobs: tuple[ReportJob, ...]
    steps: tuple[ReportStep, ...]
    timeline: tuple[TimelineRow, ...]
    actions: tuple[ActionRow, ...]
    actions_left_out: int
    evidence: tuple[ReportEvidence, ...]
    people: tuple[Person, ...]
    journal_state: str


@dataclass(frozen=True, slots=True)
class Signed:
    """A report and what vouches for it. `sha256`, in hex, is what was signed; see signing.py."""

    report: Report
    sha256: str
    signature: Signature | None
    unsigned_because: str = ""
