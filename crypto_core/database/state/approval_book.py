"""Requests for approval, kept in `keydeck.approval`: made, decided by another person, and used once.

Who somebody is comes from AWS at that moment, never from a setting; what that is worth, `approval_proof`
says. Whoever may write to the table can change what is asked for or decide it. So a request is compared, part
by part, with its digests when it is shown and approved, and with the plan made anew when it is used; and with
an approvals key an approval counts only by the calls of KMS that CloudTrail delivers.
Without one, approvals are advisory. The journal tells of every request, decision, refusal and use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, cast, literal, literal_column, select

from crypto_core.database.connection.engine import connected
from crypto_core.database.connection.transactions import repeated_if_rolled_back
from crypto_core.database.dialect import JSONB, as_stored, clock_now, database_identity
from crypto_core.database.schema import approval as table
from crypto_core.database.state.installation import require_schema
from crypto_core.database.state.journal import Journal
from crypto_core.guard.approval_proof import (
    ApprovalCalls,
    DeliveredCalls,
    context_of,
    person_of,
    proof_of,
    same_person,
)
from crypto_core.guard.approval_purpose import Purpose
from crypto_core.guard.approvals import (
    ADVISORY,
    DEFAULT_MINUTES,
    Approval,
    Decision,
    changed_parts,
    differing_parts,
    parts_in_words,
    parts_of,
    request_digest,
)
from crypto_core.guard.guarded_change import Outcome, ended_by
from crypto_core.guard.operations import operation_of
from crypto_core.proof.forms import another_database
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean
from crypto_core.values.errors import ApprovalNeededError, KmsError, ReadOnlyError, RefusedError


@dataclass(frozen=True, slots=True)
class _Databases:
    """The databases of a console: what tells that of the tokens from others now, and the id of the journal's.

    A copy has the id of its original, so the id alone is not enough; and the journal, by which an approval is
    used but once, may be in another database than the tokens.
    """

    tokens: CleanText = NO_TEXT
    journal: CleanText = NO_TEXT


_NOWHERE = _Databases()

LONGEST_TEXT = 4000

EARLIER = timedelta(hours=1)
"""The database's clock, which dates a request, may be so far ahead of AWS's."""
_SHOWN_SECONDS = 15.0
"""How long CloudTrail's answer is shown again; a use of an approval asks anew."""


class ApprovalBook:
    """An ApprovalGate over PostgreSQL. Blocks on SQL and STS: call it from a worker."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        identity: Callable[[], str],
        needed: Iterable[str] = (),
        *,
        tokens: Engine,
        calls: ApprovalCalls | None = None,
        minutes: float = DEFAULT_MINUTES,
        clock: Callable[[], datetime] | None = None,
        read_only: bool = False,
    ) -> None:
        """`identity` asks AWS for the caller's ARN now. `needed` are of ACTIONS, or "all".

        `tokens` is the database that holds the tokens: what is approved for one is for no other, though many
        may share `engine`. The journal is in the same database as that. `calls` are those under the approvals
        key; None where none is configured. A request and its approval hold for `minutes` together, by the
        database's clock, or by `clock`.
        """
        self._engine = engine
        self._journal = journal
        self._identity = identity
        self._needed = frozenset(needed)
        self._tokens = tokens
        self._calls = calls
        self._shown: tuple[float, datetime, DeliveredCalls] | None = None
        self._minutes = minutes
        self._clock = clock
        self._read_only = read_only

    @property
    def advisory(self) -> str:
        return ADVISORY if self._calls is None else ""

    def needed(self, action: str) -> bool:
        """Return whether the settings want four eyes for this action. Calls nothing."""
        operation = operation_of(action)
        if operation is None:
            return False
        return operation.name in self._needed or ("all" in self._needed and operation.second_person)

    def request(self, action: str, summary: str, digest: str, plan: Mapping[str, Any]) -> Approval:
        """Ask for approval, or return the request for this plan that this identity has already.

        Raises ReadOnlyError, RefusedError where AWS doesn't say who asks, where somebody has denied it within
        the time or where the request was changed in the database; KmsError, DatabaseError,
        MissingSchemaError.
        """
        return self._request(action, summary, digest, plan)[0]

    @repeated_if_rolled_back
    def _request(
        self, action: str, summary: str, digest: str, plan: Mapping[str, Any]
    ) -> tuple[Approval, str]:
        self._may_write("ask for approval")
        me = self._me()
        actor = self._journal.actor()
        here = self._here()
        with connected(self._engine, write=True) as connection:
            now = self._now(connection)
            fresh = Approval(
                id=uuid4(),
                action=clean(action, 100),
                summary=clean(as_stored(connection, summary), LONGEST_TEXT),
                digest=clean(digest, 200),
                # As PostgreSQL stores it, so that it is compared with the like.
                plan=cleaned(connection.scalar(select(cast(literal(cleaned(plan), JSONB), JSONB)))),
                requested_by=clean(me, 512),
                requested_at=now,
                expires_at=now + timedelta(minutes=self._minutes),
                decision=Decision.PENDING,
                database=here.tokens,
                database_id=here.journal,
            )
            other = ""
            there = self._open(connection, fresh, now)
            for found in there:
                if found.decision is Decision.CHANGED:
                    raise RefusedError(f"{_refused(found)} Nothing was done.", remedy=_ask_again(found))
                if found.decision is Decision.DENIED:
                    if (found.database, found.database_id) != (here.tokens, here.journal):
                        continue
                    if not same_person(me, found.decided_by):
                        raise _denied(found)
                    break
                differing = differing_parts(found, fresh)
                if not differing:
                    return found, ""
                if found.decision is Decision.APPROVED and not other:
                    other = _of_another(found, fresh, differing)
            parts = parts_of(fresh)
            fresh = replace(fresh, request_digest=clean(request_digest(parts)))
            row = {name: getattr(fresh, name) for name in _STORED} | {"parts": parts, "known": len(there)}
            more = {"in_place_of": other} if other else {}
            self._call(Purpose.ASK, fresh)
            self._record("approvals request", fresh, row, connection, actor, more)
        return fresh, other

    def require(self, action: str, summary: str, digest: str, plan: Mapping[str, Any]) -> None:
        """Pass if nothing is needed, or somebody else has approved this plan for this identity: then it is
        used up, whatever comes of it.

        Raises ApprovalNeededError, which names the request and makes one where there is none, also where
        CloudTrail has not delivered the approval yet; RefusedError for an approval that was changed in the
        database, or that by CloudTrail is none; and as `request`.
        """
        if not self.needed(action):
            return
        asked, other = self._request(action, summary, digest, plan)
        while asked.decision is Decision.APPROVED:
            if self._use(asked):
                return
            asked, other = self._request(action, summary, digest, plan)
        until = f"{asked.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        raise ApprovalNeededError(
            f"{clean(summary, 500)}: needs the approval of a second person. Nothing was done; request "
            f"{asked.id} is open until {until}.{other and ' '}{other}",
            request=str(asked.id),
            remedy=(
                f"Somebody other than {asked.requested_by} runs: keydeck approvals approve {asked.id}. Then "
                f"do the same again, until {until}.{self.advisory and ' '}{self.advisory}"
            ),
        )

    def decide(self, shown: Approval, *, approve: bool) -> Approval:
        """Approve or deny a request as it was `shown`, as the present identity; one's own can only be denied.

        What is approved can be denied until it is used. With an approvals key an approval is a call of KMS
        with this identity's credentials; a denial is, too, where AWS lets it.

        Raises ReadOnlyError; RefusedError for one's own, for one that is over, that was changed or that is
        for another database, and KmsError, each journaled; DatabaseError.
        """
        verb = "approve" if approve else "deny"
        request = shown.id
        self._may_write(f"{verb} anything")
        me = self._me()
        actor = self._journal.actor()
        decision = Decision.APPROVED if approve else Decision.DENIED
        here = self._here()
        try:
            with connected(self._engine, write=True) as connection:
                now = self._now(connection)
                found = _found(connection, request, now, here)
                _may_decide(found, me, shown, approve=approve)
                made = replace(found, decision=decision, decided_by=clean(me, 512), decided_at=now)
                unrecorded = self._call(Purpose.APPROVE if approve else Purpose.DENY, found)
                row = {"decided_by": me, "decided_at": now, "decided_parts": parts_of(found)}
                if self._record(f"approvals {verb}", made, row, connection, actor, unrecorded) is None:
                    raise _outrun(found)
        except (RefusedError, KmsError) as error:
            told = {"reason": error.message}
            self._journal.record(f"approvals {verb}", str(request), ended_by(error), told, actor=actor)
            raise
        return made

    def _call(self, purpose: Purpose, found: Approval) -> dict[str, Any]:
        """Let CloudTrail record it; a denial holds without, and the journal has why. Raises KmsError."""
        if self._calls is None:
            return {}
        try:
            self._calls.call(context_of(purpose, found))
        except KmsError as error:
            if purpose is not Purpose.DENY:
                raise
            return {"not_in_cloudtrail": error.message}
        return {}

    def show(self, request: UUID) -> Approval:
        """Return one request to be approved.

        Raises RefusedError where there is none, and, journaled, for one that was changed in the database;
        DatabaseError.
        """
        found = self.read(request)
        if found.decision is Decision.CHANGED:
            error = RefusedError(_refused(found), remedy=_ask_again(found))
            if not self._read_only:
                told = {"reason": error.message}
                self._journal.record("approvals show", str(request), Outcome.REFUSED, told)
            raise error
        return found

    def read(self, request: UUID) -> Approval:
        """Return one request, whatever is wrong with it. Raises RefusedError for none, DatabaseError."""
        here = self._here()
        with connected(self._engine) as connection:
            found = _found(connection, request, self._now(connection), here)
        return self._witnessed(found)[0]

    def requests(self, *, pending: bool = True, limit: int = 200) -> tuple[Approval, ...]:
        """Return requests, the newest first; those that wait, or all. Raises DatabaseError."""
        here = self._here()
        with connected(self._engine) as connection:
            now = self._now(connection)
            waiting = (table.c.decision == Decision.PENDING.value, table.c.expires_at > now)
            statement = select(table).where(*(waiting if pending else ()))
            newest = statement.order_by(table.c.requested_at.desc(), table.c.id).limit(limit)
            found = [_approval(row, now, here) for row in connection.execute(newest)]
        return self._witnessed(*found)

    def _open(self, connection: Connection, fresh: Approval, now: datetime) -> list[Approval]:
        """The requests of this identity for such a plan whose time is not over, and that are not used."""
        c = table.c
        statement = (
            select(table)
            .where(
                c.digest == fresh.digest,
                c.action == fresh.action,
                c.requested_by == fresh.requested_by,
                c.expires_at > now,
                c.decision != Decision.USED.value,
                c.request_digest != "",
                c.login.in_(("", literal_column("session_user"))),
            )
            .order_by(c.requested_at.desc())
        )
        return [_approval(row, now) for row in connection.execute(statement)]

    def _use(self, asked: Approval) -> bool:
        """Use an approval up; False if that was done meanwhile. Of two consoles, the database lets one."""
        if same_person(asked.requested_by, asked.decided_by):
            raise RefusedError(f"Request {asked.id} was approved by who asked for it, {asked.decided_by}.")
        confirmed = self._require_proof(asked)
        actor = self._journal.actor()
        # Nothing is locked while KMS is called.
        self._call(Purpose.USE, asked)
        with connected(self._engine, write=True) as connection:
            return self._record("approvals use", asked, {}, connection, actor, confirmed) is not None

    def _require_proof(self, asked: Approval) -> dict[str, Any]:
        """Pass if CloudTrail has delivered the request and another person's approval of it; for the journal.

        Raises ApprovalNeededError until it has, RefusedError where it says otherwise, KmsError.
        """
        if self._calls is None:
            return {}
        proof = proof_of(asked, self._calls.delivered(asked.requested_at - EARLIER))
        if proof.refused:
            raise RefusedError(
                f"The approval of request {asked.id} is refused. {proof.words} Nothing was done.",
                remedy=_ask_again(asked),
            )
        if not proof.confirmed:
            until = f"{asked.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
            raise ApprovalNeededError(
                f"{asked.summary}: the approval of request {asked.id} is not confirmed. {proof.words} "
                "Nothing was done.",
                request=str(asked.id),
                remedy=f"Do the same again in a few minutes, until {until}: CloudTrail is asked again then.",
            )
        return {"cloudtrail": proof.words}

    def _witnessed(self, *found: Approval) -> tuple[Approval, ...]:
        claimed = [one for one in found if one.decision is Decision.APPROVED and not one.problem]
        if self._calls is None or not claimed:
            return found
        try:
            delivered = self._recently(self._calls, min(one.requested_at for one in claimed) - EARLIER)
        except KmsError as error:
            words = clean(f"CloudTrail can't be asked: {error.message} {error.remedy}", 600)
            return tuple(replace(o, cloudtrail=words, confirmed=False) if o in claimed else o for o in found)
        return tuple(_confirmed(one, delivered) if one in claimed else one for one in found)

    def _recently(self, calls: ApprovalCalls, since: datetime) -> DeliveredCalls:
        shown, now = self._shown, monotonic()
        if shown is None or now - shown[0] > _SHOWN_SECONDS or since < shown[1]:
            self._shown = shown = (now, since, calls.delivered(since))
        return shown[2]

    def _here(self) -> _Databases:
        with connected(self._tokens) as connection:
            tokens = clean(database_identity(connection), 400)
        return _Databases(tokens, clean(self._journal.database_id(), 100))

    def _record(
        self,
        action: str,
        asked: Approval,
        row: Mapping[str, Any],
        connection: Connection,
        actor: str,
        more: Mapping[str, Any],
    ) -> int | None:
        """Write a request's row, or change it, and its entry; None where the row has changed meanwhile."""
        shown = json.dumps(asked.plan, sort_keys=True).encode()
        # What was there to be read: a plan that is exchanged in the table shows.
        detail = {"shown": hashlib.sha256(shown).hexdigest(), **more}
        if self.advisory:
            detail["advisory"] = True
        written = {"id": asked.id, "request_digest": asked.request_digest, **row}
        documents = (json.loads(json.dumps(one, default=_as_json)) for one in (written, detail))
        arguments = (cast(literal(one, JSONB), JSONB) for one in documents)
        return self._journal.call("record_approval", action, *arguments, within=connection, actor=actor)

    def _me(self) -> str:
        me = clean(self._identity())
        person_of(me)
        return me

    def _now(self, connection: Connection) -> datetime:
        return clock_now(connection) if self._clock is None else self._clock()

    def _may_write(self, what: str) -> None:
        if self._read_only:
            raise ReadOnlyError(f"Cannot {what}: Keydeck is in read-only mode.")
        require_schema(self._engine)


def _as_json(value: UUID | datetime | Mapping[str, Any]) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return dict(value) if isinstance(value, Mapping) else str(value)


def cleaned(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {clean(name): cleaned(part) for name, part in value.items()}
    if isinstance(value, str):
        return clean(value, LONGEST_TEXT)
    if isinstance(value, Iterable):
        return [cleaned(part) for part in value]
    return value if isinstance(value, int | float | bool | None) else clean(value, LONGEST_TEXT)


_STORED = tuple(
    field.name
    for field in fields(Approval)
    if field.name not in ("decided_by", "decided_at", "problem", "cloudtrail", "confirmed")
)


def _approval(row: Any, now: datetime, here: _Databases = _NOWHERE) -> Approval:
    """A row as a console on these databases shows it; what waits or is approved expires."""
    stored = {name: getattr(row, name) for name in (*_STORED, "decided_by", "decided_at")}
    stored["summary"] = clean(row.summary, LONGEST_TEXT)
    plan = cleaned(row.plan if isinstance(row.plan, Mapping) else {})
    known = {decision.value: decision for decision in Decision}
    decision = known.get(row.decision, Decision.CHANGED)
    found = Approval(**stored | {"plan": plan, "decision": decision})
    if decision is Decision.CHANGED:
        return replace(found, problem=clean("Changed in the database after it was made: its decision."))
    if decision not in (Decision.PENDING, Decision.APPROVED):
        return found
    problem = ""
    if found.expires_at <= now:
        decision = Decision.EXPIRED
    if not found.request_digest or not found.database_id:
        decision = Decision.EXPIRED
        problem = "It has no digest, or names no database: it was made by an earlier version. Ask again."
    elif changed := _changed(found, row.parts):
        decision = Decision.CHANGED
        problem = f"Changed in the database after it was made: its {changed}."
    elif found.decision is Decision.APPROVED and (changed := _changed(found, row.decided_parts)):
        decision = Decision.CHANGED
        problem = f"Changed after {found.decided_by} approved it: its {changed}."
    elif here.journal and found.database_id != here.journal:
        problem = another_database("It", here.journal, found.database_id)
    elif here.tokens and found.database != here.tokens:
        problem = f"It is for the tokens in {found.database}. This console works on {here.tokens}."
    return replace(found, decision=decision, problem=clean(problem, 1_000))


def _changed(found: Approval, kept: Any) -> str:
    """The parts of a request that are not as they were kept, in words; "" for none."""
    parts = parts_of(found)
    changed = changed_parts(parts, kept if isinstance(kept, Mapping) else {})
    if not changed and request_digest(parts) != found.request_digest:
        return "digest"
    return parts_in_words(changed) if changed else ""


def _confirmed(found: Approval, delivered: DeliveredCalls) -> Approval:
    proof = proof_of(found, delivered)
    problem = proof.words if proof.refused else found.problem
    return replace(found, cloudtrail=proof.words, confirmed=proof.confirmed, problem=problem)


def _of_another(found: Approval, fresh: Approval, differing: Iterable[str]) -> str:
    if elsewhere := another_database(
        f"The approval of request {found.id}", fresh.database_id, found.database_id
    ):
        return elsewhere
    if found.database != fresh.database:
        return (
            f"The approval of request {found.id} does not hold here: it is for the tokens in "
            f"{found.database}, and this is {fresh.database}."
        )
    return (
        f"The approval of request {found.id} does not hold for this: what was approved differs in its "
        f"{parts_in_words(differing)}."
    )


def _refused(found: Approval) -> str:
    return f"Request {found.id} is refused. {found.problem}"


def _ask_again(found: Approval) -> str:
    return (
        f"Withdraw it (keydeck approvals deny {found.id}) and ask again; find out who may write to "
        "keydeck.approval."
    )


def _outrun(found: Approval) -> RefusedError:
    return RefusedError(
        f"Request {found.id} was changed, decided or used meanwhile.",
        remedy=f"Read it again: keydeck approvals show {found.id}.",
    )


def _may_decide(found: Approval, me: str, shown: Approval, *, approve: bool) -> None:
    open_ = (Decision.PENDING,) if approve else (Decision.PENDING, Decision.APPROVED, Decision.CHANGED)
    if approve and found.problem:
        raise RefusedError(_refused(found), remedy="List what waits: keydeck approvals list.")
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
    if approve and shown.request_digest != found.request_digest:
        raise RefusedError(
            f"Request {found.id} is not the one that was shown: it was changed since.",
            remedy=f"Read it again: keydeck approvals show {found.id}.",
        )


def _denied(found: Approval) -> RefusedError:
    until = f"{found.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return RefusedError(
        f"{found.summary}: denied by {found.decided_by} (request {found.id}).",
        remedy=f"Talk to them. It can be requested again after {until}.",
    )


def _found(connection: Connection, request: UUID, now: datetime, here: _Databases) -> Approval:
    row = connection.execute(select(table).where(table.c.id == request)).one_or_none()
    if row is None:
        raise RefusedError(
            f"There is no request {request}.", remedy="List them with: keydeck approvals list."
        )
    return _approval(row, now, here)
