"""The approvals that this console waits for: polled, and summed up in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from textual.dom import DOMNode

from crypto_core.guard.approvals import Approval, Decision
from screens.ages import ago
from screens.asking import PendingCall, ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.identities import person
from screens.incidents.running import Waiting
from screens.incidents.work import approval_gate

EVERY_SECONDS = 3.0


class ApprovalRequests:
    """Asks where requests stand, at most one call at a time; `changed` is called with each answer."""

    def __init__(self, node: DOMNode, facts: Facts, changed: Callable[[], None]) -> None:
        self._node, self._facts, self._changed = node, facts, changed
        self._asked: PendingCall[tuple[Approval, ...]] | None = None
        self._at: datetime | None = None
        self.known: Sequence[Approval] = ()

    def ask_if_due(self) -> None:
        """Ask, unless it was just asked, or nothing keeps approvals here."""
        now = self._facts.clock()
        if self._facts.services.approvals is None or (self._asked is not None and self._asked.waiting):
            return
        if self._at is not None and (now - self._at).total_seconds() < EVERY_SECONDS:
            return
        self._at = now
        gate = approval_gate(self._facts)
        self._asked = ask(self._node, lambda _: gate.requests(pending=False), self._keep, group="approvals")

    def _keep(self, answer: tuple[Approval, ...] | Trouble) -> None:
        if not isinstance(answer, Trouble):
            self.known = answer
        self._changed()

    def drop(self) -> None:
        """Nobody waits any more."""
        if self._asked is not None:
            self._asked.drop()


def request_words(waiting: Waiting | None, known: Sequence[Approval], now: datetime) -> tuple[str, bool]:
    """Return a sentence about a request, "" for none, and whether it was approved."""
    if waiting is None:
        return "", False
    request = next((one for one in known if str(one.id) == waiting.request), None)
    if request is None:
        return f"Waits for a second identity. {waiting.message} {waiting.remedy}".strip(), False
    match request.decision:
        case Decision.APPROVED:
            if request.problem:
                return f"The approval is refused. {request.problem}", False
            by = f"Approved by {person(request.decided_by)}. {request.cloudtrail}".strip()
            if not request.confirmed:
                return f"{by} CloudTrail is asked again by itself.", False
            return f"{by} Enter: plan it again and run it.", True
        case Decision.DENIED:
            return f"Denied by {person(request.decided_by)}. It was not done.", False
        case Decision.EXPIRED:
            return "The request expired before anyone approved it. Press Enter to ask again.", False
        case Decision.USED:
            return "", False
        case Decision.CHANGED:
            return f"The request is refused. {request.problem}", False
    ends = ago(request.expires_at, now)
    return f"Waits for a second identity; the request ends {ends}. {waiting.remedy}".strip(), False
