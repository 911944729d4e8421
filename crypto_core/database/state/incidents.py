"""Incidents in PostgreSQL, in the journal's database: read here, changed by incident_changes.

The words for states and kinds are those of whoever calls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, literal, select

from crypto_core.database import schema
from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.transactions import repeated_if_rolled_back
from crypto_core.database.dialect import as_stored, clock, clock_now, seconds_ago, upsert
from crypto_core.database.qualified_sql import text
from crypto_core.database.schema import incident, journal
from crypto_core.database.state import incident_changes
from crypto_core.database.state.incident_records import EvidencePiece, Present
from crypto_core.database.state.journal import Journal
from crypto_core.database.state.journal_entry import told_in, witnessed
from crypto_core.database.state.leases import StepLease
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.held_step import held_step
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import EvidenceError

PRESENT_SECONDS = 60.0
"""After this long without activity an operator no longer counts as present."""


@dataclass(frozen=True, slots=True)
class IncidentDraft:
    """`scope` is JSON; `first_step` begins with the incident, in `first_state`."""

    title: str
    runbook_id: str
    runbook_text: str
    runbook_source: str
    runbook_digest: str
    scope: Mapping[str, Any]
    actor: str
    host: str
    first_step: str
    first_state: str
    entry: str
    detail: Mapping[str, Any]


_DECLARED = ("title", "runbook_id", "runbook_text", "runbook_source", "runbook_digest", "scope")


@dataclass(frozen=True, slots=True)
class EntryRow:
    at: datetime
    actor: str
    kind: str
    step_id: str
    text: str


@dataclass(frozen=True, slots=True)
class IncidentWhole:
    incident: incident_changes.IncidentRow
    steps: tuple[incident_changes.StepRow, ...]
    evidence: tuple[EvidencePiece, ...]
    entries: tuple[EntryRow, ...]
    present: tuple[Present, ...]
    people: tuple[incident_changes.JournaledRow, ...] = ()


class IncidentStore:
    """The incidents of one database. Thread-safe; every method blocks on SQL and raises DatabaseError.

    Moments are the database's clock, so that hosts need not agree on the time, unless `clock` is given.
    """

    def __init__(
        self, engine: Engine, journal: Journal, *, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._clock = clock

    def as_stored(self, text: str) -> str:
        with connected(self._engine) as connection:
            return str(as_stored(connection, text))

    @repeated_if_rolled_back
    def declare(self, draft: IncidentDraft) -> int:
        """Make an incident with its first step, timeline entry and journal entry; return its number."""
        with connected(self._engine, write=True) as connection:
            now = self._now(connection)
            values = {name: getattr(draft, name) for name in _DECLARED}
            values |= {"state": incident_changes.OPEN, "declared_at": now, "declared_by": draft.actor}
            number = int(connection.scalar(insert(incident).values(values).returning(incident.c.id)) or 0)
            change = self._locked(connection, number, draft.actor, now)
            change.set_step(draft.first_step, incident_changes.TODO, draft.first_state, begun_at=now)
            change.tell("declared", "", draft.entry)
            change.record("incident declare", "", Outcome.DONE, draft.detail)
            presence = {"incident_id": number, "actor": draft.actor, "host": draft.host}
            connection.execute(insert(schema.incident_presence).values(presence | {"seen_at": clock()}))
        return number

    @contextmanager
    def change(self, number: int, actor: str) -> Iterator[incident_changes.IncidentChange]:
        """Give an incident to change, locked, in one transaction.

        Raises UnknownIncidentError; StepLostError for a step that was taken over.
        """
        with connected(self._engine, write=True) as connection:
            change = self._locked(connection, incident_changes.checked_number(number), actor, None)
            if isinstance(step := held_step(), StepLease):
                step.require_until_commit(connection)
            yield change

    def get(self, number: int) -> incident_changes.IncidentRow:
        with connected(self._engine) as connection:
            return incident_changes.read_incident(connection, number)

    def whole(self, number: int) -> IncidentWhole:
        with connected(self._engine) as connection:
            row = incident_changes.read_incident(connection, number)
            e, t = schema.incident_evidence.c, schema.incident_entry.c
            steps = incident_changes.read_steps(connection, [number])[number]
            pieces = connection.execute(
                select(*incident_changes.EVIDENCE).where(e.incident_id == number).order_by(e.id)
            ).all()
            entries = connection.execute(
                select(t.at, t.actor, t.kind, t.step_id, t.text).where(t.incident_id == number).order_by(t.id)
            ).all()
            present = _present(connection, [number]).get(number, ())
            people = incident_changes.read_people(connection, [number])[number]
        return IncidentWhole(
            row,
            steps,
            tuple(EvidencePiece(*one) for one in pieces),
            tuple(EntryRow(*one) for one in entries),
            present,
            people,
        )

    def list(
        self, *, closed: bool, limit: int | None
    ) -> tuple[tuple[incident_changes.IncidentRow, tuple[incident_changes.StepRow, ...]], ...]:
        """Return incidents with their steps, open ones first, the newest first; in two statements."""
        wanted = select(*incident_changes.INCIDENT).order_by(
            (incident.c.state == incident_changes.OPEN).desc(), incident.c.id.desc()
        )
        if not closed:
            wanted = wanted.where(incident.c.state == incident_changes.OPEN)
        with connected(self._engine) as connection:
            rows = [incident_changes.IncidentRow(*row) for row in connection.execute(wanted.limit(limit))]
            steps = incident_changes.read_steps(connection, [row.id for row in rows])
        return tuple((row, steps[row.id]) for row in rows)

    def present(self, numbers: Collection[int]) -> dict[int, tuple[Present, ...]]:
        with connected(self._engine) as connection:
            return _present(connection, numbers)

    def people(self, numbers: Collection[int]) -> dict[int, tuple[incident_changes.JournaledRow, ...]]:
        with connected(self._engine) as connection:
            return incident_changes.read_people(connection, numbers)

    def runbook_texts(self, numbers: Collection[int]) -> dict[int, str]:
        c = incident.c
        with connected(self._engine) as connection:
            rows = connection.execute(select(c.id, c.runbook_text).where(c.id.in_(numbers))).all()
        return {int(number): str(written) for number, written in rows}

    def content(self, number: int, evidence: int, *, earlier: bool = True) -> str:
        """Return a piece of evidence's content.

        Raises EvidenceError where it is not there, or its hash is not the one that was stored with it, or not
        the one that was journaled when it was captured; without `earlier` also where that entry is from
        before entries were checked.
        """
        e, j = schema.incident_evidence.c, journal.c
        name = f"INC-{number}"
        with connected(self._engine) as connection:
            found = connection.execute(
                select(e.content, e.sha256, e.step_id).where(
                    e.incident_id == incident_changes.checked_number(number),
                    e.id == incident_changes.checked_number(evidence),
                )
            ).one_or_none()
            if found is None:
                raise EvidenceError(
                    f"{name} has no piece of evidence {evidence}.",
                    remedy=f"List the incident's evidence with: keydeck incident show {number}.",
                )
            subject = clean(f"{name} {found.step_id}".rstrip(), 500)
            about = (witnessed("incident evidence", earlier=earlier), j.subject == subject)
            told = connection.execute(select(j.detail, j.checked).where(*about)).all()
        hashed = hashlib.sha256(found.content.encode()).hexdigest()
        if hashed != found.sha256:
            raise EvidenceError(f"Evidence {evidence} of {name} was changed after it was captured.")
        named = [(told_in(row.detail), row.checked) for row in told]
        noted = [(one.get("sha256"), checked) for one, checked in named if one.get("evidence") == evidence]
        # Entries from before they were checked say nothing of what a checked one names.
        checked_ones = [sha256 for sha256, checked in noted if checked]
        if (checked_ones or [sha256 for sha256, _ in noted]) != [hashed]:
            raise EvidenceError(f"Evidence {evidence} of {name} is not what the journal says was captured.")
        return str(found.content)

    def pieces(self, kind: str) -> tuple[tuple[int, int], ...]:
        """Return all evidence of a kind, the oldest first: incident and number. Raises MissingSchemaError."""
        e = schema.incident_evidence.c
        with connected(self._engine) as connection:
            rows = connection.execute(select(e.incident_id, e.id).where(e.kind == kind).order_by(e.id))
            return tuple((int(number), int(piece)) for number, piece in rows)

    @repeated_if_rolled_back
    def see(self, number: int, actor: str, host: str) -> bool:
        """Record an operator's presence on an open incident. Returns True the first time."""
        now = clock()
        c = incident.c
        here = select(c.id, literal(actor), literal(host), now).where(
            c.id == incident_changes.checked_number(number), c.state == incident_changes.OPEN
        )
        statement = upsert(schema.incident_presence).from_select(
            ["incident_id", "actor", "host", "seen_at"], here
        )
        statement = statement.on_conflict_do_update(
            index_elements=["incident_id", "actor", "host"], set_={"seen_at": now}
        )
        # PostgreSQL leaves xmax at 0 in a row that was inserted and not updated.
        new = statement.returning(text("xmax = 0"))
        with connected(self._engine, write=True) as connection:
            first = connection.scalar(new)
            if first is None:
                incident_changes.read_incident(connection, number)  # closed, or not there at all
            return bool(first)

    def last_evidence(self, kind: str, *, unlike: str = "") -> datetime | None:
        """Return when a restored database's incident last got evidence of a kind, but for hash `unlike`."""
        e = schema.incident_evidence.c
        about_database = incident.c.scope["database"].astext.is_not(None)
        statement = (
            select(func.max(e.captured_at))
            .select_from(schema.incident_evidence.join(incident))
            .where(about_database, e.kind == kind, e.sha256 != unlike)
        )
        with connected(self._engine) as connection:
            found: datetime | None = connection.scalar(statement)
        return found

    def now(self) -> datetime:
        with connected(self._engine) as connection:
            return self._now(connection)

    def _now(self, connection: Connection) -> datetime:
        return clock_now(connection) if self._clock is None else self._clock()

    def _locked(
        self, connection: Connection, number: int, actor: str, now: datetime | None
    ) -> incident_changes.IncidentChange:
        row = incident_changes.read_incident(connection, number, locked=True)
        steps = incident_changes.read_steps(connection, [number])[number]
        # The time is taken under the lock, so that moments follow one another as changes do.
        return incident_changes.IncidentChange(
            connection, self._journal, row, steps, actor, now or self._now(connection)
        )


def _present(connection: Connection, numbers: Collection[int]) -> dict[int, tuple[Present, ...]]:
    c = schema.incident_presence.c
    found: dict[int, list[Present]] = {}
    for number, *row in connection.execute(
        select(c.incident_id, c.actor, c.host, c.seen_at)
        .where(c.incident_id.in_(numbers), c.seen_at > seconds_ago(PRESENT_SECONDS))
        .order_by(c.incident_id, c.actor, c.host)
    ):
        found.setdefault(int(number), []).append(Present(*row))
    return {number: tuple(rows) for number, rows in found.items()}
