"""Four eyes: what is asked for by one identity and approved by another, for exactly one plan and a time.

The table is `keydeck.approval`; every request, decision and use is journaled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from crypto_core.guard.operations import OPERATIONS
from crypto_core.text.cleaning import NO_TEXT, CleanText, cleans

ACTIONS = tuple(operation.name for operation in OPERATIONS if operation.second_person)
"""All that can be made to need four eyes, as commands and the journal call it; revoke is at a provider."""

DEFAULT_MINUTES = 60.0
"""How long a request and its approval hold together."""


class Decision(StrEnum):
    """Where a request stands."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    USED = "used"
    """The approval was used; it does not hold a second time."""


@dataclass(frozen=True, slots=True)
@cleans(action=100, summary=4_000, digest=200, requested_by=512, decided_by=512)
class Approval:
    """A request for approval. `plan` is the plan as it was shown, `digest` binds it. Cleaned text."""

    id: UUID
    action: CleanText
    """The action, such as keys disable or revoke tokens."""
    summary: CleanText
    digest: CleanText
    plan: Mapping[str, Any]
    requested_by: CleanText
    requested_at: datetime
    expires_at: datetime
    decision: Decision
    decided_by: CleanText = NO_TEXT
    decided_at: datetime | None = None


class ApprovalGate(Protocol):
    """Asked right before something is done that may need a second identity."""

    def needed(self, action: str) -> bool:
        """Return whether the settings want four eyes for this action. Calls nothing."""
        ...

    def request(self, action: str, summary: str, digest: str, plan: Mapping[str, Any]) -> Approval:
        """Ask for approval, or return the request for this plan that there is already.

        Raises ReadOnlyError, DatabaseError, MissingSchemaError.
        """
        ...

    def require(self, action: str, summary: str, digest: str, plan: Mapping[str, Any]) -> None:
        """Pass if nothing is needed, or a second identity has approved this plan: then it is used up.

        Raises ApprovalNeededError, which names the request, and makes one where there is none.
        """
        ...

    def decide(self, request: UUID, *, approve: bool) -> Approval:
        """Approve or deny as the present identity. Raises RefusedError for one's own, or one that is over."""
        ...

    def requests(self, *, pending: bool = True, limit: int = 200) -> tuple[Approval, ...]:
        """Return requests, the newest first; those that wait, or all."""
        ...
