"""Approvals: pending requests, and recent decisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import ClassVar

from textual import on, work
from textual.content import Content

from crypto_core.guard.approvals import Approval, Decision
from crypto_core.values.cancellation import Cancellation
from screens.actions.action import Action, ActionScope
from screens.actions.performer import perform
from screens.actions.registry import BY_ID
from screens.ages import ago
from screens.facts import ScreenFacts
from screens.identities import person
from screens.incidents.approval_dialogs import DecideDialog
from screens.incidents.work import approval_gate
from screens.routes import Followed
from screens.signs import Sign
from screens.use.lines import BLANK
from screens.use.use_screen import UseScreen
from screens.widgets.cells import fit
from screens.widgets.line_list import Line

_SIGNS = {
    Decision.PENDING: Sign("▲", "$warning"),
    Decision.APPROVED: Sign("●", "$success"),
    Decision.DENIED: Sign("✖", "$error"),
    Decision.EXPIRED: Sign("○", "$muted"),
    Decision.USED: Sign("✔", "$muted"),
    Decision.CHANGED: Sign("✖", "$error"),
}
_UNDECIDED = (Decision.PENDING, Decision.CHANGED)
_ACTION, _WHO, _WHEN = 24, 12, 14


class ApprovalsScreen(UseScreen[tuple[Approval, ...]]):
    """Those that wait first; Enter shows the plan and asks."""

    NAME = "approvals"
    EVERY = 3.0
    ASKING = "Loading pending approvals…"
    ACTS: ClassVar[tuple[ActionScope, ...]] = (ActionScope.APPROVALS,)

    def ask_for(self, cancelled: Cancellation) -> tuple[Approval, ...]:
        return approval_gate(self.facts).requests(pending=False, limit=200)

    def lines(self, answer: tuple[Approval, ...], width: int) -> Iterable[Line]:
        return request_lines(answer, width, self.facts, approval_gate(self.facts).advisory)

    @property
    def request_in_hand(self) -> Approval | None:
        target = self.target_in_hand
        return target if isinstance(target, Approval) else None

    def possible(self, action: Action) -> bool | None:
        """Only what waits can be decided, and only be denied if it was changed."""
        if action.name == "decide":
            request = self.request_in_hand
            return True if request is not None and request.decision in _UNDECIDED else None
        return super().possible(action)

    @on(Followed)
    async def open_request(self, event: Followed) -> None:
        if isinstance(event.target, Approval):
            event.stop()
            await perform(self, BY_ID["approvals.decide"])

    @work(exclusive=True, group="write")
    async def do_decide(self) -> None:
        request = self.request_in_hand
        if request is None:
            return
        approve = await self.app.push_screen_wait(DecideDialog(self.facts, request))
        if approve is None:
            return
        gate, shown, decided = approval_gate(self.facts), request, approve
        self.change(
            lambda: gate.decide(shown, approve=decided),
            lambda answer: f"{answer.decision.value.capitalize()}: {answer.summary}",
        )


def request_lines(
    requests: Iterable[Approval], width: int, facts: ScreenFacts, advisory: str = ""
) -> Iterator[Line]:
    """Yield the requests that were changed and those that wait, then those that are over."""
    found = tuple(requests)
    changed = [one for one in found if one.decision is Decision.CHANGED]
    pending = [one for one in found if one.decision is Decision.PENDING]
    over = [one for one in found if one.decision not in _UNDECIDED]
    if advisory:
        for text in wrap(f"▲ {advisory}", max(width, 20)):
            yield Line(Content.assemble((text, "$warning")))
        yield BLANK
    for one in changed:
        yield _line(one, width, facts)
    if not pending:
        yield Line(Content.assemble(("No pending approvals.", "bold")))
    for one in pending:
        yield _line(one, width, facts)
    if over:
        yield BLANK
        yield Line(Content.assemble(("decided", "$muted")))
        for one in over:
            yield _line(one, width, facts)


def _line(request: Approval, width: int, facts: ScreenFacts) -> Line:
    now = facts.clock()
    sign = _SIGNS[request.decision if request.confirmed else Decision.PENDING]
    waits = request.decision in _UNDECIDED
    pending = request.decision is Decision.PENDING
    decided = request.decision.value if request.confirmed else "unconfirmed"
    when = f"ends {ago(request.expires_at, now)}" if pending else decided
    room = max(width - 2 - _ACTION - _WHO - _WHEN - 3, 8)
    content = Content.assemble(
        sign,
        " ",
        (fit(request.action, _ACTION), "bold" if waits else "$muted"),
        " ",
        (fit(request.summary, room), "" if waits else "$muted"),
        " ",
        (fit(person(request.requested_by), _WHO), "$muted"),
        " ",
        (fit(when, _WHEN), sign.style),
    )
    if waits:
        ask = f"Enter: the plan, to approve or deny it. Asked by {request.requested_by}."
        return Line(content, request, request.problem or ask)
    return Line(content)
