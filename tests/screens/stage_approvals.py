"""Requests for approval in memory, and what was decided of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from crypto_core.guard.approvals import Approval, Decision
from crypto_core.values.errors import KeydeckError
from tests.screens.samples import NOW
from tests.screens.stage_incidents import ANA, Enter, approval


@dataclass
class StageApprovals:
    enter: Enter
    all: dict[UUID, Approval] = field(default_factory=dict)
    refused: KeydeckError | None = None
    advisory: str = ""

    def add(self, *requests: Approval) -> None:
        self.all.update({one.id: one for one in requests})

    def needed(self, action: str) -> bool:
        return True

    def request(self, action: str, summary: str, digest: str, plan: Mapping[str, Any]) -> Approval:
        made = approval(action=action, summary=summary, digest=digest, plan=plan)
        self.add(made)
        return made

    def require(self, action: str, summary: str, digest: str, plan: Mapping[str, Any]) -> None:
        """Pass."""

    def decide(self, shown: Approval, *, approve: bool) -> Approval:
        self.enter("approval.decide")
        if self.refused is not None:
            raise self.refused
        request, decision = shown.id, Decision.APPROVED if approve else Decision.DENIED
        self.all[request] = replace(self.all[request], decision=decision, decided_by=ANA, decided_at=NOW)
        return self.all[request]

    def requests(self, *, pending: bool = True, limit: int = 200) -> tuple[Approval, ...]:
        self.enter("approval.requests")
        return tuple(one for one in self.all.values() if not pending or one.decision is Decision.PENDING)[
            :limit
        ]
