"""Requests for approval, kept in `keydeck.approval`: made, decided by another person, and used once.

Who somebody is comes from AWS at that moment, never from a setting; what that is worth, `people` says. The
table itself is only as safe as the database: whoever may write to it as its owner can approve anything there.
The journal tells of every request, decision and use, so one without its entries shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Connection, Engine, Select, insert, select, update

from crypto_core.database.connection.engine import connected
from crypto_core.database.dialect import clock_now, take_lock
from crypto_core.database.schema import approval as table
from crypto_core.database.state.installation import require_schema
from crypto_core.database.state.journal import Journal
from crypto_core.errors import ApprovalNeededError, ReadOnlyError, RefusedError
from crypto_core.guard.approvals import DEFAULT_MINUTES, Approval, Decision
from crypto_core.guard.distinct_people import person_of, same_person
from crypto_core.guard.operations import operation_of
from crypto_core.guard.outcome import Outcome
from crypto_core.text.cleaning import clean

LONGEST_TEXT = 4000
"""Characters kept of one text of a plan."""

_LOCK = 0x6B646170  # "kdap": one request at a time is looked for and made


class ApprovalBook:
    """An ApprovalGate over PostgreSQL. Blocks on SQL and STS: call it from a worker."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        identity: Callable[[], str],
        needed: Iterable[str] = (),
        *,
        minutes: float = DEFAULT_MINUTES,
        clock: Callable[[], datetime] | None = None,
        read_only: bool = False,
    ) -> None:
        """`identity` asks AWS for the caller's ARN now. `needed` are of ACTIONS, or "all".

        A request and its approval hold for `minutes` together, by the database's clock, or by `clock`. The
        journal is in the same database.
        """
        self._engine = engine
        self._journal = journal
        self._identity = identity
        self._needed = frozenset(needed)
        self._minutes = minutes
        self._clock = clock
        self._read_only = read_only

    def needed(self, action: str) -> bool:
        """Return whether the settings want four eyes for this action. Calls nothing."""
        operation = operation_of(action)
        if operation is None:
            return False
        return operation.name in self._needed or ("all" in self._needed and operation.second_person)

    def request(self, action: str, summary: str, digest: str, plan: Mapping[str, Any]) -> Approval:
        """Ask for approval, or return the request for this plan that this identity has already.

        Raises ReadOnlyError, RefusedError where AWS doesn't say who asks or somebody has denied it within the
        time, KmsError, DatabaseError, MissingSchemaError.
        """
        self._may_write("ask for approval")
        me = self._me()
        actor = self._journal.actor()
        with connected(self._engine, write=True) as connection:
            take_lock(connection, _LOCK)
            now = self._now(connection)
            found = self._open(connection, me, action, digest, now)
            if found is not None and found.decision is not Decision.DENIED:
                return found
            if found is not None and not same_person(me, found.decided_by):
                raise _denied(found)
            row = {
                "id": uuid4(),
                "action": clean(action, 100),
                "summary": clean(summary, LONGEST_TEXT),
                "digest": digest,
                "plan": cleaned(plan),
                "requested_by": me,
                "requested_at": now,
                "expires_at": now + timedelta(minutes=self._minutes),
                "decision": Decision.PENDING.value,
            }
            made = _approval(connection.execute(insert(table).values(row).returning(*table.c)).one(), now)
            self._record("approvals request", made, connection, actor)
        return made

    def require(self, action: str, summary: str, digest: str, plan: Mapping[str, Any]) -> None:
        """Pass if nothing is needed, or somebody else has approved this plan for this identity: then it is
        used up, whatever comes of it.

        Raises ApprovalNeededError, which names the request and makes one where there is none, and as
        `request`.
        """
        if not self.needed(action):
            return
        asked = self.request(action, summary, digest, plan)
        while asked.decision is Decision.APPROVED:
            if self._use(asked):
                return
            asked = self.request(action, summary, digest, plan)
        until = f"{asked.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        raise ApprovalNeededError(
            f"{clean(summary, 500)}: needs the approval of a second person. Nothing was done; request "
            f"{asked.id} is open until {until}.",
            request=str(asked.id),
            remedy=(
                f"Somebody other than {asked.requested_by} runs: keydeck approvals approve {asked.id}. Then "
                f"do the same again, until {until}."
            ),
        )

    def decide(self, request: UUID, *, approve: bool) -> Approval:
        """Approve or deny as the present identity; one's own can be denied, never approved.

        What is approved can be denied until it is used.

        Raises ReadOnlyError, RefusedError (journaled) for one's own or one that is over, KmsError,
        DatabaseError.
        """
        verb = "approve" if approve else "deny"
        self._may_write(f"{verb} anything")
        me = self._me()
        actor = self._journal.actor()
        decision = Decision.APPROVED if approve else Decision.DENIED
        try:
            with connected(self._engine, write=True) as connection:
                now = self._now(connection)
                found = _found(connection, select(table).with_for_update(), request, now)
                _may_decide(found, me, approve=approve)
                decided = {"decision": decision.value, "decided_by": me, "decided_at": now}
                statement = update(table).where(table.c.id == request).values(decided).returning(*table.c)
                made = _approval(connection.execute(statement).one(), now)
                self._record(f"approvals {verb}", made, connection, actor)
        except RefusedError as error:
            told = {"reason": error.message}
            self._journal.record(f"approvals {verb}", str(request), Outcome.REFUSED, told, actor=actor)
            raise
        return made

    def show(self, request: UUID) -> Approval:
        """Return one request. Raises RefusedError where there is none, DatabaseError."""
        with connected(self._engine) as connection:
            return _found(connection, select(table), request, self._now(connection))

    def requests(self, *, pending: bool = True, limit: int = 200) -> tuple[Approval, ...]:
        """Return requests, the newest first; those that wait, or all. Raises DatabaseError."""
        with connected(self._engine) as connection:
            now = self._now(connection)
            waiting = (table.c.decision == Decision.PENDING.value, table.c.expires_at > now)
            statement = select(table).where(*(waiting if pending else ()))
            newest = statement.order_by(table.c.requested_at.desc(), table.c.id).limit(limit)
            return tuple(_approval(row, now) for row in connection.execute(newest))

    def _open(
        self, connection: Connection, me: str, action: str, digest: str, now: datetime
    ) -> Approval | None:
        """The request of this identity for this plan whose time is not over, and that is not used."""
        c = table.c
        statement = (
            select(table)
            .where(
                c.digest == digest,
                c.action == clean(action, 100),
                c.requested_by == me,
                c.expires_at > now,
                c.decision != Decision.USED.value,
            )
            .order_by(c.requested_at.desc())
            .limit(1)
        )
        row = connection.execute(statement).one_or_none()
        return None if row is None else _approval(row, now)

    def _use(self, asked: Approval) -> bool:
        """Use an approval up; False if that was done meanwhile. Of two consoles, the database lets one."""
        if same_person(asked.requested_by, asked.decided_by):
            raise RefusedError(f"Request {asked.id} was approved by who asked for it, {asked.decided_by}.")
        actor = self._journal.actor()
        c = table.c
        with connected(self._engine, write=True) as connection:
            still: list[ColumnElement[bool]] = [
                c.id == asked.id,
                c.digest == asked.digest,
                c.decision == Decision.APPROVED.value,
                c.expires_at > self._now(connection),
            ]
            used = connection.execute(update(table).where(*still).values(decision=Decision.USED.value))
            if used.rowcount != 1:
                return False
            self._record("approvals use", asked, connection, actor)
        return True

    def _record(self, action: str, asked: Approval, connection: Connection, actor: str) -> None:
        shown = json.dumps(asked.plan, sort_keys=True).encode()
        detail = {
            "request": str(asked.id),
            "action": asked.action,
            "plan": asked.digest,
            # What was there to be read: a plan that is exchanged in the table shows.
            "shown": hashlib.sha256(shown).hexdigest(),
            "requested_by": asked.requested_by,
            "until": asked.expires_at.astimezone(UTC).isoformat(),
        }
        if asked.decided_by:
            detail["decided_by"] = asked.decided_by
        self._journal.record(action, asked.summary, Outcome.DONE, detail, within=connection, actor=actor)

    def _me(self) -> str:
        me = clean(self._identity())
        person_of(me)
        return me

    def _now(self, connection: Connection) -> datetime:
        """Now, by the clock that all consoles have in common."""
        return clock_now(connection) if self._clock is None else self._clock()

    def _may_write(self, what: str) -> None:
        if self._read_only:
            raise ReadOnlyError(f"Cannot {what}: Keydeck is in read-only mode.")
        require_schema(self._engine)


def cleaned(value: Any) -> Any:
    """Return a plan's JSON with every text cleaned."""
    if isinstance(value, Mapping):
        return {clean(name): cleaned(part) for name, part in value.items()}
    if isinstance(value, str):
        return clean(value, LONGEST_TEXT)
    if isinstance(value, Iterable):
        return [cleaned(part) for part in value]
    return value if isinstance(value, int | float | bool | None) else clean(value, LONGEST_TEXT)


def _approval(row: Any, now: datetime) -> Approval:
    """A row as it is shown; what waits or is approved expires with its time."""
    decision = Decision(row.decision)
    if decision in (Decision.PENDING, Decision.APPROVED) and row.expires_at <= now:
        decision = Decision.EXPIRED
    stored = {field.name: getattr(row, field.name) for field in fields(Approval)}
    plan = cleaned(row.plan if isinstance(row.plan, Mapping) else {})
    return Approval(**stored | {"plan": plan, "decision": decision, "decided_by": row.decided_by or ""})


def _may_decide(found: Approval, me: str, *, approve: bool) -> None:
    open_ = (Decision.PENDING,) if approve else (Decision.PENDING, Decision.APPROVED)
    if found.decision not in open_:
        by = f" by {found.decided_by}" if found.decided_by else ""
        verb = "approve" if approve else "deny"
        raise RefusedError(
            f"Request {found.id} is {found.decision.value}{by}: there is nothing to {verb}.",
            remedy="List what waits: keydeck approvals list.",
        )
    if approve and same_person(me, found.requested_by):
        raise RefusedError(
            f"You are {me}, and {found.requested_by} requested this: you can't approve your own request.",
            remedy="Have another person approve it from their own console.",
        )


def _denied(found: Approval) -> RefusedError:
    until = f"{found.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return RefusedError(
        f"{found.summary}: denied by {found.decided_by} (request {found.id}).",
        remedy=f"Talk to them. It can be requested again after {until}.",
    )


def _found(connection: Connection, statement: Select[Any], request: UUID, now: datetime) -> Approval:
    row = connection.execute(statement.where(table.c.id == request)).one_or_none()
    if row is None:
        raise RefusedError(
            f"There is no request {request}.", remedy="List them with: keydeck approvals list."
        )
    return _approval(row, now)
