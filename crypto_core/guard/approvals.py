"""Four eyes: what is asked for by one identity and approved by another, for exactly one plan and a time.

The table is `keydeck.approval`; every request, decision and use is journaled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from crypto_core.guard.operations import OPERATIONS
from crypto_core.text.clean_text import NO_TEXT, CleanText, cleans
from crypto_core.text.json_records import JsonRecord, shape

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
