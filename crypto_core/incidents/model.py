"""An incident as it is shown: what it is about, which steps are done, by whom, and what proves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from crypto_core.database.state.incident_records import EvidencePiece, Present
from crypto_core.findings.finding import Finding
from crypto_core.incidents.people import NOBODY, People
from crypto_core.incidents.runbooks.catalogue import StepAction
from crypto_core.incidents.runbooks.placeholders import ALIAS, KNOWN_LATER
from crypto_core.incidents.runbooks.runbook import Runbook, RunbookStep
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.values.counts import listed
from crypto_core.values.json_records import JsonRecord, made, shape


class IncidentState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class StepState(StrEnum):
    TODO = "to do"
    BEGUN = "begun"
    """Its action was begun. Whether it ended is what the check tells."""
    DONE = "done"
    SKIPPED = "skipped"
    NOT_NEEDED = "not needed"

    @property
    def ended(self) -> bool:
        return self in (StepState.DONE, StepState.SKIPPED, StepState.NOT_NEEDED)


class CheckState(StrEnum):
    PASSED = "passed"
    NOT_YET = "not yet"
    FAILED = "failed"
    """It will not pass by waiting."""
    UNKNOWN = "not known"
    """The check could not read what it needs. Never taken as passed."""


class EntryKind(StrEnum):
    DECLARED = "declared"
    JOINED = "joined"
    ACTION = "action"
    CHECK = "check"
    EVIDENCE = "evidence"
    ANSWER = "answer"
    DONE = "done"
    SKIPPED = "skipped"
    REOPENED = "reopened"
    NOTE = "note"
    ROLE = "role"
    FOLLOW_UP = "follow-up"
    ACCEPTED = "accepted"
    """Tokens that open for nobody were accepted as lost."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
@cleans(origin=512, principal=700, found_by=512, providers=100, alias=256)
class IncidentScope(JsonRecord):
    """What an incident is about, as it was declared: the part that its runbook's subject names is set.

    `since` is since when the compromise is suspected, `origin` what it was declared from in words, such as
    an event's id or a finding's rule, `principal` the ARN of whom that names: a suspect. `found_by` is how
    the references were found, in words, where they were looked for.
    """

    key: str = ""
    """The old key's ARN."""
    references: tuple[str, ...] = ()
    filter: str = ""
    database: str = ""
    since: datetime | None = None
    origin: str = ""
    principal: str = ""
    found_by: str = ""
    providers: tuple[str, ...] = ()
    """Whose tokens these are, as far as it was known when it was declared; () where it isn't."""
    alias: str = ""
    """The alias that the key had when the incident was declared: a step may give it to another key."""

    json_shape = shape(
        "key? references filter? database? since origin? principal? found_by? providers alias?"
    )

    def __str__(self) -> str:
        """The subject in one line, to be shown: the parts themselves are as they were declared."""
        if self.references:
            return clean(listed(self.references, 3))
        return clean(self.key or self.filter or self.database)


@dataclass(frozen=True, slots=True)
@cleans(found_by=1_000, lines=4_000)
class FoundScope:
    """The tokens that were found, how, and what that leaves open; `missing` if a wanted one is nowhere."""

    references: tuple[str, ...]
    found_by: str
    lines: tuple[str, ...]
    document: dict[str, Any] = field(default_factory=dict)
    missing: bool = False


def finding_origin(finding: Finding) -> str:
    """Return the origin of an incident that is declared from a finding."""
    return f"finding {finding.rule}: {finding.title}"


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident. `values` is what its steps have found out, such as `new_key` and `job`."""

    id: int
    title: CleanText
    state: IncidentState
    scope: IncidentScope
    declared_at: datetime
    declared_by: CleanText
    values: Mapping[str, CleanText] = field(default_factory=dict)
    closed_at: datetime | None = None
    closed_by: CleanText = NO_TEXT
    outcome: CleanText = NO_TEXT
    """How it ended, in the words of the operator who closed it."""

    @property
    def name(self) -> str:
        """What it is called, such as INC-7."""
        return f"INC-{self.id}"

    @property
    def placeholders(self) -> Mapping[str, str]:
        """What its runbook's placeholders stand for, to be shown; "" for what is not known."""
        scope = self.scope
        return {
            "incident": self.name,
            "number": str(self.id),
            "title": self.title,
            "subject": str(scope),
            "key": clean(scope.key),
            ALIAS: clean(scope.alias),
            "references": clean(", ".join(scope.references), 16_000),
            "filter": clean(scope.filter, 4_000),
            "database": clean(scope.database),
            "since": scope.since.isoformat(timespec="seconds") if scope.since else "",
            "origin": clean(scope.origin),
            **{known: self.values.get(known, "") for known in KNOWN_LATER},
        }


@dataclass(frozen=True, slots=True)
@cleans(lines=512)
class CheckResult(JsonRecord):
    """What a check saw. `done` and `total` tell how far it is, where that can be counted.

    `lost` is how many tokens stand in its way that open for nobody, and may be accepted as lost.
    """

    state: CheckState
    lines: tuple[str, ...] = ()
    done: int = 0
    total: int = 0
    at: datetime | None = None
    lost: int = 0

    @property
    def passed(self) -> bool:
        return self.state is CheckState.PASSED


@dataclass(frozen=True, slots=True)
class PrintedCheck(JsonRecord):
    result: CheckResult

    json_shape = shape(
        "state=result.state lines=result.lines done=result.done total=result.total at=result.at"
    )


@dataclass(frozen=True, slots=True)
class TimelineEntry(JsonRecord):
    at: datetime
    actor: CleanText
    kind: EntryKind
    step_id: CleanText
    text: CleanText

    json_shape = shape("... step=step_id? text")


@dataclass(frozen=True, slots=True)
class StepView(JsonRecord):
    step: RunbookStep
    number: int
    state: StepState = StepState.TODO
    begun_at: datetime | None = None
    ended_at: datetime | None = None
    by: CleanText = NO_TEXT
    reason: CleanText = NO_TEXT
    """Why it was skipped, or done without its check."""
    answer: CleanText = NO_TEXT
    trouble: CleanText = NO_TEXT
    """What went wrong the last time, "" if nothing did."""
    check: CheckResult | None = None
    """The check's last result."""

    json_shape = shape(
        "step=step.id number title=step.title state action=step.action performs choices=step.choices "
        "undecided=step.undecided? answer? by? begun_at ended_at budget_seconds=step.budget_seconds? "
        "reason? trouble? check",
        performs=made(StepAction | None, lambda view: view.step.action.does if view.step.action else None),
        check=made(PrintedCheck | None, lambda view: PrintedCheck(view.check) if view.check else None),
    )


class Stands(Protocol):
    @property
    def state(self) -> str:
        """One of StepState."""

    @property
    def answer(self) -> str:
        """What was decided, "" while nothing is."""


StandsAt = Callable[[str], Stands]
"""Where a step stands, by its id."""


def undecided(runbook: Runbook, step_id: str, stands: StandsAt) -> RunbookStep | None:
    """Return the decision that a step waits for, the earliest one, open or skipped; None if it was begun."""
    if stands(step_id).state != StepState.TODO:
        return None
    steps = {step.id: step for step in runbook.steps}
    return next((steps[c.step] for c in runbook.conditions_of(step_id) if not stands(c.step).answer), None)


@dataclass(frozen=True, slots=True)
class IncidentView(JsonRecord):
    incident: Incident
    runbook: Runbook
    steps: tuple[StepView, ...]
    evidence: tuple[EvidencePiece, ...] = ()
    entries: tuple[TimelineEntry, ...] = ()
    present: tuple[Present, ...] = ()
    people: People = NOBODY
    unread: CleanText = NO_TEXT
    """Why what is stored of it can't be read, "" where it can: what else is here only stands for it."""

    json_shape = shape(
        "incident=incident.id title=incident.title state=incident.state runbook scope=incident.scope "
        "values=incident.values declared_at=incident.declared_at declared_by=incident.declared_by "
        "closed_at=incident.closed_at closed_by=incident.closed_by? outcome=incident.outcome? "
        "current=current.step.id steps roles=people.roles follow_ups=people.follow_ups"
    )

    @property
    def current(self) -> StepView | None:
        """The first step that can be worked on; None if all are ended, or wait for a skipped decision."""
        return next((s for s in self.steps if not s.state.ended and self.undecided(s) is None), None)

    def undecided(self, step: StepView) -> StepView | None:
        """Return the decision that a step waits for; see `undecided`."""
        decision = undecided(self.runbook, step.step.id, self.step)
        return None if decision is None else self.step(decision.id)

    @property
    def left_undecided(self) -> tuple[StepView, ...]:
        """The steps that wait for a decision that was skipped."""
        return tuple(s for s in self.steps if (at := self.undecided(s)) is not None and at.state.ended)

    def step(self, step_id: str) -> StepView:
        """Return one step. Raises KeyError."""
        for view in self.steps:
            if view.step.id == step_id:
                return view
        raise KeyError(step_id)


_FOUND = {
    "job": "job that re-encrypts",
    "encrypt_job": "job that encrypts in place",
    "left_out": "principals left out of the new key",
    "platform_principals": "principals of the platform, as named for the new key",
    "readers": "principals that read until the tokens are moved",
    "tokens": "tokens asked about",
    "dead": "tokens that are dead",
    "alive": "tokens that are alive",
    "unknown_liveness": "tokens of which it is not known",
    "replaced": "rows that hold a new token",
    "opened": "tokens that opened",
    "not_opened": "tokens that did not open",
    "unsealed": "values that are not sealed",
    "restored": "restored database",
}
"""What steps find out, by the names that an incident remembers it by."""


def found_out(name: str) -> str:
    """Return in words what a step has found out; a name that is no known one without its underscores."""
    return _FOUND.get(name, name.replace("_", " "))
