"""Changes of one incident: every one a compare-and-set, told in the timeline and the journal with it.

All of a change is one transaction that holds the incident's row: two operators who work side by side follow
one another, and none overwrites what the other did.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, literal, select, update

from crypto_core.database.dialect import JSONB, upsert
from crypto_core.database.schema import (
    INCIDENT_PEOPLE,
    incident,
    incident_entry,
    incident_evidence,
    incident_step,
    journal,
)
from crypto_core.database.state.incident_records import EvidencePiece
from crypto_core.database.state.journal import Journal
from crypto_core.guard.guarded_change import Outcome
from crypto_core.values.errors import UnknownIncidentError

OPEN, CLOSED, TODO = "open", "closed", "to do"


@dataclass(frozen=True, slots=True)
class IncidentRow:
    id: int
    title: str
    state: str
    runbook_id: str
    runbook_source: str
    runbook_digest: str
    scope: Mapping[str, Any]
    known: Mapping[str, str]
    declared_at: datetime
    declared_by: str
    closed_at: datetime | None
    closed_by: str
    outcome: str


@dataclass(frozen=True, slots=True)
class StepRow:
    step_id: str
    state: str = TODO
    begun_at: datetime | None = None
    ended_at: datetime | None = None
    actor: str = ""
    reason: str = ""
    answer: str = ""
    trouble: str = ""
    check_result: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class JournaledRow:
    """An entry of the journal about an incident's roles and follow-ups. `detail` is JSON."""

    at: datetime
    actor: str
    action: str
    detail: str


MOST_JOURNALED = 2_000
"""So many of these entries are read at once, the newest ones."""


@dataclass(frozen=True, slots=True)
class EvidenceDraft:
    kind: str
    title: str
    content: str


INCIDENT = [incident.c[name] for name in IncidentRow.__slots__]
STEP = [incident_step.c[name] for name in StepRow.__slots__]
EVIDENCE = [incident_evidence.c[name] for name in EvidencePiece.__slots__]


def checked_number(number: int) -> int:
    """Return a number if it can be one of a row. Raises UnknownIncidentError."""
    if not 0 < number < 2**63:
        raise UnknownIncidentError(f"There is no incident {number}.")
    return number


def read_incident(connection: Connection, number: int, *, locked: bool = False) -> IncidentRow:
    """Return an incident's row, held until the transaction's end if `locked`. Raises UnknownIncidentError."""
    statement = select(*INCIDENT).where(incident.c.id == checked_number(number))
    row = connection.execute(statement.with_for_update() if locked else statement).one_or_none()
    if row is None:
        raise UnknownIncidentError(f"There is no incident {number}.")
    return IncidentRow(*row)


def read_steps(connection: Connection, numbers: Collection[int]) -> dict[int, tuple[StepRow, ...]]:
    c = incident_step.c
    found: dict[int, list[StepRow]] = {number: [] for number in numbers}
    for number, *step in connection.execute(select(c.incident_id, *STEP).where(c.incident_id.in_(numbers))):
        found[number].append(StepRow(*step))
    return {number: tuple(steps) for number, steps in found.items()}


def read_people(connection: Connection, numbers: Collection[int]) -> dict[int, tuple[JournaledRow, ...]]:
    """Return what was journaled of incidents' roles and follow-ups, by their numbers, the oldest first."""
    c = journal.c
    found: dict[str, list[JournaledRow]] = {f"INC-{number}": [] for number in numbers}
    about = (c.action.in_(INCIDENT_PEOPLE), c.subject.in_(list(found)), c.outcome == Outcome.DONE.value)
    columns = [c[name] for name in JournaledRow.__slots__]
    newest = select(c.subject, *columns).where(*about).order_by(c.seq.desc()).limit(MOST_JOURNALED)
    for subject, *row in reversed(connection.execute(newest).all()):
        found[subject].append(JournaledRow(*row))
    return {number: tuple(found[f"INC-{number}"]) for number in numbers}


class IncidentChange:
    def __init__(
        self,
        connection: Connection,
        journal: Journal,
        row: IncidentRow,
        steps: Iterable[StepRow],
        actor: str,
        now: datetime,
    ) -> None:
        self.incident = row
        self.actor = actor
        self.now = now
        self._connection = connection
        self._journal = journal
        self._steps = {step.step_id: step for step in steps}

    def step(self, step_id: str) -> StepRow:
        return self._steps.get(step_id, StepRow(step_id))

    def set_step(self, step_id: str, seen: str, state: str, **values: Any) -> bool:
        """Set a step's state and columns if it is in state `seen`; return whether it was."""
        c = incident_step.c
        values = {"state": state} | values
        changed = self._connection.execute(
            update(incident_step)
            .where(c.incident_id == self.incident.id, c.step_id == step_id, c.state == seen)
            .values(values)
            .returning(*STEP)
        ).one_or_none()
        if changed is None and seen == TODO:
            row = {"incident_id": self.incident.id, "step_id": step_id} | values
            changed = self._connection.execute(
                upsert(incident_step).values(row).on_conflict_do_nothing().returning(*STEP)
            ).one_or_none()
        if changed is None:
            return False
        self._steps[step_id] = StepRow(*changed)
        return True

    def people(self) -> tuple[JournaledRow, ...]:
        return read_people(self._connection, [self.incident.id])[self.incident.id]

    def know(self, values: Mapping[str, str]) -> None:
        if values:
            merged = incident.c.known.op("||")(literal(dict(values), JSONB))
            self._connection.execute(
                update(incident).where(incident.c.id == self.incident.id).values(known=merged)
            )

    def keep(self, step_id: str, draft: EvidenceDraft) -> EvidencePiece:
        """Keep a piece of evidence; timeline and journal have its hash."""
        number = self._journal.call(
            "keep_evidence",
            *(self.incident.id, step_id, draft.kind, draft.title, draft.content, self.now),
            within=self._connection,
            actor=self.actor,
        )
        found = select(*EVIDENCE).where(incident_evidence.c.id == number)
        kept = EvidencePiece(*self._connection.execute(found).one())
        self.tell("evidence", step_id, f"{draft.title} kept as evidence {kept.id}, SHA-256 {kept.sha256}.")
        return kept

    def tell(self, kind: str, step_id: str, text: str) -> None:
        values = {
            "incident_id": self.incident.id,
            "at": self.now,
            "actor": self.actor,
            "kind": kind,
            "step_id": step_id,
            "text": text,
        }
        self._connection.execute(insert(incident_entry).values(values))

    def record(self, action: str, step_id: str, outcome: Outcome, detail: Mapping[str, Any]) -> None:
        """Journal what was done, about INC-7 or INC-7 step-id."""
        subject = f"INC-{self.incident.id} {step_id}".rstrip()
        self._journal.record(action, subject, outcome, detail, within=self._connection, actor=self.actor)

    def close(self, outcome: str) -> None:
        self._connection.execute(
            update(incident)
            .where(incident.c.id == self.incident.id, incident.c.state == OPEN)
            .values(state=CLOSED, closed_at=self.now, closed_by=self.actor, outcome=outcome)
        )
