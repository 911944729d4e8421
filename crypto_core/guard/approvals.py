"""Four eyes: what is asked for by one identity and approved by another, for exactly one plan and a time.

The table is `keydeck.approval`; every request, decision and use is journaled. A request's digest covers
everything that its second person is shown: action, summary, plan, the plan's own digest, the database whose
tokens it is about and that of the journal, who asked, when, and until when. It is part of the encryption
context of each call under the approvals key, and made part by part, so that whatever differs can be named.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from crypto_core.guard.operations import OPERATIONS
from crypto_core.guard.signature import digest_of
from crypto_core.proof.forms import moment_text
from crypto_core.values.clean_text import NO_TEXT, CleanText, cleans
from crypto_core.values.json_records import JsonRecord, shape

ACTIONS = tuple(operation.name for operation in OPERATIONS if operation.second_person)
"""Operations that can be made to need four eyes, as commands and the journal call them."""

DEFAULT_MINUTES = 60.0

ADVISORY = (
    "Four eyes are advisory here: without KEYDECK_APPROVALS_KEY nothing in CloudTrail proves an approval, "
    "and whoever may write to keydeck.approval can make one."
)


class Decision(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    USED = "used"
    """It does not hold a second time."""
    CHANGED = "changed"
    """Changed since it was asked for, or decided: it holds for nothing."""


@dataclass(frozen=True, slots=True)
@cleans(
    action=100,
    summary=4_000,
    digest=200,
    requested_by=512,
    decided_by=512,
    database=400,
    database_id=100,
    request_digest=64,
    problem=1_000,
    cloudtrail=600,
)
class Approval(JsonRecord):
    """A request for approval. `plan` is the plan as it was shown, `digest` the plan's own. Cleaned text."""

    id: UUID
    action: CleanText
    summary: CleanText
    digest: CleanText
    plan: Mapping[str, Any]
    requested_by: CleanText
    requested_at: datetime
    expires_at: datetime
    decision: Decision
    decided_by: CleanText = NO_TEXT
    decided_at: datetime | None = None
    database: CleanText = NO_TEXT
    """Whose tokens it is about, as the database tells itself from others, copies included."""
    database_id: CleanText = NO_TEXT
    """The id of the journal's database, in which the approval is used up."""
    request_digest: CleanText = NO_TEXT
    problem: CleanText = NO_TEXT
    cloudtrail: CleanText = NO_TEXT
    """CloudTrail's word, "" where it isn't asked."""
    confirmed: bool = True
    """False until CloudTrail has delivered the approval."""

    json_shape = shape(
        "id action summary digest request_digest? database? database_id? problem? cloudtrail? confirmed"
        " requested_by requested_at expires_at decision decided_by? decided_at",
        confirmed=lambda one: one.confirmed if one.decision is Decision.APPROVED and one.cloudtrail else None,
        requested_at=lambda one: one.requested_at.astimezone(UTC),
        expires_at=lambda one: one.expires_at.astimezone(UTC),
        decided_at=lambda one: one.decided_at and one.decided_at.astimezone(UTC),
    )

    @property
    def proof(self) -> tuple[tuple[str, str], ...]:
        """What whoever decides compares with what the requester sees: names and values."""
        return (
            ("digest", self.request_digest or "-"),
            *((("trail", self.cloudtrail),) if self.cloudtrail else ()),
            ("database", self.database or "-"),
            *((("journal", f"of database {self.database_id}"),) if self.database_id else ()),
            ("plan", self.digest),
        )


class ApprovalGate(Protocol):
    """Asked right before something that may need a second identity; see ApprovalBook."""

    @property
    def advisory(self) -> str: ...

    def needed(self, action: str) -> bool: ...

    def request(self, action: str, summary: str, digest: str, plan: Mapping[str, Any]) -> Approval: ...

    def require(self, action: str, summary: str, digest: str, plan: Mapping[str, Any]) -> None: ...

    def decide(self, shown: Approval, *, approve: bool) -> Approval: ...

    def requests(self, *, pending: bool = True, limit: int = 200) -> tuple[Approval, ...]: ...


PURPOSE = "approval request"

COUNTED_BY = "Counted by: "
"""Begins the line of a plan with the proof of its count, which is made anew with each plan."""

_ITS_OWN = frozenset({"number", "time of the request", "expiry", "plan"})
_REMARKS = frozenset({"warnings", "reasons", "gaps", "remarks", "losses"})
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(UTC|Z|[+-]\d\d:?\d\d))?")


def parts_of(request: Approval) -> dict[str, str]:
    """Return SHA-256, in hex, of each part of a request, by the part's name."""
    parts = {
        "number": str(request.id),
        "action": request.action,
        "summary": request.summary,
        "plan": json.dumps(request.plan, sort_keys=True),
        "plan's digest": request.digest,
        "database": request.database,
        "journal's database": request.database_id,
        "requester": request.requested_by,
        "time of the request": moment_text(request.requested_at),
        "expiry": moment_text(request.expires_at),
    }
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in parts.items()}


def request_digest(parts: Mapping[str, str]) -> str:
    """In hex, by the digests of its parts."""
    return digest_of(PURPOSE, *(text for part in sorted(parts.items()) for text in part)).hex()


def changed_parts(parts: Mapping[str, str], others: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name, digest in parts.items() if others.get(name) != digest)


def differing_parts(asked: Approval, fresh: Approval) -> tuple[str, ...]:
    """Return the names of the parts in which a request differs from what is about to be done.

    Its number and its times are the request's own. A plan that is made again differs in the moments at which
    it was: in the proof that a count rests on, and in the times that warnings name. Everything else has to be
    the same.
    """
    one, other = (_without_moments(request.plan) for request in (asked, fresh))
    parts, present = parts_of(asked), parts_of(fresh)
    differing = set(changed_parts(parts, present)) - _ITS_OWN
    fields = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    found = [name for name in parts if name in differing]
    return (*found, f"plan ({', '.join(fields)})") if fields else tuple(found)


def parts_in_words(parts: Iterable[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def _without_moments(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {
            key: _without_moments(part, name if name in _REMARKS else key)
            for key, part in value.items()
            if (name, key) != ("tokens", "proof")
        }
    if isinstance(value, list | tuple):
        parts = [part for part in value if not (isinstance(part, str) and part.startswith(COUNTED_BY))]
        return [_without_moments(part, name) for part in parts]
    return _TIME.sub("", value) if name in _REMARKS and isinstance(value, str) else value
