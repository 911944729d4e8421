"""Approvals: pending requests, recent decisions, and the dialogs about one of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from crypto_core.guard.approvals import Approval, Decision
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import shortened
from screens.actions.action import Action
from screens.actions.performer import perform
from screens.actions.registry import BY_ID
from screens.answer_screen import UseScreen
from screens.facts import ScreenFacts
from screens.identities import person
from screens.incidents.step_runs import Waiting
from screens.incidents.work import approval_gate
from screens.moments import ago
from screens.routes import Followed
from screens.signs import Sign
from screens.use.lines import BLANK
from screens.widgets.cells import fit
from screens.widgets.dialog import Dialog, Told, buttons, framed
from screens.widgets.line_list import Line

_MOST_LINES = 400


class ApprovalNeeded(Told):
    """Says that nothing was done yet: who has to approve, and how."""

    def __init__(self, waiting: Waiting) -> None:
        lines = [Content(waiting.message)]
        if waiting.remedy:
            lines += [Content(""), Content.assemble((waiting.remedy, "bold"))]
        if waiting.request not in waiting.message:
            lines.append(Content.assemble(("request  ", "$muted"), waiting.request))
        lines += [
            Content(""),
            Content("Or in their console, not in yours: 5, then H. Once it is approved, press Enter on the"),
            Content("step again: the same plan runs."),
        ]
        super().__init__("Not done yet: a second person has to approve it", Content("\n").join(lines))


class DecideDialog(Dialog[bool | None]):
    """Returns True to approve, False to deny, None to leave it as it is."""

    def __init__(self, facts: ScreenFacts, request: Approval) -> None:
        super().__init__()
        self._facts = facts
        self._request = request

    def compose(self) -> ComposeResult:
        question = "Deny" if self._request.problem else "Approve"
        with framed(shortened(f"{question}: {self._request.action}?", 78)):
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(Content("\n").join(plan_lines(self._request, self._facts)))
            approve = [] if self._request.problem else [("Approve", "approve")]
            yield buttons(("Leave it", "cancel"), ("Deny", "deny"), *approve)

    @on(Button.Pressed, "#approve")
    def approve(self) -> None:
        self.dismiss(True)

    @on(Button.Pressed, "#deny")
    def deny(self) -> None:
        self.dismiss(False)


def plan_lines(request: Approval, facts: ScreenFacts) -> list[Content]:
    """Return the requester, the request, its expiry, and the plan as the requester saw it."""
    now = facts.clock()
    lines = [
        Content.assemble((request.summary, "bold")),
        Content.assemble(("asked by  ", "$muted"), request.requested_by),
        Content.assemble(("asked     ", "$muted"), ago(request.requested_at, now)),
        Content.assemble(("ends      ", "$muted"), ago(request.expires_at, now)),
    ]
    if request.problem:
        lines[:0] = [Content.assemble(("✖ ", "$error"), (request.problem, "bold")), Content("")]
    advisory = approval_gate(facts).advisory
    if advisory:
        lines += [Content(""), Content.assemble(("▲ ", "$warning"), advisory)]
    rest = dict(request.plan)
    for name, lead, style in (
        ("does", "• ", ""),
        ("does_not", "◦ ", "$muted"),
        ("warnings", "▲ ", "$warning"),
    ):
        texts = rest.pop(name, ())
        if isinstance(texts, list | tuple) and texts:
            lines.append(Content(""))
            lines += [Content.assemble((lead, style), str(text)) for text in texts]
    lines += [
        Content(""),
        *(Content.assemble((f"{name:<10}", "$muted"), value) for name, value in request.proof),
    ]
    laid_out = json.dumps(rest, indent=2, ensure_ascii=False, default=str).splitlines()
    lines += [
        Content(""),
        *(Content.assemble((text, "$muted")) for text in laid_out[:_MOST_LINES]),
    ]
    if len(laid_out) > _MOST_LINES:
        lines.append(Content(f"and {len(laid_out) - _MOST_LINES:,} more lines"))
    return lines


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
    ACTS: ClassVar[tuple[str, ...]] = ("approvals",)

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
