"""A gate that wants a second person for everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crypto_core.guard.approvals import ApprovalGate
from crypto_core.values.errors import ApprovalNeededError


class SecondPerson(ApprovalGate):
    """Has `approved` some plans, by their digest, and remembers what was asked for, and as it was `shown`."""

    def __init__(self) -> None:
        self.approved: set[str] = set()
        self.asked: list[tuple[str, str, str]] = []
        self.shown: list[Mapping[str, Any]] = []
        self.worth = ""

    @property
    def advisory(self) -> str:
        return self.worth

    def needed(self, action: str) -> bool:
        return True

    def require(self, action: str, summary: str, digest: str, plan: Mapping[str, Any]) -> None:
        self.asked.append((action, summary, digest))
        self.shown.append(plan)
        if digest not in self.approved:
            raise ApprovalNeededError("Ben has to approve it.", request="1")
